// The page of `inrgen view`, in files that assembly.py joins to one module, in this order: data,
// evaluate, draw, charts, gallery, detail, compare, quality. This one unpacks what the page holds.
// Text of a store is only ever written as textContent, so no name can become markup.

const get = (id) => document.getElementById(id);

const DIGITS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz!#$%&()*+-;,=>?@^_`{|}~";

/** Bytes of text in which five digits of base 85 stand for four bytes. */
function fromBase85(text) {
  const valueOf = new Map([...DIGITS].map((digit, k) => [digit, k]));
  const words = new DataView(new ArrayBuffer(4 * Math.ceil(text.length / 5)));
  for (let at = 0; at < text.length; at += 5) {
    let word = 0;
    for (const digit of text.slice(at, at + 5).padEnd(5, "~")) word = 85 * word + valueOf.get(digit);
    words.setUint32((4 * at) / 5, word);
  }
  return new Uint8Array(words.buffer, 0, Math.floor((4 * text.length) / 5));
}

/** Undo pack of assembly.py: base 85, deflate, and bytes grouped by significance. */
async function unpack(id, Kind) {
  if (!get(id)) return new Kind(0);
  const packed = fromBase85(get(id).textContent);
  get(id).remove();
  const stream = new Blob([packed]).stream().pipeThrough(new DecompressionStream("deflate"));
  const planes = new Uint8Array(await new Response(stream).arrayBuffer());
  const [width, length] = [Kind.BYTES_PER_ELEMENT, planes.length / Kind.BYTES_PER_ELEMENT];
  const bytes = planes.map((_, at) => planes[(at % width) * length + Math.floor(at / width)]);
  return new Kind(bytes.buffer);
}

const facts = JSON.parse(new TextDecoder().decode(await unpack("document", Uint8Array)));
const { spec } = facts;
const channels = spec.widths.at(-1), numCoords = spec.coord_order.length;
const isCurve = numCoords === 1, isSolid = numCoords === 3;
const allWeights = await unpack("weights", Float32Array);
const allOriginals = await unpack("originals", isCurve ? Uint16Array : Uint8Array);
const measure = {
  psnr_db: { name: "PSNR", unit: " dB", digits: 1 },
  iou: { name: "IoU", unit: "", digits: 3 },
}[facts.quality.measure];

/**
 * One object a record: its fields, and beside them its place among the weights, or -1, that of its
 * original, its surface, the axis that points up, and sides, the rows and columns of its picture.
 */
let numShown = 0;
const records = facts.grids.map((grid, index) => {
  const record = { index, up: facts.up[index] };
  for (const [name, values] of Object.entries(facts.records)) record[name] = values[index];
  for (const name of ["psnr_db", "iou"]) if (record[name] === "inf") record[name] = Infinity;
  record.place = ["ok", "below_target"].includes(record.status) ? numShown++ : -1;
  record.surface = facts.surfaces.find(({ place }) => place === record.place);
  record.original = facts.originals[record.item_id] ?? -1;
  record.sides = isSolid ? [64, 64] : isCurve ? [1, grid[0]] : grid;
  return record;
});
const shown = records.filter((record) => record.place >= 0);
const hasOriginals = shown.some((record) => record.original >= 0);

const weightsOf = ({ place }) =>
  allWeights.subarray(place * spec.num_params, (place + 1) * spec.num_params);

/** The original of a record as values in the network's range, or null. */
function originalOf(record) {
  if (record.original < 0) return null;
  const [low, high] = spec.value_range;
  const size = record.sides[0] * record.sides[1] * channels;
  const levels = allOriginals.subarray(record.original, record.original + size);
  const most = isCurve ? 65535 : 255;
  return Float32Array.from(levels, (level) => low + (level / most) * (high - low));
}

const quality = (record) => record[facts.quality.measure];
const statusOf = (record) => record.status.replace("_", " ");
const classOf = (record) => record.label_name || (record.label >= 0 ? String(record.label) : "");
const join = (texts, by = ", ") => texts.filter(Boolean).join(by);
const describe = (record) => join([record.item_id, classOf(record), `view ${record.view}`]);
const short = (value) => String(Number(value.toPrecision(3)));
const count = (number) => number.toLocaleString("en");

function inWords(value) {
  if (value === Infinity) return "exact";
  const name = measure.unit ? "" : `${measure.name} `;
  return Number.isFinite(value) ? `${name}${value.toFixed(measure.digits)}${measure.unit}` : "";
}
