"use strict";
// The answer at the top, the ranked list, and the dialogue with one row.

/** Rows of the choice at or below the size, best first. */
function ranked(models) {
  const { more } = reading(models, state.metric, state.reference);
  const fits = behaviours(models).filter((point) => point.bits <= state.size);
  return fits.sort((a, b) => (more ? b.y - a.y : a.y - b.y) || a.bits - b.bits);
}

const linkTo = (c) => `<a href="#${escapeText(addressOf({ ...state, row: DATA.codecs[c].name }))}" data-open="${escapeText(DATA.codecs[c].name)}">${nameText(DATA.codecs[c].label)}</a>`;

/** The p-value of the paired test between two rows on one model, where it was made. */
const pairedOf = (a, b, models) => (models.length === 1 ? PAIRS.get(`${state.metric}/${models[0]}/${a.c}/${b.c}`) : undefined);

/** Whether two values differ: their intervals do not touch, or the paired test on the same samples says so. */
function apart(a, b, models) {
  const known = [a.low, a.high, b.low, b.high].every((end) => end !== null && end !== undefined);
  return (known && (a.high < b.low || b.high < a.low)) || pairedOf(a, b, models) < 0.05;
}

function drawAnswer(host, models) {
  const list = ranked(models);
  const { digits } = reading(models, state.metric, state.reference);
  const who = models.length === 1 ? DATA.models[models[0]].title : `${models.length} models`;
  const at = `${plain(state.size)} bits a weight (${significant(32 / state.size, 3)}x) or less`;
  if (!list.length) {
    const all = behaviours(models).sort((a, b) => a.bits - b.bits);
    const least = all.length ? ` The smallest takes ${bitsText(all[0].bits)}.` : "";
    host.innerHTML = `<p class="big">No row of this choice fits into ${at}.</p><p>${least}</p>`;
    return;
  }
  const [first, second] = list;
  const value = (point) => withInterval(point.y, point.low, point.high, digits);
  const unit = models.length === 1 ? DATA.models[models[0]].metrics[state.metric].unit : "";
  const what = `${DATA.metrics[state.metric]} ${models.length > 1 && DATA.models[models[0]].metrics[state.metric].distance ? `relative to ${DATA.codecs[state.reference].label}` : ""}`;
  const facts = [`${escapeText(what.trim())} <b>${value(first)}</b>${unit && unit !== "share" ? ` ${unit}` : ""}, ${models.length === 1 ? "file" : "files together"} ${bytesText(first.bytes)}, ${bitsText(first.bits)} bits a weight`];
  const ties = list.slice(1).filter((point) => !apart(first, point, models));
  if (second) {
    facts.push(ties.length
      ? `not told apart from it (${list.some((point) => pairedOf(first, point, models) !== undefined) ? "paired test" : "95 % intervals overlap"}): ${ties.slice(0, 3).map((point) => linkTo(point.c)).join(", ")}${ties.length > 3 ? ` and ${ties.length - 3} more` : ""}`
      : `significant: ${pairedOf(first, second, models) === undefined ? "its 95 % interval touches no other row's" : `p = ${significant(pairedOf(first, second, models), 2)} in the paired test`}; next is ${linkTo(second.c)} with ${value(second)}`);
  }
  const bare = list.find((point) => DATA.codecs[point.c].mode === "plain");
  if (bare && bare !== first) facts.push(`without calibration data: ${linkTo(bare.c)}, ${value(bare)}`);
  const gauss = DATA.models.findIndex((model) => model.synthetic && model.name.toLowerCase().includes("gauss"));
  const near = gauss >= 0 ? list.filter((point) => weightError(point.c, [gauss])?.mse > 0).sort((a, b) => weightError(a.c, [gauss]).gap - weightError(b.c, [gauss]).gap)[0] : null;
  if (near) facts.push(`nearest to the Shannon limit on Gaussian weights: ${linkTo(near.c)}, ${weightError(near.c, [gauss]).gap.toFixed(2)} dB`);
  const broken = list.filter((point) => point.broken).length;
  if (broken) facts.push(`${broken} of ${list.length} rows of this size are broken on a chosen model (<a href="#failures">what failed</a>)`);
  if (DATA.changes) {
    const { better, worse, added } = DATA.changes;
    facts.push(`since the release before: ${added} new rows; of the figures of the others ${better} better, ${worse} worse (<a href="#changes">what changed</a>)`);
  }
  host.innerHTML = `<p class="lead">Best at ${at} on ${escapeText(who)}</p><p class="big">${linkTo(first.c)}</p><ul>${facts.map((fact) => `<li>${fact}</li>`).join("")}</ul>`;
}

