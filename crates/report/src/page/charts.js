"use strict";
// Which points the charts show for the choice.

/** Bits a weight up to which axes reach: casts to 16 bits and lossless rows lie beyond. */
const MOST_BITS = 9;

const isDark = () => {
  const theme = document.documentElement.dataset.theme;
  return theme ? theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
};
const colourOf = (codec) => (isDark() ? codec.dark : codec.light);

/** What all charts draw of a codec. */
function looks(c) {
  const codec = DATA.codecs[c];
  return { colour: colourOf(codec), mode: codec.mode, hollow: codec.stage !== "", name: codec.family, title: codec.label, rate: codec.rate, curve: codec.curve, row: codec.name };
}

function spread(values, log, margin = 0.06) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) return [low / 1.35, high * 1.5];
  const room = Math.max(high - low, Math.abs(high) * 0.01, 1e-9) * margin;
  return [low - room, high + room];
}

/** Everything the rows of a choice say about a metric. */
function behaviours(models, metric = state.metric, reference = state.reference) {
  const points = DATA.codecs.map((_, c) => (takesPart(c) ? behaviour(c, models, metric, reference) : null));
  return points.filter(Boolean);
}

const count = (number, noun) => `${number} ${noun}${number === 1 ? "" : "s"}`;

/** The metric against the size of whole files. */
function drawBehaviour(host, models, small) {
  const metric = state.metric;
  const { more, log, title, digits } = reading(models, metric, state.reference);
  const one = models.length === 1;
  const all = behaviours(models);
  const fits = (point) => point.bits <= MOST_BITS && (!log || point.y > 0);
  const shown = all.filter(fits);
  const caption = host.parentNode.querySelector("figcaption");
  if (!shown.length) {
    host.innerHTML = "<p>No row of this choice has this metric.</p>";
    caption.textContent = "";
    return;
  }
  const best = frontier(shown, more);
  const points = shown.map((point) => ({
    ...looks(point.c), x: one ? point.bytes : point.bits, y: point.y, low: log && !(point.low > 0) ? null : point.low, high: point.high, front: best.has(point.c),
    tip: tipOf(point, models, metric, digits),
  }));
  const baseline = one ? DATA.models[models[0]].metrics[metric].baseline : log ? null : 0;
  const lowest = points.map((point) => point.y).concat(baseline !== null && !log ? [baseline] : []);
  const [low, high] = spread(lowest, log);
  const print = log ? (value) => (value >= 0.001 ? significant(value, 1) : value.toExponential(0)) : plain;
  const xs = points.map((point) => point.x);
  const x = one
    ? { log: true, low: Math.min(...xs) / 1.12, high: Math.max(...xs) * 1.2, room: 62, title: "whole file, bytes (logarithmic)", print: (value) => bytesText(value).replace(/\.0+ /, " ") }
    : { log: true, low: Math.min(...xs) / 1.1, high: Math.max(...xs) * 1.2, title: "bits per weight of whole files (logarithmic)", print: plain };
  const y = { log, low, high, more, title: log ? `${title}, logarithmic` : title, print };
  const limits = baseline !== null && !log ? [{ points: [[x.low, baseline], [x.high, baseline]], at: 0, label: one ? `uncompressed ${significant(baseline, 4)}` : "uncompressed" }] : [];
  const ends = [...points].filter((point) => point.front).sort((a, b) => a.x - b.x);
  const names = models.map((m) => DATA.models[m].title).join(", ");
  const summary = `${title} against size: ${names}. ${count(points.length, "row")}. Not beaten in size and metric: ${ends.map((point) => `${point.title} ${significant(point.y, 3)}`).join("; ")}.`;
  drawPlot(host, { title, points, x, y, limits, small, height: small ? 320 : 480, summary });
  const beyond = all.filter((point) => !fits(point)).map((point) => `${DATA.codecs[point.c].label} (${bitsText(point.bits)} b${log && !(point.y > 0) ? ", nothing lost" : ""})`);
  const samples = one ? `${DATA.models[models[0]].metrics[metric].samples.toLocaleString("en")} held-out samples. ` : "";
  if (small) caption.textContent = `${samples}`;
  else caption.textContent = `${samples}Bars: 95 % intervals. Rings: no row is better at its size or below. Numbers beside marks: the rate asked for.${beyond.length ? ` Not drawn: ${beyond.join(", ")}.` : ""}`;
}

