// Tables of class "sorted" are sorted by a click on the head of a column, but for words that are
// explained there; what is missing comes last.
for (const table of document.querySelectorAll("table.sorted")) {
  const heads = [...table.tHead.rows[0].cells], body = table.tBodies[0];
  heads.forEach((head, place) => head.addEventListener("click", (event) => {
    if (event.target.closest(".term")) return;
    const turn = head.getAttribute("aria-sort") === "ascending" ? -1 : 1;
    heads.forEach((other) => other.removeAttribute("aria-sort"));
    head.setAttribute("aria-sort", turn > 0 ? "ascending" : "descending");
    const key = (row) => row.cells[place].dataset.key ?? row.cells[place].textContent.trim();
    const compare = (a, b) => (a === "") - (b === "") ||
      turn * (isNaN(a) || isNaN(b) ? a.localeCompare(b, undefined, { numeric: true }) : a - b);
    body.append(...[...body.rows].sort((a, b) => compare(key(a), key(b))));
  }));
}