function drawRanking(body, head, models) {
  const list = ranked(models);
  const { title, digits } = reading(models, state.metric, state.reference);
  head.textContent = title;
  const rows = list.map((point, place) => {
    const codec = DATA.codecs[point.c];
    const error = weightError(point.c, models);
    const speeds = [0, 1].map((which) => speedOf(point.c, models, which));
    const swatch = `<svg class="swatch" viewBox="0 0 16 16" aria-hidden="true" style="color:${colourOf(codec)}">${markOf(codec.mode, codec.stage !== "", 8, 8, 4.5)}</svg>`;
    const cell = (value, text, kind = "") => `<td class="n ${kind}" data-v="${value ?? ""}">${text}</td>`;
    return `<tr${point.broken ? ' class="broken"' : ""}><td class="n" data-v="${place + 1}">${place + 1}</td><th scope="row">${swatch}${linkTo(point.c)}${point.broken ? ' <span class="bad">broken</span>' : ""}</th>${cell(point.y, withInterval(point.y, point.low, point.high, digits), "metric")}${cell(point.bits, bitsText(point.bits))}${cell(point.bytes, bytesText(point.bytes), "minor")}${cell(error && Math.sqrt(error.mse), error ? significant(Math.sqrt(error.mse)) : "-", "minor")}${cell(speeds[0], speedText(speeds[0]), "minor")}${cell(speeds[1], speedText(speeds[1]), "minor")}</tr>`;
  });
  body.innerHTML = rows.join("") || '<tr><td colspan="8">No row fits: choose a larger size or more codecs.</td></tr>';
}

/** Weights per second over models: all weights over all seconds. */
function speedOf(c, models, which) {
  let [weights, seconds] = [0, 0];
  for (const m of models) {
    const cell = cellOf(c, m);
    if (!cell?.s?.[which]) return null;
    weights += cell.n;
    seconds += cell.n / cell.s[which];
  }
  return seconds > 0 ? weights / seconds : null;
}

/** The dialogue with one row: every model, its configuration, the command. */
function drawRow(dialog) {
  const c = codecIndex(state.row);
  if (c < 0) {
    if (dialog.open) dialog.close();
    return;
  }
  const codec = DATA.codecs[c];
  const metrics = DATA.metrics.map((_, index) => index).filter((index) => behaving.some((m) => cellOf(c, m)?.v?.[index]));
  const head = `<tr><th scope="col">model</th><th scope="col" class="n minor">file</th><th scope="col" class="n">bits/weight</th>${metrics.map((index) => `<th scope="col" class="n">${escapeText(DATA.metrics[index])}</th>`).join("")}</tr>`;
  const lines = DATA.models.map((model, m) => {
    const cell = cellOf(c, m);
    if (!cell) return "";
    if (cell.f) return `<tr><th scope="row">${escapeText(model.title)}</th><td colspan="${metrics.length + 2}" class="bad">${escapeText(cell.f)}</td></tr>`;
    const values = metrics.map((index) => {
      const value = cell.v?.[index];
      const unit = model.metrics[index]?.unit;
      const [p, seen] = cell.u?.[index] ?? [];
      const test = p === undefined ? "" : `<br><span class="hint">${p < 0.05 ? `differs, p = ${significant(p, 2)}` : `no detectable difference; ${significant(seen, 2)} would be`}</span>`;
      return `<td class="n">${value ? withInterval(value[0], value[1], value[2], model.metrics[index].distance ? 3 : 4) + (unit && unit !== "share" ? ` ${unit}` : "") + test : ""}</td>`;
    });
    return `<tr><th scope="row">${escapeText(model.title)}${cell.x ? ' <span class="bad">broken</span>' : ""}</th><td class="n minor">${bytesText(cell.b)}</td><td class="n">${bitsText((8 * cell.b) / cell.n)}</td>${values.join("")}</tr>`;
  });
  const model = DATA.models[state.models[0]]?.name ?? "MODEL";
  dialog.innerHTML = `<form method="dialog"><button class="close" aria-label="Close">×</button></form><h2>${nameText(codec.label)}</h2><p>${escapeText(codec.mode)}${codec.stage ? `, behind it the stage ${escapeText(codec.stage)}` : ""}; <a href="#codec-${escapeText(codec.id)}">all rows of ${escapeText(codec.id)}</a></p><div class="scroll"><table><caption>With 95 % intervals</caption><thead>${head}</thead><tbody>${lines.join("")}</tbody></table></div><h3>Configuration</h3><pre>${escapeText(codec.toml)}</pre><p class="hint">made by ${escapeText(codec.code)}</p><h3>The command that makes its file</h3><pre>${escapeText(codec.command.replaceAll("MODEL", model))}</pre>`;
  if (!dialog.open) dialog.showModal();
}
