// Quality of the store, conventions and recipe, and the tabs that hold all parts.

function makeQuality() {
  const { statuses, splits, classes, rows, items } = facts.quality;
  const add = (...parts) => get("quality").append(...parts);
  add(make("h2", {}, `Quality of all ${count(rows)} INRs of ${count(items)} items`),
    makeTable(null, Object.entries(statuses).map(([name, num]) => [name.replace("_", " "), count(num)]), [1]));
  const measured = Object.entries(splits).filter(([, found]) => found.p50 !== undefined);
  if (measured.length) add(make("h3", {}, `${measure.name} by split`), ...drawHistogram(measured));
  else add(make("p", {}, "No quality was measured, as for rows that were not fitted but made of others."));
  if (classes.length) add(make("h3", {}, `${measure.name} by class`), drawClasses(classes));
  const crumbed = facts.surfaces.filter(({ crumbs }) => crumbs);
  const loose = short(100 * Math.max(...crumbed.map(({ loose }) => loose), 0));
  if (facts.surfaces.length) add(make("h3", {}, "Crumbs"), make("p", {},
    `${count(crumbed.length)} of the ${count(facts.surfaces.length)} surfaces on this page have pieces `
    + `beside the largest, with up to ${loose} % of the area. Bodies of a shape count, too.`));
  const ranked = shown.filter((record) => Number.isFinite(quality(record)));
  ranked.sort((a, b) => quality(a) - quality(b));
  const num = Math.min(8, ranked.length >> 1), best = ranked.slice(ranked.length - num).reverse();
  for (const [title, chosen] of [["Worst rows", ranked.slice(0, num)], ["Best rows", best]])
    if (num) add(make("h3", {}, title), make("div", { class: "row-of-cards" },
      ...chosen.map((record) => makeCard(record, false))));
  const bad = records.filter((record) => record.place < 0);
  if (bad.length) add(make("h3", {}, "Rows without weights"), makeTable(["item", "view", "status", "reason"],
    bad.map((record) => [record.item_id, String(record.view), statusOf(record), record.reason])));
}

function drawHistogram(measured) {
  const { edges } = facts.quality, target = facts.quality.measure === "psnr_db" ? facts.target_db : null;
  const heights = measured.map(([split, { counts, rows }]) =>
    [split, counts.map((count) => (100 * count) / Math.max(rows, 1))]);
  const x = [edges[0], edges.at(-1)], y = [0, Math.max(...heights.flatMap(([, shares]) => shares), 1)];
  const scales = { x, y, xLabel: measure.name + measure.unit.replace(" ", ", in "), yLabel: "share of split, %" };
  const chart = makeChart(`Histogram of ${measure.name} by split`, scales, (toX, toY) => [
    ...heights.flatMap(([split, shares]) => {
      const steps = shares.flatMap((share, k) => [[edges[k], share], [edges[k + 1], share]]);
      const points = [[x[0], 0], ...steps, [x[1], 0]];
      return [makeLine(`area ${split}`, points, toX, toY, "polygon"), makeLine(`line ${split}`, points, toX, toY)];
    }),
    ...(target >= x[0] && target <= x[1] && target !== null ? [makeCursor(target, y, toX, toY)] : []),
  ]);
  const keys = measured.map(([split, found]) =>
    makeKey(split, `${split}: ${count(found.rows)} INRs, median ${inWords(found.p50)}`));
  return [make("p", {}, ...keys), chart];
}

function drawClasses(classes) {
  const low = Math.min(...classes.map(({ p5 }) => p5)), high = Math.max(...classes.map(({ p95 }) => p95));
  const at = (value) => 2 + (196 * (value - low)) / (high - low || 1);
  const bar = ({ p5, p25, p50, p75, p95 }) => make("svg", {
    viewBox: "0 0 200 14", role: "img", class: "train spread",
    "aria-label": `5th to 95th percentile ${inWords(p5)} to ${inWords(p95)}`,
  },
  make("line", { class: "bar", x1: at(p5), x2: at(p95), y1: 7, y2: 7 }),
  make("rect", { class: "bar", x: at(p25), width: Math.max(at(p75) - at(p25), 1), y: 3, height: 8 }),
  make("circle", { class: "dot", cx: at(p50), cy: 7, r: 3 }));
  return makeTable(["class", "INRs", "median", "5th to 95th percentile"],
    classes.map((found) => [found.name, count(found.rows), inWords(found.p50), bar(found)]), [1, 2]);
}

function makeAbout() {
  const inText = (value) => (typeof value === "string" ? value : JSON.stringify(value));
  const code = (text) => make("pre", { tabindex: "0" }, text);
  const conventions = [
    ["Widths", spec.widths.join("-")],
    ["Parameters", `${count(spec.num_params)} float32: for each layer W (out × in), then b`],
    ...(spec.encoding
      ? [["Inputs", `${spec.widths[0]} Fourier features of ${spec.coord_order.length} coordinates`]] : []),
    ["Activation", `${spec.activation} of ω (W h + b), in every layer but the last`],
    ["Frequency ω", spec.omega.map(short).join(", ")],
    ["Added to the output", short(spec.output_offset)],
    ["Coordinates", `${spec.coord_order} in [${spec.coord_range.join(", ")}], ends included, along the longest side`],
    ["Order of coordinates", spec.coord_order === "xy"
      ? "coordinate 0 is the column, coordinate 1 the row" : "coordinate i runs along axis i of a grid"],
    ["Values", `${spec.value_kind.replaceAll("_", " ")} in [${spec.value_range.join(", ")}]`],
    ["Group of the store", spec.id],
  ];
  get("about").append(
    make("h2", {}, "Conventions"), makeTable(null, conventions),
    ...Object.entries(facts.snippets).flatMap(([title, text]) => [make("h3", {}, title), code(text)]),
    make("h3", {}, "How it was made"),
    makeTable(null, Object.entries(facts.facts).map(([name, value]) => [name, inText(value)])),
    make("h3", {}, "All that decides its content"), code(JSON.stringify(facts.identity, null, 1)));
}

const tabs = [...get("tabs").children];
const unmade = { quality: makeQuality, about: makeAbout };
function showTab(name) {
  for (const tab of tabs) {
    const on = tab.id === `tab-${name}`;
    tab.setAttribute("aria-selected", String(on));
    tab.tabIndex = on ? 0 : -1;
    get(tab.getAttribute("aria-controls")).hidden = !on;
  }
  if (name === "one" && !current) openRecord(shown[0] ?? records[0]);
  else if (name === "one") drawStage(true);
  if (name === "between") {
    const wanted = partners.has(current?.place) ? current.place : path?.first.place ?? facts.pairs[0][0];
    if (wanted !== path?.first.place) chooseFirst(wanted);
  }
  unmade[name]?.();
  delete unmade[name];
}

/** Arrow keys among tabs, as ARIA's pattern asks. */
get("tabs").addEventListener("keydown", (event) => {
  const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key], open = tabs.filter((tab) => !tab.hidden);
  if (!step) return;
  event.preventDefault();
  const to = open[(open.indexOf(document.activeElement) + step + open.length) % open.length];
  to.focus();
  to.click();
});
for (const tab of tabs) tab.onclick = () => showTab(tab.id.slice(4));

document.title = get("title").textContent = facts.title;
get("summary").textContent = facts.summary;
get("evaluator").textContent = gpu ? "It uses the GPU through WebGL2." : "It uses JavaScript in a worker.";
const asked = /row=(\d+)/.exec(location.hash);
const wanted = asked && records.find((record) => record.row === Number(asked[1]));
if (wanted) openRecord(wanted);
document.body.dataset.ready = "yes";
