"use strict";
// The controls: models, metric, size, codecs.

const $ = (selector) => document.querySelector(selector);

/** Sizes worth a button: thirty times smaller, and the rates today's formats have. */
const SIZES = [[1.2, "1"], [1.8, "1.6"], [2.2, "2"], [3.4, "3"], [4.2, "4"], [4.6, "4.5"], [5.6, "5.5"], [8.6, "8"]];

function buildControls() {
  const metrics = $("#metric");
  metrics.innerHTML = DATA.metrics.map((name, index) => `<option value="${index}">${escapeText(name)}</option>`).join("");
  const references = DATA.codecs.map((codec, c) => [codec, c]).filter(([codec]) => !codec.floor && !codec.lossless);
  $("#against").innerHTML = references.map(([codec, c]) => `<option value="${c}">${escapeText(codec.label)}</option>`).join("");
  $("#sizes").innerHTML = SIZES.map(([size, name]) => `<button type="button" data-size="${size}" title="whole files of at most ${size} bits a weight">${name} b</button>`).join("");
  const ids = [...new Set(DATA.codecs.filter((codec) => !codec.floor).map((codec) => codec.id))];
  $("#legend").innerHTML = ids.map((id) => `<button type="button" data-id="${escapeText(id)}"><span class="dot"></span>${escapeText(id)}</button>`).join("");
  const modes = MODES.filter((mode) => DATA.codecs.some((codec) => codec.mode === mode));
  $("#modes").innerHTML = modes.map((mode) => `<button type="button" data-mode="${mode}"><svg class="swatch" viewBox="0 0 16 16" aria-hidden="true">${markOf(mode, false, 8, 8, 4.5)}</svg>${mode}</button>`).join("") + `<span class="hint"><svg class="swatch" viewBox="0 0 16 16" aria-hidden="true">${markOf("plain", true, 8, 8, 4.5)}</svg>open: entropy stage behind</span>`;
  metrics.addEventListener("change", () => {
    const metric = Number(metrics.value);
    const kept = withMetric(state.models, metric);
    choose({ metric, models: kept.length ? kept : withMetric(behaving, metric) });
  });
  $("#against").addEventListener("change", () => choose({ reference: Number($("#against").value) }));
  $("#size").addEventListener("input", () => Number($("#size").value) > 0 && choose({ size: Number($("#size").value) }));
  $("#search").addEventListener("input", () => choose({ search: $("#search").value }));
  $("#sizes").addEventListener("click", ({ target }) => target.dataset.size && choose({ size: Number(target.dataset.size) }));
  $("#legend").addEventListener("click", (event) => toggle(event, "id", "off", ids));
  $("#modes").addEventListener("click", (event) => toggle(event, "mode", "without", modes));
  $("#chosen").addEventListener("click", ({ target }) => {
    const button = target.closest("button");
    if (!button) return;
    if (button.dataset.all) return choose({ models: withMetric(behaving, state.metric) });
    const m = Number(button.dataset.m);
    const rest = state.models.filter((other) => other !== m);
    const models = state.models.includes(m) ? rest : behaving.filter((other) => other === m || rest.includes(other));
    choose({ models: models.length ? models : [m] });
  });
  $("#chosen").addEventListener("dblclick", ({ target }) => {
    const button = target.closest("button[data-m]");
    if (button) choose({ models: [Number(button.dataset.m)] });
  });
  for (const button of document.querySelectorAll("[data-error]")) button.addEventListener("click", () => choose({ error: button.dataset.error }));
  $("#reset").addEventListener("click", () => choose(defaults()));
}

/** Switches one of several off or on; with the shift key it stays alone. */
function toggle(event, key, set, all) {
  const button = event.target.closest("button");
  if (!button) return;
  const value = button.dataset[key];
  const off = new Set(state[set]);
  if (event.shiftKey) {
    const alone = all.every((other) => off.has(other) === (other !== value));
    return choose({ [set]: new Set(alone ? [] : all.filter((other) => other !== value)) });
  }
  off.has(value) ? off.delete(value) : off.add(value);
  choose({ [set]: off });
}

function showControls() {
  const models = withMetric(behaving, state.metric);
  const focused = document.activeElement?.dataset?.m;
  $("#chosen").innerHTML = models.map((m) => `<button type="button" data-m="${m}" aria-pressed="${state.models.includes(m)}" title="double click: this one alone">${escapeText(DATA.models[m].title)}</button>`).join("") + (models.length > 1 ? '<button type="button" data-all="1">all</button>' : "");
  if (focused !== undefined) $(`#chosen [data-m="${focused}"]`)?.focus();
  $("#metric").value = state.metric;
  $("#against").value = state.reference;
  $("#against").closest("label").hidden = state.models.length < 2 || !DATA.models[state.models[0]].metrics[state.metric]?.distance;
  if (Number($("#size").value) !== state.size) $("#size").value = state.size;
  if ($("#search").value !== state.search) $("#search").value = state.search;
  for (const button of document.querySelectorAll("#sizes button")) button.setAttribute("aria-pressed", Number(button.dataset.size) === state.size);
  for (const button of document.querySelectorAll("#legend button")) {
    button.setAttribute("aria-pressed", !state.off.has(button.dataset.id));
    button.style.color = colourOf(DATA.codecs.find((codec) => codec.id === button.dataset.id));
  }
  for (const button of document.querySelectorAll("#modes button")) button.setAttribute("aria-pressed", !state.without.has(button.dataset.mode));
  for (const button of document.querySelectorAll("[data-error]")) button.setAttribute("aria-pressed", button.dataset.error === state.error);
}
