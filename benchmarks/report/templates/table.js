// The table: sorting by a column, filtering rows by text, hiding groups of columns.
const table = byId("results");
const headings = [...table.tHead.rows[0].cells];
const bodies = [...table.tBodies]; // in the run's order
const movable = bodies.filter((body) => !body.classList.contains("pinned"));
const sorting = { heading: null, direction: "" };

/** The directions that clicks on a heading go through: the best first, the other way, the run's order. */
function directions(heading) {
  const rising = heading.dataset.better === "lower" || heading === headings[0];
  return rising ? ["ascending", "descending", ""] : ["descending", "ascending", ""];
}

function sortValue(body, place) {
  const value = body.rows[0].cells[place].dataset.sort;
  if (place === 0 || value === undefined) return value;
  return { inf: Infinity, "-inf": -Infinity }[value] ?? Number(value);
}

function compare(a, b) {
  return typeof a === "string" ? a.localeCompare(b, "en", { numeric: true }) : a < b ? -1 : Number(a > b);
}

function sortBy(heading) {
  const cycle = directions(heading);
  const direction = sorting.heading === heading ? cycle[(cycle.indexOf(sorting.direction) + 1) % 3] : cycle[0];
  sorting.heading?.removeAttribute("aria-sort");
  Object.assign(sorting, { heading, direction });
  if (direction) heading.setAttribute("aria-sort", direction);
  const place = headings.indexOf(heading);
  const values = new Map(movable.map((body) => [body, sortValue(body, place)]));
  const sign = direction === "ascending" ? 1 : -1;
  const sorted = [...movable];
  if (direction) {
    sorted.sort((one, other) => {
      const [a, b] = [values.get(one), values.get(other)];
      if (a === undefined || b === undefined) return Number(a === undefined) - Number(b === undefined); // last
      return sign * compare(a, b);
    });
  }
  table.append(...sorted);
  announce();
}

function filter() {
  const words = byId("filter").value.toLowerCase().split(/\s+/);
  for (const body of movable) {
    const name = body.dataset.model.toLowerCase();
    body.hidden = !words.every((word) => name.includes(word));
  }
  announce();
}

function announce() {
  const visible = movable.filter((body) => !body.hidden).length;
  const rows = visible === movable.length ? `${visible} rows` : `${visible} of ${movable.length} rows`;
  const name = sorting.heading?.dataset.name;
  const order = sorting.direction ? `sorted by ${name}, ${sorting.direction}` : "in the run\u2019s order";
  byId("table-status").textContent = `${rows} beside Ground Truth, ${order}.`;
}

function show(group, visible) {
  for (const cell of table.querySelectorAll(`[data-group="${CSS.escape(group)}"]`)) cell.hidden = !visible;
}

for (const heading of headings) heading.firstElementChild.addEventListener("click", () => sortBy(heading));
byId("filter").addEventListener("input", filter);
byId("tools").addEventListener("submit", (event) => event.preventDefault());
byId("tools").addEventListener("change", ({ target }) => {
  if (target.dataset.toggle) show(target.dataset.toggle, target.checked);
  if (target.id === "intervals") table.classList.toggle("bare", !target.checked);
  if (target.id === "papers") for (const row of table.querySelectorAll(".paper")) row.hidden = !target.checked;
});
// Ground Truth stays in sight, right below the headings
new ResizeObserver(() => table.style.setProperty("--head", `${table.tHead.offsetHeight}px`)).observe(table.tHead);
byId("tools").reset(); // what a browser remembers of an earlier visit
filter();
