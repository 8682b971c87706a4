// Pictures: planes of points, colours, curves and surfaces.

/**
 * The points of a window, given in pixels of a picture of [rows, columns], as
 * inrgen.core.geometry.grid_coords places them; up and depth place the slice of a solid.
 */
function planeOf(sides, window, columns, rows, { up = "y", depth = 0 } = {}) {
  const [low, high] = spec.coord_range, middle = (low + high) / 2;
  const step = (high - low) / Math.max(Math.max(...sides) - 1, 1);
  const point = (column, row) => {
    const c = window.left + (column * window.width) / columns;
    const r = window.top + (row * window.height) / rows;
    const x = middle + (c - (sides[1] - 1) / 2) * step, y = (r - (sides[0] - 1) / 2) * step;
    if (isCurve) return [x];
    // Rows of a picture run downwards, and so does y; a solid stands upright.
    if (isSolid) return up === "y" ? [x, middle - y, depth] : [x, depth, middle - y];
    return spec.coord_order === "xy" ? [x, middle + y] : [middle + y, x];
  };
  const origin = point(0.5, 0.5);
  const minus = (a) => a.map((value, d) => value - origin[d]);
  const [right, down] = [minus(point(1.5, 0.5)), minus(point(0.5, 1.5))];
  return { origin, right, down, width: columns, height: rows };
}

/** The samples that a network was fitted to: one point a pixel. */
function samplesOf([rows, columns]) {
  const window = { left: -0.5, top: -0.5, width: columns, height: rows };
  return planeOf([rows, columns], window, columns, rows);
}

/** The whole picture as side * side points, or a curve as side points. */
function wholeOf([rows, columns], side, up) {
  const span = Math.max(rows, columns), height = isCurve ? 1 : span;
  const window = {
    left: (columns - span - 1) / 2, top: (rows - height - 1) / 2, width: span, height,
  };
  return planeOf([rows, columns], window, side, isCurve ? 1 : side, { up });
}

const DIVERGING = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]];
const ERRORS = [[255, 250, 235], [253, 190, 110], [222, 73, 104], [114, 31, 129], [12, 8, 38]];
const darkMode = () => matchMedia("(prefers-color-scheme: dark)").matches;
const groundColour = () => (darkMode() ? [30, 33, 39] : [232, 234, 238]);

function between(stops, share) {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const k = Math.min(Math.floor(at), stops.length - 2);
  return stops[k].map((low, c) => low + (at - k) * (stops[k + 1][c] - low));
}

/** Paint one colour a point; colour(k) gives red, green and blue from 0 to 255. */
function paint(canvas, width, height, colour) {
  [canvas.width, canvas.height] = [width, height];
  const image = new ImageData(width, height);
  // ImageData rounds and clips.
  for (let k = 0; k < width * height; k++) image.data.set([...colour(k), 255], 4 * k);
  canvas.getContext("2d").putImageData(image, 0, 0);
}

const isDistance = channels === 1
  && ["signed_distance", "truncated_distance", "unsigned_distance", "occupancy"].includes(spec.value_kind);

/** The colours of a network's values: bands of a distance, grey, or the first values as red, green, blue. */
function valueColours(values) {
  const [low, high] = spec.value_range;
  if (isDistance) {
    const isShare = spec.value_kind === "occupancy";
    const scale = isShare ? 0.5 : Math.max(Math.abs(low), Math.abs(high), 1e-6);
    return (k) => {
      const distance = isShare ? 0.5 - values[k] : values[k];
      const band = 1 - 0.12 * (Math.floor(distance / 0.1) & 1);
      const near = Math.abs(distance) < 0.012 * scale ? 0.25 : 1;
      return between(DIVERGING, 0.5 + distance / scale / 2).map((part) => part * band * near);
    };
  }
  const byte = (value) => (255 * (value - low)) / (high - low);
  if (channels === 1) return (k) => Array(3).fill(byte(values[k]));
  return (k) => [0, 1, 2].map((c) => (c < channels ? byte(values[channels * k + c]) : 128));
}

// The darkest error is four times that of a typical INR here.
const typical = shown.map(({ psnr_db }) => psnr_db).filter(Number.isFinite).sort((a, b) => a - b);
const errorScale = typical.length ? Math.min(1, 4 * 10 ** (-typical[typical.length >> 1] / 20)) : 0.2;

/** Colours of the absolute error of each sample, as a share of the value range. */
function errorColours(values, original) {
  const width = (spec.value_range[1] - spec.value_range[0]) * channels * errorScale;
  return (k) => {
    let sum = 0;
    for (let at = k * channels; at < (k + 1) * channels; at++) sum += Math.abs(values[at] - original[at]);
    return between(ERRORS, sum / width);
  };
}

/** Draw the first value along a curve, and dots of [share of the width, value]. */
function drawCurve(canvas, values, dots = []) {
  const width = 2 * (canvas.clientWidth || 160), [low, high] = spec.value_range;
  [canvas.width, canvas.height] = [width, Math.round(width * 0.6)];
  canvas.style.aspectRatio = "5 / 3";
  const pen = canvas.getContext("2d"), num = values.length / channels;
  const toY = (value) => canvas.height * (0.95 - (0.9 * (value - low)) / (high - low));
  pen.strokeStyle = pen.fillStyle = getComputedStyle(document.body).getPropertyValue("--accent");
  pen.lineWidth = 2;
  pen.beginPath();
  for (let k = 0; k < num; k++) pen.lineTo(((k + 0.5) / num) * width, toY(values[k * channels]));
  pen.stroke();
  for (const [share, value] of dots) pen.fillRect(share * width - 2, toY(value) - 2, 4, 4);
}

