"use strict";
// What is chosen, and its place in the address: a link brings back the choice.

const MODES = ["plain", "calibrated", "sequential", "planned", "foreign"];
const state = { models: [], metric: 0, size: 2.2, reference: 0, off: new Set(), without: new Set(), search: "", row: "", error: "snr" };

/** The sizes a page may open with: the first that several rows fit into. */
const OPENING_SIZES = [2.2, 3.4, 4.6, 8.6];

function defaults() {
  const metric = 0;
  const models = withMetric(behaving.filter((m) => !DATA.models[m].synthetic), metric);
  const bits = DATA.codecs.map((codec, c) => (codec.floor ? null : sizeOf(c, models))).filter(Boolean);
  const size = OPENING_SIZES.find((limit) => bits.filter((value) => value <= limit).length > 3) ?? 33;
  return {
    models, metric, size, reference: Math.max(0, codecIndex(defaultReference)),
    off: new Set(), without: new Set(), search: "", row: "", error: "snr",
  };
}

/** Reads the address. A plain anchor (`#model-x`, `#codec-y`, `#failures`) is a place in the page, not a choice. */
function readAddress() {
  const fresh = defaults();
  const text = location.hash.slice(1);
  if (text.includes("=")) {
    const given = new URLSearchParams(text);
    const list = (key) => (given.get(key) ?? "").split("|").filter(Boolean);
    const models = list("models").map(modelIndex).filter((m) => behaving.includes(m));
    if (models.length) fresh.models = models;
    const metric = DATA.metrics.indexOf(given.get("metric"));
    if (metric >= 0) fresh.metric = metric;
    if (Number(given.get("size")) > 0) fresh.size = Number(given.get("size"));
    if (codecIndex(given.get("against")) >= 0) fresh.reference = codecIndex(given.get("against"));
    list("off").forEach((id) => fresh.off.add(id));
    list("without").forEach((mode) => fresh.without.add(mode));
    fresh.search = given.get("search") ?? "";
    if (codecIndex(given.get("row")) >= 0) fresh.row = given.get("row");
    if (given.get("error") === "gap") fresh.error = "gap";
  }
  Object.assign(state, fresh);
}

function addressOf(chosen) {
  const usual = defaults();
  const parts = new URLSearchParams();
  const names = (models) => models.map((m) => DATA.models[m].name).join("|");
  if (names(chosen.models) !== names(usual.models)) parts.set("models", names(chosen.models));
  if (chosen.metric !== usual.metric) parts.set("metric", DATA.metrics[chosen.metric]);
  if (chosen.size !== usual.size) parts.set("size", chosen.size);
  if (chosen.reference !== usual.reference) parts.set("against", DATA.codecs[chosen.reference].name);
  if (chosen.off.size) parts.set("off", [...chosen.off].join("|"));
  if (chosen.without.size) parts.set("without", [...chosen.without].join("|"));
  if (chosen.search) parts.set("search", chosen.search);
  if (chosen.row) parts.set("row", chosen.row);
  if (chosen.error !== usual.error) parts.set("error", chosen.error);
  return parts.toString();
}

/** Changes the choice, the address and the page. */
function choose(change) {
  Object.assign(state, change);
  const address = addressOf(state);
  history.replaceState(null, "", address ? `#${address}` : location.pathname + location.search);
  // A row in its dialogue changes nothing behind it, and charts keep the focus.
  if (Object.keys(change).join() === "row") drawRow($("#row"));
  else update();
}

/** Whether a codec takes part: its colour is switched on, its mode too, and its name holds what is searched for. */
function takesPart(c) {
  const codec = DATA.codecs[c];
  const found = state.search.toLowerCase().split(/\s+/).every((word) => codec.label.toLowerCase().includes(word) || codec.name.toLowerCase().includes(word));
  return !codec.floor && !state.off.has(codec.id) && !state.without.has(codec.mode) && found;
}
