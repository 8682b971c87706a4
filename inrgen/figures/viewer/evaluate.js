// Networks: their values on planes of points, by WebGL2 or by a worker.

/** Each activation of z = omega (W h + b) and w = omega, as JavaScript and as a GLSL expression. */
const ACTIVATIONS = {
  sine: { inScript: (z) => Math.sin(z), inShader: "sine(z)" },
  tanh: { inScript: (z) => Math.tanh(z), inShader: "tanh(clamp(z, -20.0, 20.0))" },
  relu: { inScript: (z) => Math.max(z, 0), inShader: "max(z, 0.0)" },
  gaussian: { inScript: (z) => Math.exp((-z * z) / 2), inShader: "exp(-0.5 * z * z)" },
  sinc: {
    inScript: (z) => (z === 0 ? 1 : Math.sin(z) / z),
    inShader: "sine(max(abs(z), 1e-3)) / max(abs(z), 1e-3)",
  },
  finer: {
    inScript: (z, w) => Math.sin(z * (Math.abs(z) / w + 1)),
    inShader: "sine(z * (abs(z) / w + 1.0))",
  },
};

// Written out, since WebGL promises little for the sine of arguments beyond pi.
const SINE = `
    vec4 sine(vec4 z) {
      vec4 turns = round(z * 0.15915494);
      vec4 x = (z - turns * 6.28125) - turns * 0.0019353072;
      x = mix(x, sign(x) * 3.14159265 - x, step(1.57079633, abs(x)));
      vec4 s = x * x;
      return x * (1.0 + s * (-1.0 / 6.0 + s * (1.0 / 120.0 + s * (-1.0 / 5040.0
        + s * (1.0 / 362880.0 - s / 39916800.0)))));
    }`;

/**
 * Values of a network on a plane of points origin + column * right + row * down, row-major; with
 * layer given, the activations of that hidden layer. The worker runs this text, so it refers to
 * nothing outside itself.
 */
function evaluateBy(activate, spec, weights, plane, layer) {
  const { widths, omega } = spec, dims = plane.origin.length;
  const rows = spec.encoding?.frequencies;
  const last = widths.length - 2, stop = layer ?? last, total = plane.width * plane.height;
  const found = new Float32Array(total * widths[stop + 1]);
  // Points in parts, so that a large plane needs little memory.
  for (let begin = 0; begin < total; begin += 1024) {
    const num = Math.min(1024, total - begin);
    let hidden = new Float64Array(num * dims).map((_, at) => {
      const d = at % dims, point = begin + Math.floor(at / dims);
      const [column, row] = [point % plane.width, Math.floor(point / plane.width)];
      return plane.origin[d] + column * plane.right[d] + row * plane.down[d];
    });
    if (rows) {
      const coords = hidden;
      // All cosines of a point, then all its sines.
      hidden = new Float64Array(num * widths[0]).map((_, at) => {
        const p = Math.floor(at / widths[0]), k = at % widths[0];
        const turns = rows[k % rows.length].reduce((sum, f, d) => sum + f * coords[p * dims + d], 0);
        return Math[k < rows.length ? "cos" : "sin"](2 * Math.PI * turns);
      });
    }
    let offset = 0;
    for (let l = 0; l <= stop; l++) {
      const fanIn = widths[l], fanOut = widths[l + 1], bias = offset + fanIn * fanOut;
      const next = new Float64Array(num * fanOut);
      for (let p = 0; p < num; p++)
        for (let o = 0; o < fanOut; o++) {
          let z = weights[bias + o];
          for (let i = 0; i < fanIn; i++)
            z += weights[offset + o * fanIn + i] * hidden[p * fanIn + i];
          next[p * fanOut + o] = l === last ? z + spec.output_offset : activate(omega[l] * z, omega[l]);
        }
      hidden = next;
      offset = bias + fanOut;
    }
    found.set(hidden, begin * widths[stop + 1]);
  }
  return found;
}

/** A function that evaluates in a worker, the newest request first. */
function makeWorker() {
  const code = `${evaluateBy}
    const activate = ${ACTIVATIONS[spec.activation].inScript};
    onmessage = ({ data }) => {
      const found = evaluateBy(activate, ...data);
      postMessage(found, [found.buffer]);
    };`;
  const worker = new Worker(URL.createObjectURL(new Blob([code], { type: "text/javascript" })));
  const waiting = [];
  let answer = null;
  function advance() {
    if (answer || !waiting.length) return;
    const next = waiting.pop();
    answer = next.answer;
    worker.postMessage([spec, ...next.request]);
  }
  worker.onmessage = ({ data }) => {
    answer(data);
    answer = null;
    advance();
  };
  return (...request) =>
    new Promise((answer) => {
      waiting.push({ request, answer });
      advance();
    });
}

/**
 * The same on the GPU, or null where WebGL2 or float textures are missing, for wide networks and
 * for those on Fourier features.
 * A fragment is a point. Weights lie in a texture, four to a texel, each layer padded to fours.
 */
