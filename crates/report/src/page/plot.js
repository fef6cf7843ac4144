"use strict";
// A small chart: points on two axes, curves, limits; hover, keyboard and a description for who cannot see it.

const SHAPES = {
  plain: (x, y, r) => `<circle cx="${x}" cy="${y}" r="${r}"/>`,
  calibrated: (x, y, r) => `<path d="M${x} ${y - r * 1.35}l${r * 1.35} ${r * 1.35}l${-r * 1.35} ${r * 1.35}l${-r * 1.35} ${-r * 1.35}z"/>`,
  sequential: (x, y, r) => `<path d="M${x} ${y - r * 1.3}l${r * 1.3} ${r * 2.2}h${-r * 2.6}z"/>`,
  foreign: (x, y, r) => `<path d="M${x - r} ${y - r}h${2 * r}v${2 * r}h${-2 * r}z"/>`,
  planned: (x, y, r) => `<path d="M${x} ${y}${star(r * 1.5)}z"/>`,
};

function star(r) {
  const corner = (index) => {
    const angle = (index * Math.PI) / 5;
    const reach = index % 2 ? r * 0.45 : r;
    return [Math.sin(angle) * reach, -Math.cos(angle) * reach];
  };
  const corners = Array.from({ length: 10 }, (_, index) => corner(index));
  const step = (to, from) => `${(to[0] - from[0]).toFixed(2)} ${(to[1] - from[1]).toFixed(2)}`;
  return `m${step(corners[0], [0, 0])}` + corners.slice(1).map((to, index) => `l${step(to, corners[index])}`).join("");
}

/** A mark in the colour of its surroundings: `hollow` where an entropy stage follows the codec. */
const markOf = (mode, hollow, x, y, r) => `<g class="mark${hollow ? " hollow" : ""}">${(SHAPES[mode] ?? SHAPES.plain)(x, y, r)}</g>`;

/** Ticks of an axis: round values inside, few enough to be read at this length. */
function ticksOf({ log, low, high, room = 34 }, length) {
  // The narrowest step of a list decides how many fit.
  const spread = (list) => (list.length > 3 ? 1.3 : 1.15);
  if (!log) {
    const raw = (high - low) / Math.max(2, length / 70);
    const unit = 10 ** Math.floor(Math.log10(raw));
    const step = [1, 2, 2.5, 5, 10].find((part) => part * unit >= raw) * unit;
    const first = Math.ceil(low / step - 1e-9);
    return Array.from({ length: Math.floor(high / step + 1e-9) - first + 1 }, (_, index) => (first + index) * step);
  }
  const decades = Math.log10(high / low);
  const steps = [[1], [1, 3], [1, 2, 5], [1, 1.5, 2, 3, 4, 5, 6, 8]].findLast((list) => decades * list.length * spread(list) <= length / room) ?? [1];
  const ticks = [];
  const every = Math.max(1, Math.ceil((decades * room) / length));
  for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += 1) {
    if (steps.length === 1 && power % every) continue;
    ticks.push(...steps.map((step) => step * 10 ** power));
  }
  return ticks.filter((tick) => tick >= low * 0.999 && tick <= high * 1.001);
}

const placeOn = ({ log, low, high }, value) => (log ? Math.log(Math.max(value, 1e-300) / low) / Math.log(high / low) : (value - low) / (high - low));

/** A title in lines of at most so many characters. */
function linesOf(title, most) {
  const lines = [""];
  for (const word of title.split(" ")) {
    if (lines.at(-1) && lines.at(-1).length + word.length + 1 > most) lines.push(word);
    else lines[lines.length - 1] += lines.at(-1) ? ` ${word}` : word;
  }
  return lines;
}

/** Names and rates beside points, placed where nothing else is. */
class Labels {
  constructor(box, points) {
    this.box = box;
    this.taken = points.map(({ px, py }) => [px - 6, py - 6, px + 6, py + 6]);
    this.svg = "";
  }

