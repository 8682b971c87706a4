// The gallery: cards, filters and orders.

/** Draw a card's pictures: the INR, and its original and error where the page has them. */
async function drawCard(record, [picture, original, error]) {
  const mesh = surfaces.get(record.place);
  if (mesh) return drawSurface(picture, mesh, { azimuth: 0.6, elevation: 0.43, zoom: 1, up: record.up }, 160);
  const values = await drawWhole(picture, weightsOf(record), record.sides, isSolid && 64, record.up);
  if (!original) return;
  const truth = originalOf(record), [rows, columns] = record.sides;
  if (isCurve) return drawCurve(original, truth);
  paint(original, columns, rows, valueColours(truth));
  paint(error, columns, rows, errorColours(values, truth));
}

// A card is drawn when it comes near the window.
const watcher = new IntersectionObserver((entries) => {
  for (const { isIntersecting, target } of entries) {
    if (!isIntersecting) continue;
    watcher.unobserve(target);
    drawCard(records[target.dataset.index], target.querySelectorAll("canvas"));
  }
}, { rootMargin: "300px" });

function makeCard(record, withOriginal = true) {
  const num = record.original < 0 || !withOriginal ? 1 : isCurve ? 2 : 3;
  const pictures = record.place < 0
    ? [make("span", { class: "empty" }, statusOf(record))]
    : Array.from({ length: num }, () => make("canvas", { width: 1, height: 1, "aria-hidden": "true" }));
  const said = [inWords(quality(record)), record.surface?.crumbs && crumbsInWords(record.surface)];
  const card = make("button", {
    class: "card", "data-index": record.index, title: record.reason || null, type: "button",
    "aria-label": join([describe(record), ...said, statusOf(record), record.reason]),
    onclick: () => openRecord(record),
  },
  make("span", { class: "pictures" }, ...pictures),
  make("span", { class: "name" }, record.item_id),
  make("span", { class: "facts" }, join([classOf(record), `view ${record.view}`, ...said], " · ")));
  if (record.place >= 0) watcher.observe(card);
  return card;
}

const crumbsInWords = ({ crumbs }) => `${crumbs} crumb${crumbs > 1 ? "s" : ""}`;

const cards = records.map((record) => make("li", {}, makeCard(record)));
const FILTERS = {
  split: ["Split", (record) => record.split],
  class: ["Class", classOf],
  view: ["View", (record) => String(record.view)],
  status: ["Status", (record) => record.status],
};
const ORDERS = { stored: "as stored", worst: "worst first", best: "best first" };

function makeFilters() {
  const option = (value, text) => make("option", { value }, text);
  for (const [name, [label, of]] of Object.entries(FILTERS)) {
    const values = [...new Set(records.map(of))];
    values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
    const options = values.map((value) => option(value, value || "none"));
    get("filters").append(make("label", { hidden: values.length < 2 }, label,
      make("select", { name }, option("*", "all"), ...options)));
  }
  for (const [name, label] of [["least", `${measure.name} from`], ["most", "to"]])
    get("filters").append(make("label", {}, label, make("input", { type: "number", name, step: "any" })));
  get("filters").append(make("label", {}, "Order", make("select", { name: "order" },
    ...Object.entries(ORDERS).map(([value, text]) => option(value, text)))));
  get("filters").addEventListener("input", applyFilters);
  get("filters").addEventListener("submit", (event) => event.preventDefault());
}

function applyFilters() {
  const value = (name) => get("filters").elements.namedItem(name).value;
  const passes = (record) =>
    Object.entries(FILTERS).every(([name, [, of]]) => ["*", of(record)].includes(value(name)))
    && (!value("least") || (quality(record) ?? -Infinity) >= Number(value("least")))
    && (!value("most") || (quality(record) ?? Infinity) <= Number(value("most")));
  const kept = records.filter(passes), sign = { stored: 0, worst: 1, best: -1 }[value("order")];
  // Records without a measure come last in either order.
  if (sign) kept.sort((a, b) =>
    (quality(a) === null) - (quality(b) === null) || sign * (quality(a) - quality(b)));
  get("cards").replaceChildren(...kept.map((record) => cards[record.index]));
  get("count").textContent = `${count(kept.length)} of ${count(records.length)} INRs shown`
    + (facts.quality.rows > records.length ? `; the store holds ${count(facts.quality.rows)}` : "");
  cardButtons().forEach((button, k) => (button.tabIndex = k ? -1 : 0));
}

const cardButtons = () => [...get("cards").querySelectorAll(".card")];

/** Arrow keys move among cards, so that Tab passes a thousand of them in one step. */
function moveAmongCards(event) {
  const buttons = cardButtons(), at = buttons.indexOf(document.activeElement);
  const columns = buttons.filter((button) => button.offsetTop === buttons[0].offsetTop).length;
  const to = buttons[{
    ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns,
    Home: 0, End: buttons.length - 1,
  }[event.key]];
  if (at < 0 || !to) return;
  event.preventDefault();
  buttons[at].tabIndex = -1;
  to.tabIndex = 0;
  to.focus();
}

makeFilters();
applyFilters();
get("cards").addEventListener("keydown", moveAmongCards);
if (hasOriginals && !isCurve)
  get("legend").textContent = "Each card: the INR, its original, and the error, from none (white) "
    + `to ${(100 * errorScale).toPrecision(2)} % of the value range (black).`;
document.documentElement.style.setProperty("--card-width", isSolid ? "10rem" : hasOriginals ? "12.5rem" : "7.5rem");
