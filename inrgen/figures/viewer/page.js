"use strict";
// The page of `inrgen view`: it unpacks weights and records, evaluates the networks, and draws.
// Text of a store is only ever written as textContent, so no name can become markup.

// ---- Data -------------------------------------------------------------------------------------

/** Undo inrgen's pack: base64, deflate, and bytes grouped by significance. */
async function unpack(id, Kind) {
  const holder = document.getElementById(id);
  if (!holder) return new Kind(0);
  const text = atob(holder.textContent);
  holder.remove();
  const packed = Uint8Array.from(text, (letter) => letter.charCodeAt(0));
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const width = Kind.BYTES_PER_ELEMENT;
  const length = planes.length / width;
  const bytes = new Uint8Array(planes.length);
  for (let plane = 0; plane < width; plane++)
    for (let k = 0; k < length; k++) bytes[k * width + plane] = planes[plane * length + k];
  return new Kind(bytes.buffer);
}

/** One object a record, with its place among the weights, or -1 where it holds none. */
function readRecords(facts) {
  const names = Object.keys(facts.records);
  let place = 0;
  return facts.grids.map((sides, index) => {
    const record = Object.fromEntries(names.map((name) => [name, facts.records[name][index]]));
    for (const name of ["psnr_db", "iou"]) if (record[name] === "inf") record[name] = Infinity;
    const holds = record.status === "ok" || record.status === "below_target";
    const original = facts.originals[record.item_id] ?? -1;
    return { ...record, index, sides, original, up: facts.up[index], place: holds ? place++ : -1 };
  });
}

// ---- Networks ---------------------------------------------------------------------------------

/**
 * Values of a network on a plane of points origin + column * right + row * down, row-major.
 * With layer given, the activations of that hidden layer instead. The worker runs this text, so it
 * refers to nothing outside itself.
 */
function evaluatePlane(spec, weights, plane, layer) {
  const { widths, omega } = spec;
  const last = widths.length - 2;
  const stop = layer ?? last;
  const activate = {
    sine: Math.sin,
    tanh: Math.tanh,
    relu: (z) => Math.max(z, 0),
  }[spec.activation];
  const total = plane.width * plane.height;
  const found = new Float32Array(total * widths[stop + 1]);
  // Points in parts, so that a large plane needs little memory.
  for (let begin = 0; begin < total; begin += 1024) {
    const num = Math.min(1024, total - begin);
    let hidden = new Float64Array(num * widths[0]);
    for (let p = 0; p < num; p++) {
      const row = Math.floor((begin + p) / plane.width);
      const column = (begin + p) % plane.width;
      for (let d = 0; d < widths[0]; d++)
        hidden[p * widths[0] + d] = plane.origin[d] + column * plane.right[d] + row * plane.down[d];
    }
    let offset = 0;
    for (let l = 0; l <= stop; l++) {
      const fanIn = widths[l], fanOut = widths[l + 1];
      const bias = offset + fanIn * fanOut;
      const next = new Float64Array(num * fanOut);
      for (let p = 0; p < num; p++)
        for (let o = 0; o < fanOut; o++) {
          let z = weights[bias + o];
          const from = offset + o * fanIn;
          for (let i = 0; i < fanIn; i++) z += weights[from + i] * hidden[p * fanIn + i];
          next[p * fanOut + o] = l === last ? z + spec.output_offset : activate(omega[l] * z);
        }
      hidden = next;
      offset = bias + fanOut;
    }
    found.set(hidden, begin * widths[stop + 1]);
  }
  return found;
}

