"use strict";
for (const head of document.querySelectorAll("th")) {
  const sort = () => {
    const row = head.parentNode, place = [...row.children].indexOf(head);
    const body = head.closest("table").tBodies[0];
    const down = head.getAttribute("aria-sort") !== "descending";
    const key = (line) => {
      const cell = line.children[place];
      return "v" in cell.dataset ? Number(cell.dataset.v) : cell.textContent;
    };
    const order = (a, b) => {
      const x = key(a), y = key(b);
      if (typeof x !== typeof y) return typeof x === "number" ? -1 : 1;
      const sign = x < y ? -1 : x > y ? 1 : 0;
      return down ? -sign : sign;
    };
    for (const other of row.children) other.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...[...body.rows].sort(order));
  };
  head.addEventListener("click", sort);
  head.addEventListener("keydown", (event) => { if (event.key === "Enter") sort(); });
}
