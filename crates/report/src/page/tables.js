"use strict";
// Tables sort by any column: click a heading, or press Enter on it.

function sortBy(head) {
  const row = head.parentNode;
  const place = [...row.children].indexOf(head);
  const body = head.closest("table").tBodies[0];
  // Where less is better, the first click brings the least to the top.
  const first = head.dataset.first ?? "descending";
  const other = first === "ascending" ? "descending" : "ascending";
  const order = head.getAttribute("aria-sort") === first ? other : first;
  const key = (line) => {
    const cell = line.children[place];
    if (cell?.dataset.v) return Number(cell.dataset.v);
    const text = cell?.textContent ?? "";
    if (!cell?.classList.contains("n")) return text;
    const printed = text === "" ? NaN : Number(text);
    return Number.isNaN(printed) ? null : printed;
  };
  const compare = (a, b) => {
    const [x, y] = [key(a), key(b)];
    // What has no value stands last, whichever way.
    if (x === null || y === null) return (x === null) - (y === null);
    const sign = typeof x === "string" || typeof y === "string" ? String(x).localeCompare(String(y), "en") : x - y;
    return order === "descending" ? -sign : sign;
  };
  for (const column of row.children) column.removeAttribute("aria-sort");
  head.setAttribute("aria-sort", order);
  body.append(...[...body.rows].sort(compare));
}

document.addEventListener("click", (event) => {
  const button = event.target.closest("th > button");
  if (button) sortBy(button.parentNode);
});