/** Evaluate in a worker, the newest request first; an older one of the same key gives null. */
function makeWorker(spec) {
  const code = `${evaluatePlane}
    onmessage = ({ data: [spec, weights, plane, layer] }) => {
      const found = evaluatePlane(spec, weights, plane, layer);
      postMessage(found, [found.buffer]);
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  let waiting = [], running = null;
  function advance() {
    if (running || !waiting.length) return;
    running = waiting.pop();
    worker.postMessage([spec, running.weights, running.plane, running.layer]);
  }
  worker.onmessage = ({ data }) => {
    running.answer(data);
    running = null;
    advance();
  };
  return (weights, plane, layer, key) =>
    new Promise((answer) => {
      waiting = waiting.filter((old) => key === null || old.key !== key || old.answer(null));
      waiting.push({ weights, plane, layer, key, answer });
      advance();
    });
}

/**
 * The same on the GPU, or null where WebGL2 or float textures are missing, or for wide networks.
 * A fragment is a point. Weights lie in a texture, four to a texel, each layer padded to fours.
 */
function makeGpu(spec) {
  const { widths, omega } = spec;
  if (Math.max(...widths) > 256 || widths.at(-1) > 4 || widths[0] > 3) return null;
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl || !gl.getExtension("EXT_color_buffer_float")) return null;
  const fours = (width) => Math.ceil(width / 4);
  let texels = 0, body = "";
  const layers = widths.slice(1).map((fanOut, l) => {
    const layer = { fanIn: widths[l], fanOut, weight: texels, num: fours(fanOut), of: fours(widths[l]) };
    layer.bias = texels + 4 * layer.num * layer.of;
    texels = layer.bias + layer.num;
    const value = l === widths.length - 2 ? "z" : `activate(${omega[l].toFixed(8)} * z)`;
    body += `
      vec4 h${l + 1}[${layer.num}];
      for (int o = 0; o < ${layer.num}; o++) {
        vec4 z = at(${layer.bias} + o);
        for (int i = 0; i < ${layer.of}; i++) {
          vec4 x = h${l}[i];
          int k = ${layer.weight} + 4 * o * ${layer.of} + i;
          z += vec4(dot(at(k), x), dot(at(k + ${layer.of}), x),
                    dot(at(k + ${2 * layer.of}), x), dot(at(k + ${3 * layer.of}), x));
        }
        h${l + 1}[o] = ${value};
      }`;
    return layer;
  });
  // The sine is written out, since WebGL promises little for that of arguments beyond pi.
  const activations = {
    sine: `
      vec4 turns = round(z * 0.15915494);
      vec4 x = (z - turns * 6.28125) - turns * 0.0019353072;
      x = mix(x, sign(x) * 3.14159265 - x, step(1.57079633, abs(x)));
      vec4 s = x * x;
      return x * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0
        + s * (1.0 / 362880.0 - s / 39916800.0)))));`,
    tanh: "return tanh(clamp(z, -20.0, 20.0));",
    relu: "return max(z, 0.0);",
  };
  const fragment = `#version 300 es
    precision highp float;
    precision highp sampler2D;
    uniform sampler2D net;
    uniform vec3 origin, right, down;
    out vec4 value;
    vec4 at(int k) { return texelFetch(net, ivec2(k & 255, k >> 8), 0); }
    vec4 activate(vec4 z) {${activations[spec.activation]} }
    void main() {
      vec2 place = floor(gl_FragCoord.xy);
      vec4 h0[1];
      h0[0] = vec4(origin + place.x * right + place.y * down, 0.0);
      ${body}
      value = h${widths.length - 1}[0] + ${spec.output_offset.toFixed(8)};
    }`;
  const corners = `#version 300 es
    void main() {
      gl_Position = vec4(vec2(gl_VertexID & 1, gl_VertexID >> 1) * 4.0 - 1.0, 0.0, 1.0);
    }`;
  const program = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, corners], [gl.FRAGMENT_SHADER, fragment]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(program, shader);
  }
  gl.linkProgram(program);
  if (!gl.getProgramParameter(program, gl.LINK_STATUS)) return null;
  gl.useProgram(program);
  const uniform = (name) => gl.getUniformLocation(program, name);
  const places = ["origin", "right", "down"].map(uniform);
  const texture = (unit) => {
    gl.activeTexture(gl.TEXTURE0 + unit);
    gl.bindTexture(gl.TEXTURE_2D, gl.createTexture());
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MIN_FILTER, gl.NEAREST);
    gl.texParameteri(gl.TEXTURE_2D, gl.TEXTURE_MAG_FILTER, gl.NEAREST);
  };
  texture(1);
  const target = gl.getParameter(gl.TEXTURE_BINDING_2D);
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  texture(0);
  const rows = Math.ceil(texels / 256);
  const padded = new Float32Array(rows * 256 * 4);
  let size = "";

  function load(weights) {
    let offset = 0;
    for (const { fanIn, fanOut, weight, of, bias } of layers) {
      for (let o = 0; o < fanOut; o++)
        padded.set(weights.subarray(offset + o * fanIn, offset + (o + 1) * fanIn), 4 * (weight + o * of));
      offset += fanIn * fanOut;
      padded.set(weights.subarray(offset, offset + fanOut), 4 * bias);
      offset += fanOut;
    }
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, 256, rows, 0, gl.RGBA, gl.FLOAT, padded);
  }

  return (weights, plane) => {
    const { width, height } = plane;
    load(weights);
    if (size !== `${width} ${height}`) {
      gl.activeTexture(gl.TEXTURE1);
      gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, null);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
      gl.activeTexture(gl.TEXTURE0);
      gl.viewport(0, 0, width, height);
      size = `${width} ${height}`;
    }
    [plane.origin, plane.right, plane.down].forEach((vector, k) =>
      gl.uniform3f(places[k], vector[0], vector[1] ?? 0, vector[2] ?? 0));
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    const four = new Float32Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.FLOAT, four);
    if (gl.isContextLost()) return null;
    const channels = widths.at(-1);
    const found = new Float32Array(width * height * channels);
    for (let p = 0; p < width * height; p++)
      for (let c = 0; c < channels; c++) found[p * channels + c] = four[4 * p + c];
    return found;
  };
}

/** Weights on the straight line between two networks. */
function mix(first, second, share) {
  return first.map((weight, k) => (1 - share) * weight + share * second[k]);
}

/** Reorder and negate hidden units: position i takes unit |moves[i]| - 1, negated if below 0. */
function moveUnits(spec, weights, moves) {
  const { widths } = spec;
  const moved = new Float32Array(weights.length);
  const kept = (width) => Int16Array.from({ length: width }, (_, k) => k + 1);
  let offset = 0, unit = 0, before = kept(widths[0]);
  for (let l = 0; l + 1 < widths.length; l++) {
    const fanIn = widths[l], fanOut = widths[l + 1];
    const after = l + 2 === widths.length ? kept(fanOut) : moves.subarray(unit, (unit += fanOut));
    for (let o = 0; o < fanOut; o++) {
      const from = Math.abs(after[o]) - 1;
      for (let i = 0; i < fanIn; i++)
        moved[offset + o * fanIn + i] = Math.sign(after[o]) * Math.sign(before[i])
          * weights[offset + from * fanIn + Math.abs(before[i]) - 1];
      moved[offset + fanIn * fanOut + o] = Math.sign(after[o]) * weights[offset + fanIn * fanOut + from];
    }
    offset += (fanIn + 1) * fanOut;
    before = after;
  }
  return moved;
}

// ---- Planes of points -------------------------------------------------------------------------

/** Coordinates of a position in pixels of a picture, as inrgen.core.geometry.grid_coords. */
function coordinates(spec, grid, column, row) {
  const [low, high] = spec.coord_range;
  const step = (high - low) / Math.max(Math.max(...grid) - 1, 1);
  const at = (position, side) => (low + high) / 2 + (position - (side - 1) / 2) * step;
  if (grid.length === 1) return [at(column, grid[0])];
  const [x, y] = [at(column, grid[1]), at(row, grid[0])];
  return spec.coord_order === "xy" ? [x, y] : [y, x];
}

/** Points of a window, in pixels of the picture; depth places the upright slice of a shape. */
function planeOf(spec, grid, { left, top, width, height, columns, rows, depth = 0, up = "y" }) {
  const point = (column, row) => {
    const [c, r] = [left + (column * width) / columns, top + (row * height) / rows];
    if (grid.length < 3) return coordinates(spec, grid, c, r);
    const [x, y] = coordinates({ ...spec, coord_order: "xy" }, [grid[1], grid[0]], c, grid[1] - 1 - r);
    return up === "y" ? [x, y, depth] : [x, depth, y];
  };
  const origin = point(0.5, 0.5);
  const minus = (a) => a.map((value, d) => value - origin[d]);
  return { origin, right: minus(point(1.5, 0.5)), down: minus(point(0.5, 1.5)), width: columns, height: rows };
}

/** The samples that a network was fitted to: one point a pixel. */
function samplesOf(spec, grid) {
  const [rows, columns] = grid.length === 1 ? [1, grid[0]] : grid;
  return planeOf(spec, grid, { left: -0.5, top: -0.5, width: columns, height: rows, columns, rows });
}

/** The whole picture, as a square of side * side points. */
function wholeOf(spec, grid, side, up) {
  const [rows, columns] = grid.length === 1 ? [1, grid[0]] : grid;
  const span = Math.max(rows, columns);
  if (grid.length === 1) {
    return planeOf(spec, grid, { left: -0.5, top: -0.5, width: columns, height: 1, columns: side, rows: 1 });
  }
  const [left, top] = [(columns - span - 1) / 2, (rows - span - 1) / 2];
  return planeOf(spec, grid, { left, top, width: span, height: span, columns: side, rows: side, up });
}

// ---- Colours ----------------------------------------------------------------------------------

function between(stops, share) {
  const at = Math.min(Math.max(share, 0), 1) * (stops.length - 1);
  const k = Math.min(Math.floor(at), stops.length - 2);
  return stops[k].map((low, c) => low + (at - k) * (stops[k + 1][c] - low));
}

const DIVERGING = [[5, 48, 97], [67, 147, 195], [247, 247, 247], [214, 96, 77], [103, 0, 31]];
const ERRORS = [[255, 250, 235], [253, 190, 110], [222, 73, 104], [114, 31, 129], [12, 8, 38]];
const SOLIDS = ["signed_distance", "truncated_distance", "unsigned_distance", "occupancy"];

/** Paint one colour a point; colour(k) gives red, green and blue from 0 to 255. */
function paint(canvas, width, height, colour) {
  canvas.width = width;
  canvas.height = height;
  const image = new ImageData(width, height);
  for (let k = 0; k < width * height; k++) {
    const [red, green, blue] = colour(k);
    // ImageData rounds and clips.
    image.data.set([red, green, blue, 255], 4 * k);
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

/** The colours of a network's values: grey or colour, or the bands of a distance. */
function valueColours(spec, values) {
  const channels = spec.widths.at(-1);
  const [low, high] = spec.value_range;
  if (SOLIDS.includes(spec.value_kind) && channels === 1) {
    const scale = spec.value_kind === "occupancy" ? 0.5 : Math.max(Math.abs(low), Math.abs(high), 1e-6);
    return (k) => {
      const distance = spec.value_kind === "occupancy" ? 0.5 - values[k] : values[k];
      const band = 1 - 0.12 * (Math.floor(distance / 0.1) & 1);
      const near = Math.abs(distance) < 0.012 * scale ? 0.25 : 1;
      return between(DIVERGING, 0.5 + distance / scale / 2).map((part) => part * band * near);
    };
  }
  const byte = (value) => (255 * (value - low)) / (high - low);
  if (channels === 3) return (k) => [0, 1, 2].map((c) => byte(values[3 * k + c]));
  return (k) => Array(3).fill(byte(values[k * channels]));
}

// ---- Surfaces ---------------------------------------------------------------------------------

/** Meshes by place, with a normal for every vertex. */
function readSurfaces(facts, steps, corners) {
  const found = new Map();
  const [low, high] = facts.spec.coord_range;
  let vertex = 0, face = 0;
  for (const { place, vertices, faces } of facts.surfaces) {
    const points = Float32Array.from(steps.subarray(3 * vertex, 3 * (vertex + vertices)),
      (step) => (2 * step) / 65535 - 1);
    const triangles = corners.subarray(3 * face, 3 * (face + faces));
    found.set(place, { points, triangles, normals: vertexNormals(points, triangles), low, high });
    vertex += vertices;
    face += faces;
  }
  return found;
}

function vertexNormals(points, triangles) {
  const normals = new Float32Array(points.length);
  for (let f = 0; f < triangles.length; f += 3) {
    const [a, b, c] = [0, 1, 2].map((k) => 3 * triangles[f + k]);
    const [u, v] = [b, c].map((end) => [0, 1, 2].map((d) => points[end + d] - points[a + d]));
    for (let d = 0; d < 3; d++) {
      const [e, g] = [(d + 1) % 3, (d + 2) % 3];
      const part = u[e] * v[g] - u[g] * v[e];
      for (const corner of [a, b, c]) normals[corner + d] += part;
    }
  }
  return normals;
}

/** Draw a mesh without perspective, by a depth buffer; both sides are lit, as faces point anyhow. */
function drawSurface(canvas, mesh, { azimuth, elevation, zoom, up }, side) {
  const [sa, ca, se, ce] = [Math.sin(azimuth), Math.cos(azimuth), Math.sin(elevation), Math.cos(elevation)];
  let axes = [[ca, sa, 0], [-sa * se, ca * se, ce], [sa * ce, -ca * ce, se]];
  // Cycling the axes turns z up into y up, as inrgen.figures.solids does.
  if (up === "y") axes = axes.map(([x, y, z]) => [y, z, x]);
  const { points, normals, triangles } = mesh;
  const num = points.length / 3;
  const screen = new Float32Array(3 * num), light = new Float32Array(num);
  const toLight = [-0.35, 0.55, 0.75].map((part) => part / Math.hypot(0.35, 0.55, 0.75));
  for (let v = 0; v < num; v++) {
    const turned = axes.map((axis) => axis[0] * points[3 * v] + axis[1] * points[3 * v + 1] + axis[2] * points[3 * v + 2]);
    const normal = axes.map((axis) => axis[0] * normals[3 * v] + axis[1] * normals[3 * v + 1] + axis[2] * normals[3 * v + 2]);
    screen[3 * v] = side * (0.5 + 0.38 * zoom * turned[0]);
    screen[3 * v + 1] = side * (0.5 - 0.38 * zoom * turned[1]);
    screen[3 * v + 2] = turned[2];
    const length = Math.hypot(...normal) || 1;
    light[v] = Math.abs(normal[0] * toLight[0] + normal[1] * toLight[1] + normal[2] * toLight[2]) / length;
  }
  const depth = new Float32Array(side * side).fill(-Infinity);
  const shade = new Float32Array(side * side);
  for (let f = 0; f < triangles.length; f += 3) {
    const [a, b, c] = [triangles[f], triangles[f + 1], triangles[f + 2]];
    const [ax, ay, bx, by, cx, cy] = [a, b, c].flatMap((v) => [screen[3 * v], screen[3 * v + 1]]);
    const area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax);
    if (!area) continue;
    const [left, right] = [Math.max(0, Math.ceil(Math.min(ax, bx, cx) - 0.5)), Math.min(side - 1, Math.max(ax, bx, cx) - 0.5)];
    const [top, bottom] = [Math.max(0, Math.ceil(Math.min(ay, by, cy) - 0.5)), Math.min(side - 1, Math.max(ay, by, cy) - 0.5)];
    for (let y = top; y <= bottom; y++)
      for (let x = left; x <= right; x++) {
        const [px, py] = [x + 0.5, y + 0.5];
        const wb = ((px - ax) * (cy - ay) - (py - ay) * (cx - ax)) / area;
        const wc = ((bx - ax) * (py - ay) - (by - ay) * (px - ax)) / area;
        const wa = 1 - wb - wc;
        if (wa < 0 || wb < 0 || wc < 0) continue;
        const z = wa * screen[3 * a + 2] + wb * screen[3 * b + 2] + wc * screen[3 * c + 2];
        if (z <= depth[y * side + x]) continue;
        depth[y * side + x] = z;
        shade[y * side + x] = wa * light[a] + wb * light[b] + wc * light[c];
      }
  }
  const ground = darkMode() ? [30, 33, 39] : [232, 234, 238];
  paint(canvas, side, side, (k) =>
    depth[k] === -Infinity ? ground : between([[41, 56, 87], [245, 242, 235]], shade[k] ** 0.8));
}

// ---- Elements ---------------------------------------------------------------------------------

const get = (id) => document.getElementById(id);
const darkMode = () => matchMedia("(prefers-color-scheme: dark)").matches;

/** An element with attributes and children; strings become text, and null is left out. */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null) element.setAttribute(key, value);
  }
  element.append(...children.filter((child) => child !== null));
  return element;
}

function makeSvg(name, attributes, ...children) {
  const element = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function makeTable(head, rows, numeric = []) {
  const cells = (kind, values) => values.map((value, k) =>
    make(kind, { class: numeric.includes(k) ? "number" : null }, value));
  return make("div", { class: "scroll" }, make("table", {},
    head ? make("thead", {}, make("tr", {}, ...cells("th", head))) : null,
    make("tbody", {}, ...rows.map((row) => make("tr", {}, ...cells("td", row))))));
}

/** Round values that divide a range into about four parts. */
function roundTicks([low, high]) {
  const rough = (high - low) / 4;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 2.5, 5, 10].find((part) => part * power >= rough) * power;
  const first = Math.ceil(low / step - 1e-9);
  return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, k) => (first + k) * step);
}

/** A chart with ticks; draw gets functions from values to places and returns elements. */
function makeChart(label, { x, y, xLabel, yLabel }, draw) {
  // Text in an SVG shrinks with it, so a phone gets a narrower chart, not a smaller one.
  const [width, height] = [Math.min(640, Math.max(300, document.body.clientWidth - 24)), 260];
  const [left, right, top, bottom] = [72, 14, 12, 44];
  const toX = (value) => left + ((value - x[0]) / (x[1] - x[0])) * (width - left - right);
  const toY = (value) => height - bottom - ((value - y[0]) / (y[1] - y[0])) * (height - top - bottom);
  const chart = makeSvg("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", "aria-label": label });
  const text = (content, attributes) => makeSvg("text", attributes, content);
  for (const value of roundTicks(y))
    chart.append(
      makeSvg("line", { class: "axis", x1: left, x2: width - right, y1: toY(value), y2: toY(value) }),
      text(short(value), { x: left - 8, y: toY(value) + 4, "text-anchor": "end" }));
  for (const value of roundTicks(x))
    chart.append(text(short(value), { x: toX(value), y: height - bottom + 18, "text-anchor": "middle" }));
  chart.append(
    text(xLabel, { x: (left + width - right) / 2, y: height - 4, "text-anchor": "middle" }),
    text(yLabel, { x: 14, y: top + (height - top - bottom) / 2, "text-anchor": "middle",
      transform: `rotate(-90 14 ${top + (height - top - bottom) / 2})` }),
    ...draw(toX, toY));
  return chart;
}

const short = (value) => String(Number(value.toPrecision(3)));

function start(facts, arrays) {
  const { spec } = facts;
  const records = readRecords(facts);
  const shown = records.filter((record) => record.place >= 0);
  const surfaces = readSurfaces(facts, arrays.vertices, arrays.faces);
  const gpu = location.hash.includes("js") ? null : makeGpu(spec);
  const inWorker = makeWorker(spec);
  const measure = { psnr_db: { name: "PSNR", unit: " dB", digits: 1 }, iou: { name: "IoU", unit: "", digits: 3 } }[facts.quality.measure];
  const isShape = spec.widths[0] === 3, isCurve = spec.widths[0] === 1;
  const levels = arrays.originals instanceof Uint8Array ? 255 : 65535;
  const channels = spec.widths.at(-1);

  const weightsOf = (record) => arrays.weights.subarray(record.place * spec.num_params, (record.place + 1) * spec.num_params);

  /** Values on a plane; with a key, null where a newer request of the same key came meanwhile. */
  async function evaluate(weights, plane, { layer = null, key = null } = {}) {
    const found = gpu && layer === null ? gpu(weights, plane) : null;
    return found ?? inWorker(weights, plane, layer, key);
  }

  const quality = (record) => record[facts.quality.measure];
  const inWords = (value) => value === Infinity ? "exact" : Number.isFinite(value) ? `${value.toFixed(measure.digits)}${measure.unit}` : "";
  const className = (record) => record.label_name || (record.label >= 0 ? String(record.label) : "");
  const describe = (record) => [record.item_id, className(record), `view ${record.view}`].filter(Boolean).join(", ");

  /** The original of a record as values in the network's range, or null. */
  function originalOf(record) {
    if (record.original < 0) return null;
    const [low, high] = spec.value_range;
    const size = record.sides.reduce((product, side) => product * side, channels);
    const cut = arrays.originals.subarray(record.original, record.original + size);
    return Float32Array.from(cut, (level) => low + (level / levels) * (high - low));
  }

  /** Absolute error of each sample as a share of the value range, averaged over channels. */
  function errorsOf(values, original) {
    const width = (spec.value_range[1] - spec.value_range[0]) * channels;
    return Float32Array.from({ length: values.length / channels }, (_, k) => {
      let sum = 0;
      for (let c = 0; c < channels; c++) sum += Math.abs(values[k * channels + c] - original[k * channels + c]);
      return sum / width;
    });
  }

  // The darkest error is four times that of a typical INR here.
  const typical = shown.map((record) => record.psnr_db).filter(Number.isFinite).sort((a, b) => a - b);
  const errorScale = typical.length ? Math.min(1, 4 * 10 ** (-typical[typical.length >> 1] / 20)) : 0.2;
  const errorColour = (errors) => (k) => between(ERRORS, errors[k] / errorScale);

  function drawCurve(canvas, values, dots = null) {
    const [width, height] = [canvas.clientWidth || 160, Math.round((canvas.clientWidth || 160) * 0.6)];
    canvas.style.aspectRatio = `${width} / ${height}`;
    canvas.width = width * 2;
    canvas.height = height * 2;
    const pen = canvas.getContext("2d");
    const [low, high] = spec.value_range;
    const toY = (value) => canvas.height * (0.95 - (0.9 * (value - low)) / (high - low));
    pen.strokeStyle = pen.fillStyle = darkMode() ? "#7cbcf0" : "#0b62a8";
    pen.lineWidth = 2;
    pen.beginPath();
    const num = values.length / channels;
    for (let k = 0; k < num; k++) pen.lineTo(((k + 0.5) / num) * canvas.width, toY(values[k * channels]));
    pen.stroke();
    for (const [share, value] of dots ?? []) pen.fillRect(share * canvas.width - 2, toY(value) - 2, 4, 4);
  }

  /** Draw a whole network into a canvas: its samples, or side * side points. */
  async function drawWhole(canvas, weights, grid, side = null, up = "y") {
    const plane = isCurve ? wholeOf(spec, grid, 256) : side ? wholeOf(spec, grid, side, up) : samplesOf(spec, grid);
    const values = await evaluate(weights, plane);
    if (isCurve) drawCurve(canvas, values);
    else paint(canvas, plane.width, plane.height, valueColours(spec, values));
    return values;
  }

  // ---- Gallery ----

  /** Pictures of a record: the INR, and its original and error where the page has them. */
  async function drawCard(record, canvases) {
    const [picture, original, error] = canvases;
    const mesh = surfaces.get(record.place);
    if (isShape) {
      if (mesh) drawSurface(picture, mesh, { azimuth: 0.6, elevation: 0.43, zoom: 1, up: record.up }, 160);
      else await drawWhole(picture, weightsOf(record), [64, 64, 64], 64, record.up);
      return;
    }
    const values = await drawWhole(picture, weightsOf(record), record.sides);
    const truth = original && originalOf(record);
    if (!truth) return;
    if (isCurve) return drawCurve(original, truth);
    const [rows, columns] = record.sides;
    paint(original, columns, rows, valueColours(spec, truth));
    paint(error, columns, rows, errorColour(errorsOf(values, truth)));
  }

  const queue = [];
  function drawQueued() {
    const begin = performance.now();
    while (queue.length && performance.now() - begin < 12) drawCard(...queue.shift());
    if (queue.length) requestAnimationFrame(drawQueued);
  }
  const watcher = new IntersectionObserver((entries) => {
    for (const entry of entries.filter((entry) => entry.isIntersecting)) {
      watcher.unobserve(entry.target);
      queue.push([records[entry.target.dataset.index], entry.target.querySelectorAll("canvas")]);
    }
    requestAnimationFrame(drawQueued);
  }, { rootMargin: "300px" });

  function makeCard(record, withOriginal = true) {
    const num = record.original >= 0 && withOriginal ? (isCurve ? 2 : 3) : 1;
    const pictures = record.place < 0
      ? [make("span", { class: "empty" }, record.status.replace("_", " "))]
      : Array.from({ length: num }, () => make("canvas", { width: 1, height: 1, "aria-hidden": "true" }));
    const card = make("button", {
      class: "card", "data-index": record.index, title: record.reason || null, type: "button",
      "aria-label": [describe(record), inWords(quality(record)), record.status.replace("_", " "), record.reason].filter(Boolean).join(", "),
      onclick: () => openRecord(record),
    },
    make("span", { class: "pictures" }, ...pictures),
    make("span", { class: "name" }, record.item_id),
    make("span", { class: "facts" }, [className(record), `view ${record.view}`, inWords(quality(record))].filter(Boolean).join(" · ")));
    if (record.place >= 0) watcher.observe(card);
    return card;
  }

  const hasOriginals = records.some((record) => record.original >= 0);
  const cards = records.map((record) => make("li", {}, makeCard(record)));
  const filters = {
    split: { label: "Split", of: (record) => record.split },
    class: { label: "Class", of: className },
    view: { label: "View", of: (record) => String(record.view) },
    status: { label: "Status", of: (record) => record.status },
  };

  function makeFilters() {
    const form = get("filters");
    for (const [name, { label, of }] of Object.entries(filters)) {
      const values = [...new Set(records.map(of))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const options = values.map((value) => make("option", { value }, value || "none"));
      form.append(make("label", { hidden: values.length < 2 }, label,
        make("select", { name }, make("option", { value: "*" }, "all"), ...options)));
    }
    for (const [name, label] of [["least", `${measure.name} from`], ["most", "to"]])
      form.append(make("label", {}, label, make("input", { type: "number", name, step: "any" })));
    form.append(make("label", {}, "Order", make("select", { name: "order" },
      ...[["stored", "as stored"], ["worst", "worst first"], ["best", "best first"]]
        .map(([value, text]) => make("option", { value }, text)))));
    form.addEventListener("input", applyFilters);
    form.addEventListener("submit", (event) => event.preventDefault());
  }

  function applyFilters() {
    const form = get("filters");
    const value = (name) => form.elements.namedItem(name).value;
    const number = (name, otherwise) => value(name) === "" ? otherwise : Number(value(name));
    const [least, most] = [number("least", -Infinity), number("most", Infinity)];
    const bounded = least > -Infinity || most < Infinity;
    const passes = (record) =>
      Object.entries(filters).every(([name, { of }]) => value(name) === "*" || of(record) === value(name))
      && (!bounded || (quality(record) !== null && quality(record) >= least && quality(record) <= most));
    const kept = records.filter(passes);
    const direction = { stored: 0, worst: 1, best: -1 }[value("order")];
    // Records without a measure come last in either order.
    if (direction) kept.sort((a, b) => (quality(a) === null) - (quality(b) === null) || direction * (quality(a) - quality(b)));
    get("cards").replaceChildren(...kept.map((record) => cards[record.index]));
    const all = facts.quality.rows;
    get("count").textContent = `${kept.length.toLocaleString("en")} of ${records.length.toLocaleString("en")} INRs shown`
      + (all > records.length ? `; the store holds ${all.toLocaleString("en")}` : "");
    const buttons = [...get("cards").querySelectorAll(".card")];
    buttons.forEach((button, k) => (button.tabIndex = k ? -1 : 0));
  }

  /** Arrow keys move among cards, so that Tab passes a thousand of them in one step. */
  function moveAmongCards(event) {
    const buttons = [...get("cards").querySelectorAll(".card")];
    const at = buttons.indexOf(document.activeElement);
    if (at < 0) return;
    const line = buttons.findIndex((button) => button.offsetTop > buttons[0].offsetTop);
    const columns = line < 0 ? buttons.length : line;
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, ArrowDown: at + columns, ArrowUp: at - columns, Home: 0, End: buttons.length - 1 }[event.key];
    if (to === undefined || !buttons[to]) return;
    event.preventDefault();
    buttons[at].tabIndex = -1;
    buttons[to].tabIndex = 0;
    buttons[to].focus();
  }

  // ---- One INR ----

  const MODES = {
    function: "The function: the network, evaluated at every point of the screen. Zoom in as far as you like, no pixels appear, because the weights are the picture.",
    pixels: "The samples: the network at the points of its data alone, each drawn as a square. This is all that was fitted.",
    original: "The original: the pixels that the network was fitted to.",
    error: `The error: absolute difference from the original at each sample. The darkest colour stands for ${(100 * errorScale).toPrecision(2)} % of the value range and more.`,
    surface: "The surface: where the function crosses from inside to outside, found by marching cubes when this page was made. Drag to turn it.",
    slice: "A slice: the function on a plane. Blue is inside, red outside, a band is a tenth of a unit, and the dark line is the surface. Depth moves the plane.",
  };
  let current = null, mode = "", place = { x: 0, y: 0, zoom: 1, azimuth: 0.6, elevation: 0.43, depth: 0 }, samples = null;

  function openRecord(record) {
    current = record;
    samples = null;
    const grid = isShape ? [64, 64, 64] : record.sides;
    place = { ...place, x: ((grid[1] ?? grid[0]) - 1) / 2, y: isCurve ? 0 : (grid[0] - 1) / 2, zoom: 1 };
    const allowed = isShape ? (surfaces.has(record.place) ? ["surface", "slice"] : ["slice"])
      : ["function", "pixels", ...(record.original >= 0 ? (isCurve ? ["original"] : ["original", "error"]) : [])];
    if (!allowed.includes(mode)) mode = allowed[0];
    get("modes").replaceChildren(...allowed.map((name) => make("button", {
      role: "radio", type: "button", "data-mode": name, "aria-checked": String(name === mode),
      onclick: () => setMode(name),
    }, name[0].toUpperCase() + name.slice(1))));
    get("one-name").textContent = describe(record);
    showRecord(record);
    const holds = record.place >= 0;
    for (const id of ["layers", "responses"]) get(id).replaceChildren();
    get("modes").hidden = get("stage").hidden = !holds;
    showTab("one");
    history.replaceState(null, "", `#row=${record.row}`);
    if (!holds) {
      get("mode-text").textContent = `This row holds no weights: ${record.reason || record.status}`;
      return;
    }
    setMode(mode);
    drawLayers(weightsOf(record));
    drawResponses(record);
  }

  function showRecord(record) {
    const hidden = ["index", "place", "original", "up", "sides"];
    const rows = Object.entries(record)
      .filter(([name, value]) => !hidden.includes(name) && value !== null && value !== "" && !(Array.isArray(value) && !value.length))
      .map(([name, value]) => make("tr", {},
        make("th", { scope: "row", title: facts.meanings[name] ?? null }, name),
        make("td", {}, Array.isArray(value) ? value.map((part) => typeof part === "number" ? short(part) : String(part)).join(" × ") : String(value))));
    get("record").replaceChildren(make("tbody", {}, ...rows));
  }

  function setMode(name) {
    mode = name;
    for (const button of get("modes").children) {
      button.setAttribute("aria-checked", String(button.dataset.mode === name));
      button.tabIndex = button.dataset.mode === name ? 0 : -1;
    }
    get("mode-text").textContent = MODES[name];
    get("slice-label").hidden = name !== "slice";
    get("stage").setAttribute("aria-label", `${describe(current)}: ${MODES[name]}`);
    showPlace();
    drawStage();
  }

  const stageGrid = () => isShape ? [64, 64, 64] : current.sides;
  const stageSpan = () => (isShape ? 64 : Math.max(...current.sides)) / place.zoom;

  /** The window of the stage, in pixels of the data. */
  function stageWindow(side) {
    const span = stageSpan();
    const height = isCurve ? 1 : span;
    return { left: place.x - span / 2, top: isCurve ? -0.5 : place.y - span / 2, width: span, height, columns: side, rows: isCurve ? 1 : side, depth: place.depth, up: current.up };
  }

  // Points of a draft grow and shrink with the time that one takes.
  let draftSide = 192, refine = 0;
  async function drawStage(moving = false) {
    const stage = get("stage");
    if (!current || current.place < 0 || stage.hidden) return;
    clearTimeout(refine);
    const full = Math.min(gpu ? 720 : 288, Math.round((stage.clientWidth || 480) * (devicePixelRatio || 1)));
    const side = moving ? Math.min(full, draftSide) : full;
    const begin = performance.now();
    if (mode === "surface") drawSurface(stage, surfaces.get(current.place), { ...place, up: current.up }, side);
    else if (isCurve) await drawStageCurve(stage);
    else if (mode === "function" || mode === "slice") {
      const plane = planeOf(spec, stageGrid(), stageWindow(side));
      const values = await evaluate(weightsOf(current), plane, { key: "stage" });
      if (!values) return;
      paint(stage, side, side, valueColours(spec, values));
    } else await drawSamples(stage, full);
    if (mode !== "surface") outline(stage);
    stage.dataset.drawn = `${mode} ${current.row}`;
    if (!moving) return;
    const took = performance.now() - begin;
    if (took > 40 && draftSide > 96) draftSide = Math.round(draftSide / 1.3);
    if (took < 12) draftSide = Math.round(draftSide * 1.2);
    refine = setTimeout(drawStage, 150);
  }

  /** Values on the samples of the current record, evaluated once. */
  async function sampleValues() {
    const record = current;
    samples ??= await evaluate(weightsOf(record), samplesOf(spec, record.sides));
    return samples;
  }

  async function drawSamples(stage, side) {
    const record = current, kind = mode;
    const values = await sampleValues();
    if (record !== current || kind !== mode) return;
    const [rows, columns] = record.sides;
    const small = document.createElement("canvas");
    const truth = originalOf(record);
    paint(small, columns, rows, kind === "error" ? errorColour(errorsOf(values, truth))
      : valueColours(spec, kind === "original" ? truth : values));
    stage.width = stage.height = side;
    const pen = stage.getContext("2d");
    pen.imageSmoothingEnabled = false;
    const { left, top, width } = stageWindow(side);
    const unit = side / width;
    pen.drawImage(small, (-0.5 - left) * unit, (-0.5 - top) * unit, columns * unit, rows * unit);
  }

  async function drawStageCurve(stage) {
    const truth = mode === "original" ? originalOf(current) : null;
    const { left, width } = stageWindow(512);
    const values = await evaluate(weightsOf(current), planeOf(spec, current.sides, stageWindow(512)), { key: "stage" });
    if (!values) return;
    const held = mode === "pixels" ? await sampleValues() : truth;
    const dots = held && Array.from({ length: current.sides[0] }, (_, k) => [(k - left) / width, held[k * channels]]);
    drawCurve(stage, values, dots);
  }

  /** Mark the edge of the data: beyond it the function goes on, but nothing was fitted. */
  function outline(stage) {
    if (isCurve) return;
    const grid = stageGrid();
    const { left, top, width } = stageWindow(stage.width);
    const unit = stage.width / width;
    const pen = stage.getContext("2d");
    pen.strokeStyle = "#e69f00";
    pen.setLineDash([6, 5]);
    pen.strokeRect((-0.5 - left) * unit, (-0.5 - top) * unit, grid[1] * unit, grid[0] * unit);
  }

  function zoomBy(factor, shareX = 0.5, shareY = 0.5) {
    const zoom = Math.min(10000, Math.max(0.25, place.zoom * factor));
    const before = stageSpan();
    place.zoom = zoom;
    const lost = before - stageSpan();
    place.x += (shareX - 0.5) * lost;
    if (!isCurve) place.y += (shareY - 0.5) * lost;
    showPlace();
    drawStage(true);
  }

  /** Move by shares of the stage, or turn a surface. */
  function moveBy(shareX, shareY) {
    if (mode === "surface") {
      place.azimuth -= 3.5 * shareX;
      place.elevation = Math.min(1.55, Math.max(-1.55, place.elevation + 3.5 * shareY));
    } else {
      place.x -= shareX * stageSpan();
      if (!isCurve) place.y -= shareY * stageSpan();
    }
    showPlace();
    drawStage(true);
  }

  function showPlace(shareX = 0.5, shareY = 0.5) {
    const zoom = `×${place.zoom < 10 ? place.zoom.toFixed(1) : Math.round(place.zoom).toLocaleString("en")}`;
    if (mode === "surface") return void (get("readout").textContent = zoom);
    const window = stageWindow(1);
    const point = planeOf(spec, stageGrid(), { ...window, left: window.left + (shareX - 0.5) * window.width, top: window.top + (shareY - 0.5) * window.height, columns: 1, rows: 1 });
    const values = [...evaluatePlane(spec, weightsOf(current), point, null)];
    get("readout").textContent = `${zoom} · (${point.origin.map((part) => part.toFixed(3)).join(", ")}) → ${values.slice(0, 3).map((value) => value.toFixed(3)).join(", ")}`;
  }

  function watchStage() {
    const stage = get("stage");
    const fingers = new Map();
    const share = (event) => {
      const box = stage.getBoundingClientRect();
      return [(event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height];
    };
    const spread = () => {
      const [[ax, ay], [bx, by]] = fingers.values();
      return Math.hypot(ax - bx, ay - by);
    };
    stage.addEventListener("pointerdown", (event) => {
      stage.setPointerCapture(event.pointerId);
      fingers.set(event.pointerId, share(event));
    });
    stage.addEventListener("pointermove", (event) => {
      const now = share(event);
      const old = fingers.get(event.pointerId);
      if (!old) return showPlace(...now);
      const before = fingers.size === 2 ? spread() : 0;
      fingers.set(event.pointerId, now);
      if (fingers.size === 2) zoomBy(spread() / before, ...now);
      else moveBy(now[0] - old[0], now[1] - old[1]);
    });
    for (const kind of ["pointerup", "pointercancel"])
      stage.addEventListener(kind, (event) => fingers.delete(event.pointerId));
    stage.addEventListener("wheel", (event) => {
      event.preventDefault();
      zoomBy(1.0015 ** -event.deltaY, ...share(event));
    }, { passive: false });
    stage.addEventListener("keydown", (event) => {
      const act = {
        ArrowLeft: () => moveBy(0.1, 0), ArrowRight: () => moveBy(-0.1, 0),
        ArrowUp: () => moveBy(0, 0.1), ArrowDown: () => moveBy(0, -0.1),
        "+": () => zoomBy(1.5), "=": () => zoomBy(1.5), "-": () => zoomBy(1 / 1.5), 0: zoomOut,
      }[event.key];
      if (!act) return;
      event.preventDefault();
      act();
    });
    get("zoom-in").onclick = () => zoomBy(1.5);
    get("zoom-out").onclick = () => zoomBy(1 / 1.5);
    get("zoom-reset").onclick = zoomOut;
    get("slice").oninput = () => {
      place.depth = Number(get("slice").value);
      drawStage(true);
    };
    get("modes").addEventListener("keydown", (event) => rove(event, [...get("modes").children]));
  }

  function zoomOut() {
    const grid = stageGrid();
    place = { ...place, x: ((grid[1] ?? grid[0]) - 1) / 2, y: isCurve ? 0 : (grid[0] - 1) / 2, zoom: 1 };
    showPlace();
    drawStage();
  }

  function drawLayers(weights) {
    let offset = 0;
    const last = spec.widths.length - 2;
    const figures = spec.widths.slice(1).map((fanOut, l) => {
      const fanIn = spec.widths[l];
      const [from, bias] = [offset, offset + fanIn * fanOut];
      offset = bias + fanOut;
      const most = weights.subarray(from, offset).reduce((top, weight) => Math.max(top, Math.abs(weight)), 1e-9);
      const canvas = make("canvas", { role: "img", "aria-label": `Weights of layer ${l + 1}` });
      paint(canvas, fanIn + 1, fanOut, (k) => {
        const [row, column] = [Math.floor(k / (fanIn + 1)), k % (fanIn + 1)];
        const weight = column === fanIn ? weights[bias + row] : weights[from + row * fanIn + column];
        return between(DIVERGING, 0.5 + weight / most / 2);
      });
      const cell = Math.max(1, Math.min(14, Math.floor(230 / Math.max(fanIn + 1, fanOut))));
      canvas.style.width = `${Math.max(cell * (fanIn + 1), 14)}px`;
      return make("figure", {}, canvas, make("figcaption", {},
        make("b", {}, l === last ? "Output layer" : `Hidden layer ${l + 1}`),
        `${fanOut} × ${fanIn}, up to ${short(most)}${l === last ? "" : `, ω ${short(spec.omega[l])}`}`));
    });
    get("layers").replaceChildren(...figures);
  }

  async function drawResponses(record) {
    const grid = isShape ? [24, 24, 24] : record.sides;
    const side = Math.min(32, Math.max(...grid));
    get("responses-text").textContent = `The output of each hidden unit over the ${isShape ? "slice in the middle" : isCurve ? "signal, a row a unit" : "picture"}: blue below zero, red above. Layers build waves, then shapes, from which the last layer sums the picture.`;
    for (let l = 0; l < spec.widths.length - 2; l++) {
      const units = Math.min(spec.widths[l + 1], 128);
      const plane = wholeOf(spec, grid, side, record.up);
      const found = await evaluate(weightsOf(record), plane, { layer: l, key: `layer ${l}` });
      if (!found || record !== current) return;
      const most = spec.activation === "relu" ? found.reduce((top, value) => Math.max(top, value), 1e-9) : 1;
      const canvas = make("canvas", { role: "img", "aria-label": `Responses of ${units} units of hidden layer ${l + 1}` });
      const across = isCurve ? 1 : Math.ceil(Math.sqrt(units * 2));
      const [width, height] = [plane.width + 1, plane.height + (isCurve ? 0 : 1)];
      const down = Math.ceil(units / across);
      paint(canvas, across * width, down * height, (k) => {
        const [x, y] = [k % (across * width), Math.floor(k / (across * width))];
        const unit = Math.floor(y / height) * across + Math.floor(x / width);
        const [column, row] = [x % width, y % height];
        if (unit >= units || column === plane.width || row === plane.height) return darkMode() ? [30, 33, 39] : [255, 255, 255];
        const value = found[(row * plane.width + column) * spec.widths[l + 1] + unit];
        return between(DIVERGING, 0.5 + value / most / 2);
      });
      canvas.style.width = `${Math.min(across * width * 2, 560)}px`;
      if (isCurve) canvas.style.height = `${units * 4}px`;
      get("responses").append(make("figure", {}, canvas, make("figcaption", {}, make("b", {}, `Hidden layer ${l + 1}`), `${units} units`)));
    }
  }

  // ---- Between two ----

  const KINDS = { none: "As they are", permutation: "Permuted", signed: "Permuted, with signs" };
  const kinds = ["none", ...facts.moves];
  const partners = new Map();
  facts.pairs.forEach(([first, second], k) => {
    if (!partners.has(first)) partners.set(first, []);
    partners.get(first).push([second, k]);
  });
  let path = null;

  function makeBetween() {
    const firsts = [...partners.keys()];
    get("tab-between").hidden = !firsts.length;
    if (!firsts.length) return;
    get("start-text").textContent = facts.start
      ? "These networks began at learned starts, which put the units of all networks in one order, so the line is good without matching." : "";
    get("first").append(...firsts.map((first) => make("option", { value: first }, describe(shown[first]))));
    get("first").onchange = () => chooseFirst(Number(get("first").value));
    get("second").onchange = choosePair;
    get("slider").oninput = () => drawPath(true);
    get("play").onclick = play;
  }

  function chooseFirst(first) {
    get("first").value = String(first);
    get("second").replaceChildren(...partners.get(first).map(([second, k]) =>
      make("option", { value: k }, shown[second].item_id === shown[first].item_id ? `view ${shown[second].view} of the same item` : describe(shown[second]))));
    return choosePair();
  }

  async function choosePair() {
    const k = Number(get("second").value);
    const [first, second] = facts.pairs[k].map((at) => shown[at]);
    const units = spec.widths.slice(1, -1).reduce((sum, width) => sum + width, 0);
    const ends = [weightsOf(first), weightsOf(second)];
    path = { first, second, grid: isShape ? [32, 32, 32] : first.sides, from: ends[0], to: {} };
    for (const kind of kinds)
      path.to[kind] = kind === "none" ? ends[1] : moveUnits(spec, ends[1], arrays.moves[kind].subarray(k * units, (k + 1) * units));
    const distance = (kind) => Math.sqrt(path.from.reduce((sum, weight, p) => sum + (weight - path.to[kind][p]) ** 2, 0));
    const picture = (id, name, text) => make("figure", {},
      make("canvas", { "data-path": id, role: "img", "aria-label": name }),
      make("figcaption", {}, make("b", { class: id }, name), make("span", { "data-text": id }, text)));
    get("path").replaceChildren(
      picture("first", "First", describe(first)),
      ...kinds.map((kind) => picture(kind, KINDS[kind], `distance of weights ${short(distance(kind))}`)),
      picture("second", "Second", describe(second)));
    await drawEnd("first", path.from);
    await drawEnd("second", path.to.none);
    drawPath();
    await drawLoss();
  }

  const pathCanvas = (id) => get("path").querySelector(`[data-path="${id}"]`);
  const drawEnd = (id, weights) => drawWhole(pathCanvas(id), weights, path.grid, finest, path.first.up);

  // One frame at a time: a slider moves faster than a slow machine draws.
  const finest = gpu ? 192 : 96;
  let drawing = false, again = false, pathSide = finest, refinePath = 0;
  async function drawPath(moving = false) {
    if (drawing) return void (again = true);
    drawing = true;
    clearTimeout(refinePath);
    const share = Number(get("slider").value);
    get("share").textContent = share.toFixed(2);
    const begin = performance.now();
    for (const kind of kinds)
      await drawWhole(pathCanvas(kind), mix(path.from, path.to[kind], share), path.grid, moving ? pathSide : finest, path.first.up);
    const cursor = get("loss").querySelector(".cursor");
    if (cursor) cursor.setAttribute("transform", `translate(${cursor.dataset.width * share} 0)`);
    const took = performance.now() - begin;
    if (moving) pathSide = Math.round(Math.min(finest, Math.max(48, pathSide * (took > 30 ? 0.8 : 1.1))));
    get("path").dataset.drawn = share.toFixed(3);
    drawing = false;
    if (again) {
      again = false;
      requestAnimationFrame(() => drawPath(moving));
    } else if (moving) refinePath = setTimeout(drawPath, 150);
  }

  /** Loss along the way against the original, or against a cross-fade of the two pictures. */
  async function drawLoss() {
    const held = path;
    const plane = isShape ? wholeOf(spec, path.grid, 32, path.first.up) : samplesOf(spec, path.grid);
    const truth = path.first.item_id === path.second.item_id ? originalOf(path.first) : null;
    const ends = [await evaluate(path.from, plane), await evaluate(path.to.none, plane)];
    const shares = Array.from({ length: 21 }, (_, k) => k / 20);
    const losses = {};
    for (const kind of kinds) {
      losses[kind] = [];
      for (const share of shares) {
        const values = await evaluate(mix(held.from, held.to[kind], share), plane);
        const wanted = truth ?? mix(ends[0], ends[1], share);
        losses[kind].push(values.reduce((sum, value, k) => sum + (value - wanted[k]) ** 2, 0) / values.length);
      }
    }
    if (held !== path) return;
    get("loss-title").textContent = truth ? "Loss along the way" : "Distance from a cross-fade of the two pictures, along the way";
    const most = Math.max(...Object.values(losses).flat(), 1e-9);
    const chart = makeChart("Loss along the way", { x: [0, 1], y: [0, most], xLabel: "share of the second network", yLabel: "mean squared error" }, (toX, toY) => {
      const cursor = makeSvg("line", { class: "cursor", x1: toX(0), x2: toX(0), y1: toY(0), y2: toY(most), "data-width": toX(1) - toX(0) });
      return [...kinds.map((kind) => makeSvg("polyline", { class: `line ${kind}`, points: losses[kind].map((loss, k) => `${toX(shares[k])},${toY(loss)}`).join(" ") })), cursor];
    });
    const worst = (kind) => `${KINDS[kind]}: at most ${short(Math.max(...losses[kind]))}`;
    get("loss").replaceChildren(make("p", {}, ...kinds.map((kind) => make("span", { class: `key ${kind}` }, make("span", {}, worst(kind))))), chart);
    get("loss").dataset.drawn = get("second").value;
    drawPath();
  }

  let playing = 0;
  function play() {
    const button = get("play");
    const on = button.getAttribute("aria-pressed") === "false";
    button.setAttribute("aria-pressed", String(on));
    button.textContent = on ? "Pause" : "Play";
    cancelAnimationFrame(playing);
    if (!on) return;
    const step = (time) => {
      get("slider").value = String(0.5 - 0.5 * Math.cos(time / 1500));
      drawPath(true);
      playing = requestAnimationFrame(step);
    };
    playing = requestAnimationFrame(step);
  }

  // ---- Quality and about ----

  function makeQuality() {
    const { statuses, edges, splits, classes } = facts.quality;
    const section = get("quality");
    const rows = Object.entries(statuses).map(([status, count]) => [status.replace("_", " "), count.toLocaleString("en")]);
    section.append(make("h2", {}, `Quality of all ${facts.quality.rows.toLocaleString("en")} INRs of ${facts.quality.items.toLocaleString("en")} items`));
    section.append(makeTable(null, rows, [1]));
    const measured = Object.entries(splits).filter(([, found]) => found.p50 !== undefined);
    if (measured.length) section.append(make("h3", {}, `${measure.name} by split`), ...drawHistogram(measured, edges));
    else section.append(make("p", {}, "No quality was measured, as for rows that were not fitted but made of others."));
    if (classes.length) section.append(make("h3", {}, `${measure.name} by class`), drawClasses(classes));
    const ranked = shown.filter((record) => Number.isFinite(quality(record))).sort((a, b) => quality(a) - quality(b));
    const num = Math.min(8, ranked.length >> 1);
    for (const [title, chosen] of [["Worst rows", ranked.slice(0, num)], ["Best rows", ranked.slice(ranked.length - num).reverse()]])
      if (num) section.append(make("h3", {}, title), make("div", { class: "row-of-cards" }, ...chosen.map((record) => makeCard(record, false))));
    const bad = records.filter((record) => record.place < 0);
    if (bad.length) section.append(make("h3", {}, "Rows without weights"),
      makeTable(["item", "view", "status", "reason"], bad.map((record) => [record.item_id, String(record.view), record.status.replace("_", " "), record.reason])));
  }

  function drawHistogram(measured, edges) {
    const shares = measured.map(([split, found]) => [split, found.counts.map((count) => (100 * count) / Math.max(found.rows, 1)), found]);
    const most = Math.max(...shares.flatMap(([, heights]) => heights), 1);
    const chart = makeChart(`Histogram of ${measure.name} by split`, { x: [edges[0], edges.at(-1)], y: [0, most], xLabel: measure.name + measure.unit.replace(" ", ", in "), yLabel: "share of split, %" }, (toX, toY) => {
      const target = facts.target_db !== null && facts.quality.measure === "psnr_db" && facts.target_db >= edges[0] && facts.target_db <= edges.at(-1)
        ? [makeSvg("line", { class: "cursor", x1: toX(facts.target_db), x2: toX(facts.target_db), y1: toY(0), y2: toY(most) })] : [];
      return [...shares.flatMap(([split, heights]) => {
        const steps = heights.flatMap((height, k) => [[edges[k], height], [edges[k + 1], height]]);
        const points = [[edges[0], 0], ...steps, [edges.at(-1), 0]].map(([x, y]) => `${toX(x)},${toY(y)}`).join(" ");
        return [makeSvg("polygon", { class: `area ${split}`, points }), makeSvg("polyline", { class: `line ${split}`, points })];
      }), ...target];
    });
    const keys = shares.map(([split, , found]) => make("span", { class: `key ${split}` }, make("span", {}, `${split}: ${found.rows.toLocaleString("en")} INRs, median ${inWords(found.p50)}`)));
    return [make("p", {}, ...keys), chart];
  }

  function drawClasses(classes) {
    const [low, high] = [Math.min(...classes.map((found) => found.p5)), Math.max(...classes.map((found) => found.p95))];
    const bar = (found) => {
      const at = (value) => 2 + (196 * (value - low)) / (high - low || 1);
      return makeSvg("svg", { viewBox: "0 0 200 14", role: "img", "aria-label": `5th to 95th percentile ${inWords(found.p5)} to ${inWords(found.p95)}`, class: "train spread" },
        makeSvg("line", { class: "bar", x1: at(found.p5), x2: at(found.p95), y1: 7, y2: 7 }),
        makeSvg("rect", { class: "bar", x: at(found.p25), width: Math.max(at(found.p75) - at(found.p25), 1), y: 3, height: 8 }),
        makeSvg("circle", { class: "dot", cx: at(found.p50), cy: 7, r: 3 }));
    };
    return makeTable(["class", "INRs", "median", "5th to 95th percentile"],
      classes.map((found) => [found.name, found.rows.toLocaleString("en"), inWords(found.p50), bar(found)]), [1, 2]);
  }

  function makeAbout() {
    const row = (name, value) => [name, typeof value === "string" ? value : JSON.stringify(value)];
    const conventions = [
      ["Widths", spec.widths.join("-")],
      ["Parameters", `${spec.num_params.toLocaleString("en")} float32: for each layer W (out × in), then b`],
      ["Activation", `${spec.activation} of ω (W h + b), in every layer but the last`],
      ["Frequency ω", spec.omega.map(short).join(", ")],
      ["Added to the output", short(spec.output_offset)],
      ["Coordinates", `${spec.coord_order} in [${spec.coord_range.join(", ")}], ends included, along the longest side`],
      ["Order of coordinates", spec.coord_order === "xy" ? "coordinate 0 is the column, coordinate 1 the row" : "coordinate i runs along axis i of a grid"],
      ["Values", `${spec.value_kind.replaceAll("_", " ")} in [${spec.value_range.join(", ")}]`],
      ["Group of the store", spec.id],
    ];
    get("about").append(
      make("h2", {}, "Conventions"), makeTable(null, conventions),
      ...Object.entries(facts.snippets).flatMap(([title, text]) => [make("h3", {}, title), make("pre", { tabindex: "0" }, text)]),
      make("h3", {}, "How it was made"), makeTable(null, Object.entries(facts.facts).map(([name, value]) => row(name, value))),
      make("h3", {}, "All that decides its content"), make("pre", { tabindex: "0" }, JSON.stringify(facts.identity, null, 1)));
  }

  // ---- Tabs ----

  const tabs = [...get("tabs").children];
  let seen = new Set();
  function showTab(name) {
    for (const tab of tabs) {
      const on = tab.id === `tab-${name}`;
      tab.setAttribute("aria-selected", String(on));
      tab.tabIndex = on ? 0 : -1;
      get(tab.getAttribute("aria-controls")).hidden = !on;
    }
    if (name === "one" && !current && shown.length) openRecord(shown[0]);
    else if (name === "one") drawStage();
    if (name === "between" && current && partners.has(current.place) && current.place !== path?.first.place) chooseFirst(current.place);
    else if (name === "between" && !path) chooseFirst(partners.keys().next().value);
    if (name === "quality" && !seen.has(name)) makeQuality();
    if (name === "about" && !seen.has(name)) makeAbout();
    seen.add(name);
  }

  /** Arrow keys within a group of buttons, as ARIA's patterns for tabs and radios ask. */
  function rove(event, buttons) {
    const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
    if (!step) return;
    event.preventDefault();
    const open = buttons.filter((button) => !button.hidden);
    const to = open[(open.indexOf(document.activeElement) + step + open.length) % open.length];
    to.focus();
    to.click();
  }

  document.title = facts.title;
  get("title").textContent = facts.title;
  get("summary").textContent = facts.summary;
  get("evaluator").textContent = gpu ? "It uses the GPU through WebGL2." : "It uses JavaScript in a worker.";
  document.documentElement.style.setProperty("--card-width", isShape ? "10rem" : hasOriginals ? "12.5rem" : "7.5rem");
  if (hasOriginals && !isCurve)
    get("legend").textContent = `Each card: the INR, its original, and the error, from none (white) to ${(100 * errorScale).toPrecision(2)} % of the value range (black).`;
  makeFilters();
  applyFilters();
  makeBetween();
  watchStage();
  get("cards").addEventListener("keydown", moveAmongCards);
  get("tabs").addEventListener("keydown", (event) => rove(event, tabs));
  tabs.forEach((tab) => (tab.onclick = () => showTab(tab.id.slice(4))));
  get("previous").onclick = () => openRecord(records[(current.index + records.length - 1) % records.length]);
  get("next").onclick = () => openRecord(records[(current.index + 1) % records.length]);
  addEventListener("resize", () => drawStage());
  const asked = /row=(\d+)/.exec(location.hash);
  const wanted = asked && records.find((record) => record.row === Number(asked[1]));
  if (wanted) openRecord(wanted);
  document.body.dataset.ready = "yes";
}

(async () => {
  const text = new TextDecoder().decode(await unpack("document", Uint8Array));
  const facts = JSON.parse(text);
  const arrays = {
    weights: await unpack("weights", Float32Array),
    originals: await unpack("originals", facts.spec.widths[0] === 2 ? Uint8Array : Uint16Array),
    vertices: await unpack("vertices", Uint16Array),
    faces: await unpack("faces", Uint32Array),
    moves: {},
  };
  for (const kind of facts.moves) arrays.moves[kind] = await unpack(`moves-${kind}`, Int16Array);
  start(facts, arrays);
})();
