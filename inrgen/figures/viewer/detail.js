// One INR, large: the function at any zoom, its samples, surface and slices, its record, weights and
// hidden units.

const MODES = {
  function: "The function: the network, evaluated at every point of the screen. Zoom in as far as "
    + "you like, no pixels appear, because the weights are the picture.",
  pixels: "The samples: the network at the points of its data alone. This is all that was fitted.",
  original: "The original: the data that the network was fitted to.",
  error: "The error: absolute difference from the original at each sample. The darkest colour "
    + `stands for ${(100 * errorScale).toPrecision(2)} % of the value range and more.`,
  surface: "The surface: where the function crosses from inside to outside, found by marching "
    + "cubes when this page was made. Drag to turn it.",
  slice: "A slice: the function on a plane. Depth moves the plane. " + (isDistance
    ? "Blue is inside, red outside, a band is a tenth of a unit, the dark line is the surface." : ""),
};
const COLOURS = channels === 2 ? " Its two values are drawn as red and green."
  : channels > 3 ? ` Of its ${channels} values the first three are drawn as red, green and blue.` : "";
let current = null, mode = "", samples = null;
const view = { x: 0, y: 0, zoom: 1, azimuth: 0.6, elevation: 0.43, depth: 0 };

function openRecord(record) {
  [current, samples] = [record, null];
  const holds = record.place >= 0, has = record.original >= 0;
  const allowed = isSolid ? ["surface", "slice"].slice(surfaces.has(record.place) ? 0 : 1)
    : ["function", "pixels", ...(has ? ["original"] : []), ...(has && !isCurve ? ["error"] : [])];
  if (!allowed.includes(mode)) mode = allowed[0];
  get("modes").replaceChildren(...allowed.map((name) => make("label", { "data-mode": name },
    make("input", { type: "radio", name: "mode", checked: name === mode, onchange: () => setMode(name) }),
    isCurve && name === "pixels" ? "Samples" : name[0].toUpperCase() + name.slice(1))));
  get("one-name").textContent = describe(record);
  showRecord(record);
  for (const id of ["layers", "responses"]) get(id).replaceChildren();
  get("one").classList.toggle("no-weights", !holds);
  if (!holds) get("mode-text").textContent = `This row holds no weights: ${record.reason || record.status}`;
  history.replaceState(null, "", `#row=${record.row}`);
  Object.assign(view, wholeView());
  showTab("one");
  if (!holds) return;
  setMode(mode);
  drawLayers(weightsOf(record));
  drawResponses(record);
}

function showRecord(record) {
  const inText = (part) => (typeof part === "number" ? short(part) : String(part));
  const rows = Object.keys(facts.records)
    .map((name) => [name, [record[name]].flat().filter((part) => part !== null && part !== "")])
    .filter(([, parts]) => parts.length)
    .map(([name, parts]) => [
      make("span", { title: facts.meanings[name] ?? null }, name),
      parts.length > 1 ? parts.map(inText).join(" × ") : String(parts[0])]);
  if (isSolid && isDistance) rows.push(["up", record.up]);
  if (record.surface) rows.push(["crumbs", !record.surface.crumbs ? "none: the surface is in one piece"
    : `${record.surface.crumbs}, with ${short(100 * record.surface.loose)} % of the surface's area: `
      + "pieces beside the largest; bodies of the shape count, too"]);
  get("record").replaceChildren(makeTable(null, rows));
}

function setMode(name) {
  mode = name;
  get("mode-text").textContent = MODES[name] + (isCurve ? "" : COLOURS);
  get("slice-label").hidden = name !== "slice";
  get("stage").setAttribute("aria-label", `${describe(current)}: ${MODES[name]}`);
  changeView({});
}

const span = () => Math.max(...current.sides) / view.zoom;

/** The window of the stage, in pixels of the data. */
function stageWindow() {
  const height = isCurve ? 1 : span();
  return { left: view.x - span() / 2, top: view.y - height / 2, width: span(), height };
}