function makeGpu() {
  const { widths, omega } = spec;
  if (Math.max(...widths) > 256 || channels > 4 || spec.encoding) return null;
  const gl = document.createElement("canvas").getContext("webgl2");
  if (!gl?.getExtension("EXT_color_buffer_float")) return null;
  // WebGL in software is slower than the worker, so #webgl2 must ask for it.
  const named = gl.getExtension("WEBGL_debug_renderer_info");
  const isSoftware = named && /SwiftShader|llvmpipe/.test(gl.getParameter(named.UNMASKED_RENDERER_WEBGL));
  if (isSoftware && !location.hash.includes("webgl2")) return null;
  let texels = 0;
  const layers = widths.slice(1).map((fanOut, l) => {
    const layer = { fanIn: widths[l], fanOut, from: texels };
    [layer.ins, layer.outs] = [Math.ceil(widths[l] / 4), Math.ceil(fanOut / 4)];
    layer.bias = texels + 4 * layer.ins * layer.outs;
    texels = layer.bias + layer.outs;
    return layer;
  });
  const body = layers.map(({ ins, outs, from, bias }, l) => `
      vec4 h${l + 1}[${outs}];
      for (int o = 0; o < ${outs}; o++) {
        vec4 z = at(${bias} + o);
        for (int i = 0; i < ${ins}; i++) {
          vec4 x = h${l}[i];
          int k = ${from} + 4 * o * ${ins} + i;
          z += vec4(dot(at(k), x), dot(at(k + ${ins}), x),
                    dot(at(k + ${2 * ins}), x), dot(at(k + ${3 * ins}), x));
        }
        h${l + 1}[o] = ${l + 1 < layers.length ? `activate(${omega[l].toFixed(8)} * z, ${omega[l].toFixed(8)})` : "z"};
      }`);
  const fragment = `#version 300 es
    precision highp float;
    precision highp sampler2D;
    uniform sampler2D net;
    uniform vec3 origin, right, down;
    out vec4 value;
    vec4 at(int k) { return texelFetch(net, ivec2(k & 255, k >> 8), 0); }
    ${SINE}
    vec4 activate(vec4 z, float w) { return ${ACTIVATIONS[spec.activation].inShader}; }
    void main() {
      vec2 place = floor(gl_FragCoord.xy);
      vec4 h0[1];
      h0[0] = vec4(origin + place.x * right + place.y * down, 0.0);
      ${body.join("")}
      value = h${layers.length}[0] + ${spec.output_offset.toFixed(8)};
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
  // Weights are texture 0, and the values are drawn into texture 1.
  const [net, target] = [gl.createTexture(), gl.createTexture()];
  gl.bindFramebuffer(gl.FRAMEBUFFER, gl.createFramebuffer());
  const fill = (texture, width, height, values) => {
    gl.bindTexture(gl.TEXTURE_2D, texture);
    // Without both, a float texture is incomplete and reads as zeros.
    for (const filter of [gl.TEXTURE_MIN_FILTER, gl.TEXTURE_MAG_FILTER])
      gl.texParameteri(gl.TEXTURE_2D, filter, gl.NEAREST);
    gl.texImage2D(gl.TEXTURE_2D, 0, gl.RGBA32F, width, height, 0, gl.RGBA, gl.FLOAT, values);
  };
  const padded = new Float32Array(Math.ceil(texels / 256) * 1024);
  let size = "";
  return (weights, plane) => {
    const { width, height } = plane;
    if (size !== `${width} ${height}`) {
      size = `${width} ${height}`;
      fill(target, width, height, null);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, target, 0);
      gl.viewport(0, 0, width, height);
    }
    let offset = 0;
    for (const { fanIn, fanOut, from, ins, bias } of layers) {
      for (let o = 0; o < fanOut; o++, offset += fanIn)
        padded.set(weights.subarray(offset, offset + fanIn), 4 * (from + o * ins));
      padded.set(weights.subarray(offset, (offset += fanOut)), 4 * bias);
    }
    fill(net, 256, padded.length / 1024, padded);
    for (const name of ["origin", "right", "down"]) {
      const [x, y = 0, z = 0] = plane[name];
      gl.uniform3f(gl.getUniformLocation(program, name), x, y, z);
    }
    gl.drawArrays(gl.TRIANGLES, 0, 3);
    const four = new Float32Array(width * height * 4);
    gl.readPixels(0, 0, width, height, gl.RGBA, gl.FLOAT, four);
    if (gl.isContextLost()) return null;
    return channels === 4 ? four : four.filter((_, at) => at % 4 < channels);
  };
}

const inWorker = makeWorker();
const gpu = makeGpu();

/** Values of a network on a plane, or the activations of one of its hidden layers. */
async function evaluate(weights, plane, layer = null) {
  const found = gpu && layer === null ? gpu(weights, plane) : null;
  return found ?? inWorker(weights, plane, layer);
}

/** Values at the one point of a plane, at once. */
const evaluateHere = (weights, plane) =>
  [...evaluateBy(ACTIVATIONS[spec.activation].inScript, spec, weights, plane, null)];

/** Weights on the straight line between two networks. */
const mix = (first, second, share) =>
  first.map((weight, k) => (1 - share) * weight + share * second[k]);

/** Reorder and negate hidden units: position i takes unit |moves[i]| - 1, negated if below 0. */
function moveUnits(weights, moves) {
  const { widths } = spec, moved = new Float32Array(weights.length);
  const kept = (width) => Int16Array.from({ length: width }, (_, k) => k + 1);
  let offset = 0, unit = 0, before = kept(widths[0]);
  for (let l = 0; l + 1 < widths.length; l++) {
    const fanIn = widths[l], fanOut = widths[l + 1], bias = offset + fanIn * fanOut;
    const after = l + 2 === widths.length ? kept(fanOut) : moves.subarray(unit, (unit += fanOut));
    for (let o = 0; o < fanOut; o++) {
      const from = Math.abs(after[o]) - 1, sign = Math.sign(after[o]);
      for (let i = 0; i < fanIn; i++)
        moved[offset + o * fanIn + i] = sign * Math.sign(before[i])
          * weights[offset + from * fanIn + Math.abs(before[i]) - 1];
      moved[bias + o] = sign * weights[bias + from];
    }
    offset = bias + fanOut;
    before = after;
  }
  return moved;
}
