"use strict";
// Numbers as text, the same way everywhere on the page.

/** `digits` significant digits; an exponent only where a number would be unreadable without. */
function significant(value, digits = 3) {
  if (value === null || value === undefined || Number.isNaN(value)) return "-";
  if (value === 0) return "0";
  const size = Math.floor(Math.log10(Math.abs(value)));
  if (size < -5 || size > 8) return value.toExponential(digits - 1);
  return value.toFixed(Math.max(0, digits - 1 - size));
}

function scaled(value, units, digits = 3) {
  let unit = 0;
  while (Math.abs(value) >= 999.5 && unit + 1 < units.length) {
    value /= 1000;
    unit += 1;
  }
  return `${significant(value, digits)} ${units[unit]}`.trim();
}

const bytesText = (value) => scaled(value, ["B", "kB", "MB", "GB", "TB"]);
const speedText = (value) => (value ? scaled(value, ["", "K", "M", "G"]) : "-");
const bitsText = (value) => significant(value, value < 10 ? 4 : 3);

/** Text for HTML. */
function escapeText(text) {
  const names = { "&": "&amp;", "<": "&lt;", ">": "&gt;", '"': "&quot;", "'": "&#39;" };
  return String(text).replace(/[&<>"']/g, (character) => names[character]);
}

/** A codec's name, which a line may break behind its separators and nowhere else. */
const nameText = (name) => escapeText(name).replace(/([:,+=])/g, "$1<wbr>");

/** A value with its interval. */
function withInterval(value, low, high, digits = 3) {
  const text = significant(value, digits);
  return low === null || low === undefined || high === null ? text : `${text} [${significant(low, digits)}, ${significant(high, digits)}]`;
}