const drawStage = makeDrafts(async (side) => {
  const stage = get("stage"), record = current, kind = mode;
  if (!record || record.place < 0) return;
  const weights = weightsOf(record), window = stageWindow(), turn = { ...view, up: record.up };
  if (kind === "surface") drawSurface(stage, surfaces.get(record.place), turn, side);
  else if (kind === "function" || kind === "slice" || isCurve) {
    const values = await evaluate(weights, planeOf(record.sides, window, side, isCurve ? 1 : side, turn));
    const held = isCurve && kind !== "function" ? await sampleValues(record, kind) : [];
    if (record !== current || kind !== mode) return;
    const dot = (value, k) => [(k - window.left) / window.width, value];
    if (isCurve) drawCurve(stage, values, [...held].filter((_, k) => k % channels === 0).map(dot));
    else paint(stage, side, side, valueColours(values));
  } else {
    const values = await sampleValues(record, kind), [rows, columns] = record.sides;
    if (record !== current || kind !== mode) return;
    const small = document.createElement("canvas"), unit = side / window.width;
    paint(small, columns, rows,
      kind === "error" ? errorColours(values, originalOf(record)) : valueColours(values));
    stage.width = stage.height = side;
    const pen = stage.getContext("2d");
    pen.imageSmoothingEnabled = false;
    pen.drawImage(small, (-0.5 - window.left) * unit, (-0.5 - window.top) * unit, columns * unit, rows * unit);
  }
  if (kind !== "surface" && !isCurve) outline(stage, record.sides, window);
  stage.dataset.drawn = `${kind} ${record.row}`;
}, () => {
  const shownSide = Math.round((get("stage").clientWidth || 480) * (devicePixelRatio || 1));
  const most = gpu || mode === "surface" ? 720 : Math.min(288, Math.sqrt(2e8 / spec.num_params));
  return Math.round(Math.min(most, shownSide));
});

/** Values on the samples of a record: its original, or the network, evaluated once. */
async function sampleValues(record, kind) {
  if (kind === "original") return originalOf(record);
  samples ??= evaluate(weightsOf(record), samplesOf(record.sides));
  return samples;
}

/** Mark the edge of the data: beyond it the function goes on, but nothing was fitted. */
function outline(stage, [rows, columns], { left, top, width }) {
  const pen = stage.getContext("2d"), unit = stage.width / width;
  pen.strokeStyle = "#e69f00";
  // as wide on a draft as on the finest picture
  pen.lineWidth = stage.width / 400;
  pen.setLineDash([6 * pen.lineWidth, 5 * pen.lineWidth]);
  pen.strokeRect((-0.5 - left) * unit, (-0.5 - top) * unit, columns * unit, rows * unit);
}

function changeView(change) {
  Object.assign(view, change);
  showPlace();
  drawStage(true);
}

function wholeView() {
  const [rows, columns] = current.sides;
  return { x: (columns - 1) / 2, y: (rows - 1) / 2, zoom: 1 };
}
const showWhole = () => changeView(wholeView());

function zoomBy(factor, shareX = 0.5, shareY = 0.5) {
  const zoom = Math.min(10000, Math.max(0.25, view.zoom * factor));
  const lost = span() * (1 - view.zoom / zoom);
  const y = isCurve ? view.y : view.y + (shareY - 0.5) * lost;
  changeView({ zoom, x: view.x + (shareX - 0.5) * lost, y });
}

/** Move by shares of the stage, or turn a surface. */
function moveBy(shareX, shareY) {
  if (mode === "surface") {
    const elevation = Math.min(1.55, Math.max(-1.55, view.elevation + 3.5 * shareY));
    return changeView({ azimuth: view.azimuth - 3.5 * shareX, elevation });
  }
  changeView({ x: view.x - shareX * span(), y: isCurve ? view.y : view.y - shareY * span() });
}

/** Write the zoom, and the function at a point of the stage. */
function showPlace(shareX = 0.5, shareY = 0.5) {
  let text = `×${view.zoom < 10 ? view.zoom.toFixed(1) : count(Math.round(view.zoom))}`;
  if (mode !== "surface") {
    const window = stageWindow();
    window.left += (shareX - 0.5) * window.width;
    window.top += (shareY - 0.5) * window.height;
    const point = planeOf(current.sides, window, 1, 1, { ...view, up: current.up });
    const inText = (values) => values.slice(0, 3).map((value) => value.toFixed(3)).join(", ");
    text += ` · (${inText(point.origin)}) → ${inText(evaluateHere(weightsOf(current), point))}`;
  }
  get("readout").textContent = text;
}