/** A tick without needless zeros. */
const plain = (value) => String(Number(value.toPrecision(4)));

function tipOf(point, models, metric, digits) {
  const lines = [`${bytesText(point.bytes)}, ${bitsText(point.bits)} bits/weight, ${significant(32 / point.bits, 3)}x`];
  lines.push(`${DATA.metrics[metric]}: ${withInterval(point.y, point.low, point.high, digits)}`);
  if (models.length > 1) {
    for (const m of models) {
      const [value, low, high] = cellOf(point.c, m).v[metric];
      lines.push(`${DATA.models[m].title}: ${withInterval(value, low, high)}`);
    }
  }
  if (point.broken) lines.push("broken: see what failed");
  return lines;
}

/** Weight error against bits, or the distance to what a Gaussian source allows. */
function drawError(host, models) {
  const gap = state.error === "gap";
  const WIDEST_GAP = 12;
  const all = DATA.codecs.map((_, c) => (takesPart(c) ? weightError(c, models) : null)).filter((point) => point && point.mse > 0);
  const shown = all.filter((point) => point.bits <= MOST_BITS && (!gap || point.gap <= WIDEST_GAP));
  const caption = host.parentNode.querySelector("figcaption");
  if (!shown.length) {
    host.innerHTML = "<p>No row of this choice has a weight error.</p>";
    caption.textContent = "";
    return;
  }
  const value = (point) => (gap ? point.gap : point.snr);
  const best = frontier(shown.map((point) => ({ ...point, y: point.mse })), false);
  const points = shown.map((point) => ({
    ...looks(point.c), x: point.bits, y: value(point), front: best.has(point.c),
    tip: [`${bitsText(point.bits)} bits/weight of these tensors`, `relative error ${significant(Math.sqrt(point.mse))}`, `signal to noise ${point.snr.toFixed(2)} dB`, `${point.gap.toFixed(2)} dB from the limit of a Gaussian source`],
  }));
  const most = Math.max(...points.map((point) => point.x)) * 1.06;
  const decibels = 20 * Math.log10(2);
  const [low, high] = spread(points.map((point) => point.y).concat([0]), false, 0.08);
  const x = { log: false, low: 0, high: most, title: "bits per weight, tensors alone", print: plain };
  const y = { log: false, low, high, more: !gap, title: gap ? "gap to the Shannon limit, dB (less is better)" : "signal-to-noise ratio, dB (more is better)", print: plain };
  const end = gap ? most : Math.min(most, high / decibels);
  const line = gap ? [[0, 0], [most * 0.98, 0]] : [[0, 0], [end * 0.75, end * 0.75 * decibels], [end, end * decibels]];
  const ends = points.filter((point) => point.front).sort((a, b) => a.x - b.x);
  const summary = `${y.title} against bits per weight. ${count(points.length, "row")}. Lowest error at their size: ${ends.map((point) => point.title).join(", ")}.`;
  drawPlot(host, { title: "Weight error", points, x, y, limits: [{ points: line, at: 1, label: "Gaussian source" }], summary });
  const hidden = all.length - shown.length;
  caption.textContent = `Dashed: the Shannon limit of a Gaussian source, which weights with heavy tails can beat. Sums over all tensors above the small-tensor policy.${hidden ? ` ${count(hidden, "row")} beyond ${gap ? "the axes" : `${MOST_BITS} bits`} not drawn.` : ""} Weight error does not rank codecs by what a model still does: see above.`;
}
