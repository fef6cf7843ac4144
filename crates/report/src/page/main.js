"use strict";
// Draws the page for the choice, and again whenever it, the theme or the width changes.

function update() {
  const models = withMetric(state.models, state.metric);
  showControls();
  drawAnswer($("#answer"), models);
  drawBehaviour($("#behaviour .plot"), models, false);
  drawRanking($("#ranking tbody"), $("#ranking .metric-name"), models);
  drawSmall(models);
  const weights = state.models.length ? state.models : behaving;
  drawError($("#weights .plot"), weights);
  drawRow($("#row"));
}

/** One chart a model, where several are chosen. */
function drawSmall(models) {
  const host = $("#each");
  host.hidden = models.length < 2;
  if (models.length < 2) return;
  const wanted = models.join();
  if (host.dataset.models !== wanted) {
    host.dataset.models = wanted;
    host.innerHTML = models.map((m) => `<figure><h3><a href="#model-${escapeText(DATA.models[m].name)}">${escapeText(DATA.models[m].title)}</a></h3><div class="plot" data-m="${m}"></div><figcaption></figcaption></figure>`).join("");
  }
  for (const plot of host.querySelectorAll(".plot")) drawBehaviour(plot, [Number(plot.dataset.m)], true);
}

function followAddress() {
  readAddress();
  update();
}

if (behaving.length) {
  buildControls();
  followAddress();
  addEventListener("hashchange", () => {
    if (location.hash.includes("=") || location.hash === "") followAddress();
  });
  document.addEventListener("click", (event) => {
    const link = event.target.closest("a[data-open]");
    if (link && !event.ctrlKey && !event.metaKey) {
      event.preventDefault();
      choose({ row: link.dataset.open });
    } else if (event.target.closest("dialog a[href^='#codec-']")) {
      choose({ row: "" });
    }
  });
  $("#row").addEventListener("close", () => state.row && choose({ row: "" }));
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", update);
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth !== width) update();
    width = innerWidth;
  });
} else {
  for (const part of document.querySelectorAll("#explore, #weights")) part.hidden = true;
}
