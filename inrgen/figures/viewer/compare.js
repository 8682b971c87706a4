// Two INRs: the line between them in weights, before and after matching, and the loss along it.

const KINDS = { none: "As they are", permutation: "Permuted", signed: "Permuted, with signs" };
const kinds = ["none", ...facts.moves];
const moves = Object.fromEntries(await Promise.all(
  facts.moves.map(async (kind) => [kind, await unpack(`moves-${kind}`, Int16Array)])));
/** For each first place, its pairs as [second, number of the pair]. */
const partners = new Map(facts.pairs.map(([first]) => [first, []]));
facts.pairs.forEach(([first, second], k) => partners.get(first).push([second, k]));
let path = null;

function makeCompare() {
  get("tab-between").hidden = !partners.size;
  if (facts.start)
    get("start-text").textContent = "These networks began at learned starts, which put the units "
      + "of all networks in one order, so the line is good without matching.";
  get("first").append(...[...partners.keys()].map((first) =>
    make("option", { value: first }, describe(shown[first]))));
  get("first").onchange = () => chooseFirst(Number(get("first").value));
  get("second").onchange = choosePair;
  get("slider").oninput = () => drawPath(true);
  get("play").onclick = play;
}

function chooseFirst(first) {
  const nameOf = (record) => record.item_id === shown[first].item_id
    ? `view ${record.view} of the same item` : describe(record);
  get("first").value = String(first);
  get("second").replaceChildren(...partners.get(first).map(([second, k]) =>
    make("option", { value: k }, nameOf(shown[second]))));
  choosePair();
}

function choosePair() {
  const k = Number(get("second").value);
  const [first, second] = facts.pairs[k].map((at) => shown[at]);
  const units = spec.widths.slice(1, -1).reduce((sum, width) => sum + width, 0);
  const [from, other] = [weightsOf(first), weightsOf(second)];
  path = { first, second, from, to: { none: other } };
  for (const kind of facts.moves)
    path.to[kind] = moveUnits(other, moves[kind].subarray(k * units, (k + 1) * units));
  const distance = (to) => Math.hypot(...from.map((weight, p) => weight - to[p]));
  const picture = (id, name, text) => makeFigure(
    make("canvas", { "data-path": id, role: "img", "aria-label": name }), make("span", { class: id }, name), text);
  get("path").replaceChildren(
    picture("first", "First", describe(first)),
    ...kinds.map((kind) =>
      picture(kind, KINDS[kind], `distance of weights ${short(distance(path.to[kind]))}`)),
    picture("second", "Second", describe(second)));
  drawNetwork("first", from, FINEST);
  drawNetwork("second", other, FINEST);
  drawPath();
  drawLoss();
}

const FINEST = gpu ? 192 : 96;
const drawNetwork = (id, weights, side) =>
  drawWhole(get("path").querySelector(`[data-path="${id}"]`), weights, path.first.sides, side, path.first.up);

const drawPath = makeDrafts(async (side) => {
  const share = Number(get("slider").value), { from, to } = path;
  get("share").textContent = share.toFixed(2);
  for (const kind of kinds) await drawNetwork(kind, mix(from, to[kind], share), side);
  const cursor = get("loss").querySelector(".cursor");
  cursor?.setAttribute("transform", `translate(${cursor.dataset.width * share} 0)`);
  get("path").dataset.drawn = share.toFixed(3);
}, () => FINEST);

/** Loss along the way against the original, or against a cross-fade of the two pictures. */
async function drawLoss() {
  const { first, second, from, to } = path, held = path;
  const plane = isSolid ? wholeOf(first.sides, 32, first.up) : samplesOf(first.sides);
  const truth = first.item_id === second.item_id ? originalOf(first) : null;
  const ends = [await evaluate(from, plane), await evaluate(to.none, plane)];
  const losses = {};
  for (const kind of kinds) {
    losses[kind] = [];
    for (const share of Array.from({ length: 21 }, (_, k) => k / 20)) {
      const wanted = truth ?? mix(...ends, share);
      const values = await evaluate(mix(from, to[kind], share), plane);
      const squares = values.reduce((sum, value, k) => sum + (value - wanted[k]) ** 2, 0);
      losses[kind].push([share, squares / values.length]);
    }
  }
  if (held !== path) return;
  const most = (kind) => Math.max(...losses[kind].map(([, loss]) => loss));
  const title = truth ? "Loss along the way" : "Distance from a cross-fade of the two pictures, along the way";
  const y = [0, Math.max(...kinds.map(most), 1e-9)];
  const scales = { x: [0, 1], y, xLabel: "share of the second network", yLabel: "mean squared error" };
  const chart = makeChart(title, scales, (toX, toY) => {
    const cursor = makeCursor(0, y, toX, toY);
    cursor.dataset.width = toX(1) - toX(0);
    return [...kinds.map((kind) => makeLine(`line ${kind}`, losses[kind], toX, toY)), cursor];
  });
  get("loss-title").textContent = title;
  get("loss").replaceChildren(make("p", {}, ...kinds.map((kind) =>
    makeKey(kind, `${KINDS[kind]}: at most ${short(most(kind))}`))), chart);
  get("loss").dataset.drawn = get("second").value;
  drawPath();
}

let playing = 0;
function play() {
  const on = get("play").getAttribute("aria-pressed") === "false";
  get("play").setAttribute("aria-pressed", String(on));
  get("play").textContent = on ? "Pause" : "Play";
  cancelAnimationFrame(playing);
  const step = (time) => {
    get("slider").value = String(0.5 - 0.5 * Math.cos(time / 1500));
    drawPath(true);
    playing = requestAnimationFrame(step);
  };
  if (on) playing = requestAnimationFrame(step);
}
makeCompare();
