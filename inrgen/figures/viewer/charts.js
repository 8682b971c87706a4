// Elements, tables and charts.

const IN_SVG = new Set(["svg", "line", "polyline", "polygon", "rect", "circle", "text"]);

/** An element with attributes and children; strings become text, and null is left out. */
function make(name, attributes = {}, ...children) {
  const element = IN_SVG.has(name)
    ? document.createElementNS("http://www.w3.org/2000/svg", name)
    : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value !== false && value !== null) element.setAttribute(key, value === true ? "" : value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

/** A table; columns named in numeric are set flush right, and the first may head its row. */
function makeTable(head, rows, numeric = []) {
  const line = (kind, values) => make("tr", {}, ...values.map((value, k) =>
    make(head || k ? kind : "th", { class: numeric.includes(k) && "number", scope: !head && !k && "row" }, value)));
  return make("div", { class: "scroll" }, make("table", {},
    head && make("thead", {}, line("th", head)),
    make("tbody", {}, ...rows.map((row) => line("td", row)))));
}

const makeFigure = (picture, title, text) =>
  make("figure", {}, picture, make("figcaption", {}, make("b", {}, title), text));

/** Round values that divide a range into about four parts. */
function roundTicks([low, high]) {
  const rough = (high - low) / 4, power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((part) => part * power >= rough) * power;
  const first = Math.ceil(low / step - 1e-9), last = Math.floor(high / step + 1e-9);
  return Array.from({ length: last - first + 1 }, (_, k) => (first + k) * step);
}

/** A chart with ticks; draw gets functions from values to places and returns elements. */
function makeChart(label, { x, y, xLabel, yLabel }, draw) {
  // Text in an SVG shrinks with it, so a phone gets a narrower chart, not a smaller one.
  const width = Math.min(640, Math.max(300, document.body.clientWidth - 24)), height = 260;
  const [left, right, top, bottom] = [72, width - 14, 12, height - 44];
  const toX = (value) => left + ((value - x[0]) / (x[1] - x[0])) * (right - left);
  const toY = (value) => bottom - ((value - y[0]) / (y[1] - y[0])) * (bottom - top);
  const text = (content, x, y, more = {}) =>
    make("text", { x, y, "text-anchor": "middle", ...more }, content);
  const middle = (top + bottom) / 2;
  return make("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label },
    ...roundTicks(y).flatMap((value) => [
      make("line", { class: "axis", x1: left, x2: right, y1: toY(value), y2: toY(value) }),
      text(short(value), left - 8, toY(value) + 4, { "text-anchor": "end" })]),
    ...roundTicks(x).map((value) => text(short(value), toX(value), bottom + 18)),
    text(xLabel, (left + right) / 2, height - 4),
    text(yLabel, 14, middle, { transform: `rotate(-90 14 ${middle})` }),
    ...draw(toX, toY));
}

/** A line through points of values, and an upright dashed one. */
const makeLine = (kind, points, toX, toY, name = "polyline") =>
  make(name, { class: kind, points: points.map(([x, y]) => `${toX(x)},${toY(y)}`).join(" ") });
const makeCursor = (x, [low, high], toX, toY) =>
  make("line", { class: "cursor", x1: toX(x), x2: toX(x), y1: toY(low), y2: toY(high) });

const makeKey = (kind, text) => make("span", { class: `key ${kind}` }, make("span", {}, text));