  add({ px, py }, text, style, size = 11) {
    if (!text) return false;
    const width = text.length * size * 0.56;
    const places = [[8, 4, "start"], [-8, 4, "end"], [0, -9, "middle"], [0, 18, "middle"], [8, -7, "start"], [-8, -7, "end"], [8, 15, "start"], [-8, 15, "end"]];
    for (const [dx, dy, anchor] of places) {
      const left = px + dx - (anchor === "start" ? 0 : anchor === "end" ? width : width / 2);
      const area = [left, py + dy - size + 1, left + width, py + dy + 2];
      const inside = area[0] >= this.box[0] && area[1] >= this.box[1] && area[2] <= this.box[2] && area[3] <= this.box[3];
      if (inside && this.taken.every((other) => other[2] < area[0] || other[0] > area[2] || other[3] < area[1] || other[1] > area[3])) {
        this.taken.push(area);
        this.svg += `<text x="${(px + dx).toFixed(1)}" y="${(py + dy).toFixed(1)}" text-anchor="${anchor}" style="${style};font-size:${size}px">${escapeText(text)}</text>`;
        return true;
      }
    }
    return false;
  }
}

/**
 * Draws into `host`. A point has `x`, `y`, `low`, `high`, `colour`, `mode`, `hollow`, `name`, `rate`, `curve`, `front`, `tip` (lines of
 * text) and `row`, what a click chooses.
 */
function drawPlot(host, { title, points, x, y, limits = [], height = 460, small = false, summary }) {
  const width = Math.max(280, Math.floor(host.clientWidth || 640));
  const heading = linesOf(y.title, (width - 8) / 6.6);
  const box = { left: small || width < 500 ? 50 : 62, top: 11 + 15 * heading.length, right: width - 22, bottom: height - 46 };
  const across = (value) => box.left + (box.right - box.left) * placeOn(x, value);
  const up = (value) => box.bottom - (box.bottom - box.top) * Math.min(1, Math.max(0, placeOn(y, value)));
  let svg = "";
  for (const tick of ticksOf(x, box.right - box.left)) {
    const px = across(tick).toFixed(1);
    svg += `<path class="grid" d="M${px} ${box.top}V${box.bottom}"/><text class="tick" x="${px}" y="${box.bottom + 15}" text-anchor="middle">${x.print(tick)}</text>`;
  }
  for (const tick of ticksOf(y, box.bottom - box.top)) {
    const py = up(tick).toFixed(1);
    svg += `<path class="grid" d="M${box.left} ${py}H${box.right}"/><text class="tick" x="${box.left - 6}" y="${Number(py) + 4}" text-anchor="end">${y.print(tick)}</text>`;
  }
  svg += `<text class="axis" x="${(box.left + box.right) / 2}" y="${height - 8}" text-anchor="middle">${escapeText(x.title)}</text>`;
  heading.forEach((line, index) => (svg += `<text class="axis" x="4" y="${14 + 15 * index}">${escapeText(line)}</text>`));
  const shown = points.map((point) => ({ ...point, px: across(point.x), py: up(point.y) }));
  const labels = new Labels([box.left + 2, box.top, box.right + 8, box.bottom - 2], shown);
  for (const limit of limits) {
    const ends = limit.points.map(([a, b]) => [across(a), up(b)]);
    svg += `<polyline class="limit" points="${ends.map((end) => end.map((value) => value.toFixed(1)).join(",")).join(" ")}"/>`;
    const [px, py] = ends[limit.at ?? ends.length - 1];
    labels.add({ px, py }, limit.label, "fill:var(--limit)", 12);
  }
  svg += curvesOf(shown, y.more);
  for (const point of shown) {
    const bar = point.low !== null && point.low !== undefined && point.high > point.low && Number.isFinite(point.low);
    const line = bar ? `<path class="bar" d="M${point.px.toFixed(1)} ${up(point.low).toFixed(1)}V${up(point.high).toFixed(1)}"/>` : "";
    const ring = point.front ? `<circle class="ring" cx="${point.px.toFixed(1)}" cy="${point.py.toFixed(1)}" r="${small ? 7 : 9}"/>` : "";
    svg += `<g style="color:${point.colour}" data-row="${escapeText(point.row)}">${line}${ring}${markOf(point.mode, point.hollow, +point.px.toFixed(1), +point.py.toFixed(1), small ? 3.6 : 5)}</g>`;
  }
  label(labels, shown, small);
  const about = summary ?? `${title}. ${points.length} rows.`;
  host.innerHTML = `<svg viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img" tabindex="0" aria-label="${escapeText(`${about} Arrow keys step through the rows, Enter shows one.`)}">${svg}${labels.svg}<circle class="focus" r="11" visibility="hidden"/></svg><div class="tip" hidden></div><p class="sr" aria-live="polite"></p>`;
  listen(host, shown, width);
}