function watchStage() {
  const stage = get("stage"), fingers = new Map();
  const share = (event) => {
    const box = stage.getBoundingClientRect();
    return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
  };
  const spread = ([[ax, ay], [bx, by]]) => Math.hypot(ax - bx, ay - by);
  stage.addEventListener("pointerdown", (event) => {
    stage.setPointerCapture(event.pointerId);
    fingers.set(event.pointerId, share(event));
  });
  stage.addEventListener("pointermove", (event) => {
    const now = share(event), old = fingers.get(event.pointerId);
    if (!old) return showPlace(...now);
    const before = fingers.size === 2 && spread([...fingers.values()]);
    fingers.set(event.pointerId, now);
    if (before) zoomBy(spread([...fingers.values()]) / before, ...now);
    else moveBy(now[0] - old[0], now[1] - old[1]);
  });
  for (const kind of ["pointerup", "pointercancel"])
    stage.addEventListener(kind, (event) => fingers.delete(event.pointerId));
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoomBy(1.0015 ** -event.deltaY, ...share(event));
  }, { passive: false });
  const [closer, farther] = [() => zoomBy(1.5), () => zoomBy(1 / 1.5)];
  const keys = {
    ArrowLeft: () => moveBy(0.1, 0), ArrowRight: () => moveBy(-0.1, 0),
    ArrowUp: () => moveBy(0, 0.1), ArrowDown: () => moveBy(0, -0.1),
    "+": closer, "=": closer, "-": farther, 0: showWhole,
  };
  stage.addEventListener("keydown", (event) => {
    if (!keys[event.key]) return;
    event.preventDefault();
    keys[event.key]();
  });
  const buttons = { "zoom-in": closer, "zoom-out": farther, "zoom-reset": showWhole };
  for (const [id, act] of Object.entries(buttons)) get(id).onclick = act;
  const [min, max] = spec.coord_range;
  Object.assign(get("slice"), { min, max, step: (max - min) / 200, value: (min + max) / 2 });
  view.depth = (min + max) / 2;
  get("slice").oninput = () => changeView({ depth: Number(get("slice").value) });
  const step = (by) => openRecord(records[(current.index + by + records.length) % records.length]);
  get("previous").onclick = () => step(-1);
  get("next").onclick = () => step(1);
  addEventListener("resize", () => drawStage());
}
watchStage();

function drawLayers(weights) {
  let from = 0;
  get("layers").replaceChildren(...spec.widths.slice(1).map((fanOut, l) => {
    const fanIn = spec.widths[l], isLast = l === spec.widths.length - 2;
    const layer = weights.subarray(from, (from += (fanIn + 1) * fanOut));
    const most = layer.reduce((top, weight) => Math.max(top, Math.abs(weight)), 1e-9);
    const canvas = make("canvas", { role: "img", "aria-label": `Weights of layer ${l + 1}` });
    paint(canvas, fanIn + 1, fanOut, (k) => {
      const [row, column] = [Math.floor(k / (fanIn + 1)), k % (fanIn + 1)];
      const at = column === fanIn ? fanIn * fanOut + row : row * fanIn + column;
      return between(DIVERGING, 0.5 + layer[at] / most / 2);
    });
    const cell = Math.max(1, Math.min(14, Math.floor(230 / Math.max(fanIn + 1, fanOut))));
    canvas.style.width = `${Math.max(cell * (fanIn + 1), 14)}px`;
    return makeFigure(canvas, isLast ? "Output layer" : `Hidden layer ${l + 1}`,
      `${fanOut} × ${fanIn}, up to ${short(most)}${isLast ? "" : `, ω ${short(spec.omega[l])}`}`);
  }));
}

async function drawResponses(record) {
  const plane = wholeOf(record.sides, Math.min(32, Math.max(...record.sides)), record.up);
  const gap = isCurve ? 0 : 1, [width, height] = [plane.width + 1, plane.height + gap];
  for (let l = 0; l < spec.widths.length - 2; l++) {
    const all = spec.widths[l + 1], units = Math.min(all, 128);
    const found = await evaluate(weightsOf(record), plane, l);
    if (record !== current) return;
    const most = found.reduce((top, value) => Math.max(top, Math.abs(value)), 1e-9);
    const across = isCurve ? 1 : Math.ceil(Math.sqrt(units * 2)), ground = groundColour();
    const label = `Responses of ${units} units of hidden layer ${l + 1}`;
    const canvas = make("canvas", { role: "img", "aria-label": label });
    paint(canvas, across * width, Math.ceil(units / across) * height, (k) => {
      const [x, y] = [k % (across * width), Math.floor(k / (across * width))];
      const unit = Math.floor(y / height) * across + Math.floor(x / width);
      const [column, row] = [x % width, y % height];
      if (unit >= units || column === plane.width || row === plane.height) return ground;
      return between(DIVERGING, 0.5 + found[(row * plane.width + column) * all + unit] / most / 2);
    });
    canvas.style.width = `${Math.min(across * width * 2, 560)}px`;
    if (isCurve) canvas.style.height = `${units * 4}px`;
    get("responses").append(makeFigure(canvas, `Hidden layer ${l + 1}`, `${units} units`));
  }
}
get("responses-text").textContent = "The output of each hidden unit over the "
  + (isSolid ? "slice in the middle" : isCurve ? "signal, a row a unit" : "picture")
  + ": blue below zero, red above. The last layer sums the picture from the last of these.";