/** Draw a whole network: its samples, or side * side points. Returns its values. */
async function drawWhole(canvas, weights, sides, side = null, up = "y") {
  const samples = !side && !isCurve;
  const plane = samples ? samplesOf(sides) : wholeOf(sides, isCurve ? 256 : side, up);
  const values = await evaluate(weights, plane);
  if (isCurve) drawCurve(canvas, values);
  else paint(canvas, plane.width, plane.height, valueColours(values));
  return values;
}

/** Meshes in [-1, 1]^3 by place, with a normal for every vertex. */
async function readSurfaces() {
  const [steps, corners] = [await unpack("vertices", Uint16Array), await unpack("faces", Uint32Array)];
  let vertex = 0, face = 0;
  return new Map(facts.surfaces.map(({ place, vertices, faces }) => {
    const points = Float32Array.from(steps.subarray(vertex, (vertex += 3 * vertices)),
      (step) => (2 * step) / 65535 - 1);
    const triangles = corners.subarray(face, (face += 3 * faces));
    return [place, { points, triangles, normals: normalsOf(points, triangles) }];
  }));
}
const surfaces = await readSurfaces();

function normalsOf(points, triangles) {
  const normals = new Float32Array(points.length);
  for (let f = 0; f < triangles.length; f += 3) {
    const [a, b, c] = [0, 1, 2].map((k) => 3 * triangles[f + k]);
    const [u, v] = [b, c].map((end) => [0, 1, 2].map((d) => points[end + d] - points[a + d]));
    for (let d = 0; d < 3; d++) {
      const [e, g] = [(d + 1) % 3, (d + 2) % 3];
      for (const corner of [a, b, c]) normals[corner + d] += u[e] * v[g] - u[g] * v[e];
    }
  }
  return normals;
}

/** Draw a mesh without perspective; both sides are lit alike, as faces point either way. */
function drawSurface(canvas, { points, normals, triangles }, { azimuth, elevation, zoom, up }, side) {
  const [sa, ca] = [Math.sin(azimuth), Math.cos(azimuth)];
  const [se, ce] = [Math.sin(elevation), Math.cos(elevation)];
  let axes = [[ca, sa, 0], [-sa * se, ca * se, ce], [sa * ce, -ca * ce, se]];
  // Cycling the axes turns z up into y up, as inrgen.figures.solids does.
  if (up === "y") axes = axes.map(([x, y, z]) => [y, z, x]);
  const turn = (all, v) => axes.map(([x, y, z]) => x * all[3 * v] + y * all[3 * v + 1] + z * all[3 * v + 2]);
  const corners = Array.from({ length: points.length / 3 }, (_, v) => {
    const [[x, y, z], [nx, ny, nz]] = [turn(points, v), turn(normals, v)];
    const light = Math.abs(-0.36 * nx + 0.56 * ny + 0.75 * nz) / (Math.hypot(nx, ny, nz) || 1);
    return [side * (0.5 + 0.38 * zoom * x), side * (0.5 - 0.38 * zoom * y), z, light];
  });
  const depth = new Float32Array(side * side).fill(-Infinity), shade = new Float32Array(side * side);
  for (let f = 0; f < triangles.length; f += 3) {
    const [[ax, ay, az, al], [bx, by, bz, bl], [cx, cy, cz, cl]] = [0, 1, 2].map((k) => corners[triangles[f + k]]);
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (!area) continue;
    // The pixels whose centres lie in the triangle's box, on the canvas.
    const first = (a, b, c) => Math.max(0, Math.ceil(Math.min(a, b, c) - 0.5));
    const final = (a, b, c) => Math.min(side - 1, Math.max(a, b, c) - 0.5);
    const right = final(ax, bx, cx), bottom = final(ay, by, cy);
    for (let y = first(ay, by, cy); y <= bottom; y++)
      for (let x = first(ax, bx, cx); x <= right; x++) {
        const [px, py] = [x + 0.5 - ax, y + 0.5 - ay];
        const b = (px * (cy - ay) - py * (cx - ax)) / area;
        const c = ((bx - ax) * py - (by - ay) * px) / area;
        const a = 1 - b - c, z = a * az + b * bz + c * cz, at = y * side + x;
        if (a < 0 || b < 0 || c < 0 || z <= depth[at]) continue;
        depth[at] = z;
        shade[at] = a * al + b * bl + c * cl;
      }
  }
  const ground = groundColour();
  paint(canvas, side, side, (k) =>
    depth[k] === -Infinity ? ground : between([[41, 56, 87], [245, 242, 235]], shade[k] ** 0.8));
}

/**
 * Draw again, one frame at a time, since a slider moves faster than a slow machine draws: drafts
 * while something moves, as fine as 30 ms allow, and the finest once it rests.
 */
function makeDrafts(draw, finest) {
  // A wide network starts coarse, so that something is seen at once.
  let side = Math.round(Math.min(192, Math.max(48, Math.sqrt(4e7 / spec.num_params))));
  let busy = false, again = false, rest = 0;
  return async function redraw(moving = false) {
    if (busy) return void (again = true);
    clearTimeout(rest);
    busy = true;
    const begin = performance.now();
    await draw(moving ? Math.min(side, finest()) : finest());
    busy = false;
    if (moving) {
      const change = performance.now() - begin > 30 ? 0.8 : 1.1;
      side = Math.round(Math.min(finest(), Math.max(48, side * change)));
      rest = setTimeout(redraw, 150);
    }
    if (again) requestAnimationFrame(() => redraw(true));
    again = false;
  };
}