/** Each curve through the points where more bits bring a better value: it never runs back. */
function curvesOf(shown, more) {
  const curves = new Map();
  for (const point of shown) curves.set(point.curve, [...(curves.get(point.curve) ?? []), point]);
  let svg = "";
  for (const points of curves.values()) {
    let best = more ? -Infinity : Infinity;
    const line = points.sort((a, b) => a.x - b.x).filter((point) => {
      const keep = more ? point.y >= best : point.y <= best;
      if (keep) best = point.y;
      return keep;
    });
    if (line.length > 1) svg += `<polyline class="curve${line[0].hollow ? " dashed" : ""}" style="color:${line[0].colour}" points="${line.map((point) => `${point.px.toFixed(1)},${point.py.toFixed(1)}`).join(" ")}"/>`;
  }
  return svg;
}

/** The name of each series once, then rates; what is on the frontier first. */
function label(labels, shown, small) {
  const order = [...shown].sort((a, b) => (b.front ? 1 : 0) - (a.front ? 1 : 0) || b.x - a.x);
  const named = new Set();
  for (const point of order) {
    if (named.has(point.name) || (small && !point.front)) continue;
    if (labels.add(point, point.name, `fill:${point.colour}`, small ? 10 : 12)) named.add(point.name);
  }
  for (const point of order) if (!small || point.front) labels.add(point, point.rate, "fill:var(--muted)", small ? 9 : 10);
}

function listen(host, shown, width) {
  const svg = host.querySelector("svg");
  const [tip, said, focus] = [host.querySelector(".tip"), host.querySelector(".sr"), host.querySelector(".focus")];
  const inOrder = [...shown].sort((a, b) => a.x - b.x);
  let current = null;
  const show = (point) => {
    current = point;
    tip.hidden = !point;
    focus.setAttribute("visibility", point ? "visible" : "hidden");
    if (!point) return;
    focus.setAttribute("cx", point.px);
    focus.setAttribute("cy", point.py);
    tip.innerHTML = `<b>${nameText(point.title)}</b>${point.tip.map((line) => `<br>${escapeText(line)}`).join("")}`;
    const room = host.clientWidth / width;
    tip.style.left = `${Math.max(0, Math.min(point.px * room + 12, host.clientWidth - tip.offsetWidth - 2))}px`;
    const below = point.py * room + 14;
    const above = point.py * room - tip.offsetHeight - 12;
    tip.style.top = `${point.py * 2 > host.clientHeight ? above : below}px`;
  };
  const nearest = (event) => {
    const place = svg.getBoundingClientRect();
    const [px, py] = [((event.clientX - place.left) * width) / place.width, ((event.clientY - place.top) * width) / place.width];
    let [best, least] = [null, 30 ** 2];
    for (const point of shown) {
      const distance = (point.px - px) ** 2 + (point.py - py) ** 2;
      if (distance < least) [best, least] = [point, distance];
    }
    return best;
  };
  svg.addEventListener("pointermove", (event) => show(nearest(event)));
  svg.addEventListener("pointerleave", () => show(null));
  svg.addEventListener("blur", () => show(null));
  svg.addEventListener("click", (event) => {
    const point = nearest(event);
    if (point) choose({ row: point.row });
  });
  svg.addEventListener("keydown", (event) => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    if (step && inOrder.length) {
      event.preventDefault();
      const place = current ? inOrder.indexOf(current) + step : step > 0 ? 0 : inOrder.length - 1;
      show(inOrder[Math.max(0, Math.min(inOrder.length - 1, place))]);
      said.textContent = `${current.title}: ${current.tip.join(", ")}`;
    } else if (event.key === "Enter" && current) {
      // Or the key would press the dialogue's button as well.
      event.preventDefault();
      choose({ row: current.row });
    }
  });
}
