"use strict";
// The rows, and what follows from them for a choice of models and a metric.

const DATA = JSON.parse(document.getElementById("rows").textContent);
const CELLS = new Map(DATA.cells.map((cell) => [`${cell.c}/${cell.m}`, cell]));
/** P-values of paired tests between rows whose intervals overlap, where samples were kept. */
const PAIRS = new Map(DATA.pairs.map(([metric, m, a, b, p]) => [`${metric}/${m}/${a}/${b}`, p]));
const cellOf = (c, m) => CELLS.get(`${c}/${m}`);
const codecIndex = (name) => DATA.codecs.findIndex((codec) => codec.name === name);
const modelIndex = (name) => DATA.models.findIndex((model) => model.name === name);

/** Models whose behaviour was measured. */
const behaving = DATA.models.map((_, m) => m).filter((m) => Object.keys(DATA.models[m].metrics).length > 0);
/** Indices of models with a metric, among those given. */
const withMetric = (models, metric) => models.filter((m) => DATA.models[m].metrics[metric]);
/** The codec that averages are held against, unless another is chosen: what most people use today. */
const REFERENCES = ["q4_k", "q4_0", "nf4", "rtn"];
const defaultReference = REFERENCES.find((name) => codecIndex(name) >= 0) ?? DATA.codecs.find((codec) => !codec.floor && !codec.lossless)?.name ?? "";

/**
 * One codec over models: `x` the size (bytes for one model, bits per weight for several), `y` the metric (its value for one model; for
 * several the geometric mean of ratios to the reference where the metric is a distance, the mean change against the uncompressed models
 * where it is not). `null` where a model is missing.
 */
function behaviour(c, models, metric, reference) {
  let [bytes, weights] = [0, 0];
  const values = [];
  for (const m of models) {
    const cell = cellOf(c, m);
    const value = cell?.v?.[metric];
    if (!value || value[0] === null || !cell.b) return null;
    bytes += cell.b;
    weights += cell.n;
    values.push({ m, value });
  }
  if (values.length === 0) return null;
  const point = { c, bytes, weights, bits: (8 * bytes) / weights, broken: models.some((m) => cellOf(c, m).x) };
  if (values.length === 1) {
    const [y, low, high] = values[0].value;
    return { ...point, y, low, high };
  }
  const average = DATA.models[models[0]].metrics[metric].distance ? ratios : changes;
  const mean = average(values, metric, reference);
  return mean && { ...point, ...mean };
}

/** Bits per weight of a codec's files over models, `null` where one is missing. */
function sizeOf(c, models) {
  const cells = models.map((m) => cellOf(c, m));
  if (!cells.length || cells.some((cell) => !cell?.b)) return null;
  const sum = (key) => cells.reduce((total, cell) => total + cell[key], 0);
  return (8 * sum("b")) / sum("n");
}

/** Geometric mean of ratios to the reference. Intervals of the models are independent; the reference is taken as exact. */
function ratios(values, metric, reference) {
  let [sum, square] = [0, 0];
  for (const { m, value: [value, low, high] } of values) {
    const base = cellOf(reference, m)?.v?.[metric]?.[0];
    if (!(base > 0)) return null;
    if (!(value > 0)) return { y: 0, low: null, high: null };
    sum += Math.log(value / base);
    square += low > 0 && high > 0 ? (Math.log(high / low) / 2) ** 2 : NaN;
  }
  const [mean, half] = [sum / values.length, Math.sqrt(square) / values.length];
  const known = Number.isFinite(half);
  return { y: Math.exp(mean), low: known ? Math.exp(mean - half) : null, high: known ? Math.exp(mean + half) : null };
}

/** Mean change against the uncompressed models. */
function changes(values, metric) {
  let [sum, square] = [0, 0];
  for (const { m, value: [value, low, high] } of values) {
    const { baseline } = DATA.models[m].metrics[metric];
    sum += value - baseline;
    square += low === null ? NaN : ((high - low) / 2) ** 2;
  }
  const [y, half] = [sum / values.length, Math.sqrt(square) / values.length];
  const known = Number.isFinite(half);
  return { y, low: known ? y - half : null, high: known ? y + half : null };
}

/** Bits per weight and squared relative error over the tensors of models that the small-tensor policy leaves to codecs. */
function weightError(c, models) {
  const sums = [0, 0, 0, 0];
  for (const m of models) {
    const own = cellOf(c, m)?.e;
    if (!own || own.includes(null)) return null;
    own.forEach((value, index) => (sums[index] += value));
  }
  const [bytes, weights, error, energy] = sums;
  if (!(weights > 0)) return null;
  const bits = (8 * bytes) / weights;
  const mse = error === 0 ? 0 : error / energy;
  return { c, bits, mse, snr: -10 * Math.log10(mse), gap: 10 * (Math.log10(mse) + bits * Math.log10(4)) };
}

/** How a metric reads over models: whether more is better, whether its axis is logarithmic, and what stands beside the axis. */
function reading(models, metric, reference) {
  const name = DATA.metrics[metric];
  const first = DATA.models[models[0]]?.metrics[metric];
  if (!first) return { more: false, log: false, title: name, digits: 3 };
  const worse = first.more ? "more is better" : "less is better";
  const unit = first.unit ? `, ${first.unit}` : "";
  if (models.length === 1) return { more: first.more, log: first.distance, title: `${name}${unit} (${worse})`, digits: first.distance ? 3 : 4 };
  if (first.distance) {
    return { more: false, log: true, title: `${name}, times that of ${DATA.codecs[reference]?.label ?? "?"} (less is better)`, digits: 3 };
  }
  return { more: first.more, log: false, title: `${name}, mean change${unit} (${worse})`, digits: 3 };
}

/** The points no other beats in both size and value. */
function frontier(points, more) {
  const sorted = [...points].sort((a, b) => a.bits - b.bits || (more ? b.y - a.y : a.y - b.y));
  let best = more ? -Infinity : Infinity;
  return new Set(sorted.filter((point) => {
    const keep = more ? point.y > best : point.y < best;
    if (keep) best = point.y;
    return keep;
  }).map((point) => point.c));
}
