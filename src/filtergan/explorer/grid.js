// The cells of the grid: a click chooses the point of one, arrow keys lead to its neighbours.
// Gradio runs this as a function of `element`, which holds the grid, and `trigger`.

const STEPS = { ArrowUp: [-1, 0], ArrowDown: [1, 0], ArrowLeft: [0, -1], ArrowRight: [0, 1] };
const cells = () => [...element.querySelectorAll(".fg-grid button")];

// The focus is on it, and comes back to it.
function reach(cell) {
  for (const one of cells()) one.tabIndex = one === cell ? 0 : -1;
  cell.focus();
}

element.addEventListener("click", ({ target }) => {
  const cell = target.closest(".fg-grid button");
  if (!cell) return;
  reach(cell); // not every browser does at a click
  trigger("click", { point: JSON.parse(cell.dataset.point) });
});

element.addEventListener("keydown", (event) => {
  const all = cells(), side = Math.sqrt(all.length), here = all.indexOf(event.target);
  if (here < 0 || !(event.key in STEPS)) return;
  event.preventDefault(); // of scrolling
  const [down, across] = STEPS[event.key];
  const row = Math.floor(here / side) + down, column = here % side + across;
  if (Math.min(row, column) >= 0 && Math.max(row, column) < side) reach(all[row * side + column]);
});
