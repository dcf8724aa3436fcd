// Quality against rates, and files against files.
const number = (value) => typeof value === "number";
const [truth, ...codecs] = data.rows;
const judged = data.columns.filter(
  (column) => column.judged && column.better && codecs.some((row) => number(row.cells[column.name]?.[0])),
);

/** The points that no other beats in both rate and quality, by rate. */
function front(points, higher) {
  let best = higher ? -Infinity : Infinity;
  const better = (value) => (higher ? value > best : value < best);
  const order = [...points].sort((a, b) => a.rate - b.rate || (higher ? b.value - a.value : a.value - b.value));
  return order.filter(({ value }) => better(value) && ((best = value), true));
}

function drawRates(host, column, rate, title) {
  const points = codecs
    .filter((row) => number(row[rate]) && number(row.cells[column.name]?.[0]))
    .map((row) => {
      const [value, low, high] = row.cells[column.name];
      return { name: row.model, rate: row[rate], value, low: low ?? value, high: high ?? value };
    });
  if (!points.length) {
    host.replaceChildren(element("p", { className: "note", textContent: `No row has both ${title} and ${column.name}.` }));
    return "";
  }
  const best = front(points, column.better === "higher");
  const reference = truth.cells[column.name]?.[0];
  const heights = points.flatMap(({ low, high }) => [low, high]).concat(number(reference) ? [reference] : []);
  const [left, right] = range(points.map((point) => point.rate), true);
  const [bottom, top] = range(heights);
  const said = best.map(({ name, rate: at, value }) => `${name} with ${column.name} ${shown(value, column.digits)} at ${tickText(at)}`);
  const { root, across, up, area } = plot(host, {
    title: `${column.name} against ${title}`,
    description: `Not beaten in both: ${said.join("; ")}.`,
    x: { label: title, low: left, high: right, log: true },
    y: { label: `${headed(column)}${column.better === "lower" ? " (lower is better)" : ""}`, low: bottom, high: top },
    ratio: 0.72,
  });
  if (number(reference)) {
    root.append(svg("line", { class: "reference", x1: area.left, x2: area.right, y1: up(reference), y2: up(reference) }));
  }
  root.append(svg("path", { class: "front", d: `M${best.map((p) => `${across(p.rate)},${up(p.value)}`).join("L")}` }));
  const drawn = [...best, ...points.filter((point) => !best.includes(point))];
  for (const point of drawn) {
    const [x, strong] = [across(point.rate), best.includes(point)];
    const about = `${point.name}: ${column.name} ${shown(point.value, column.digits)} at ${tickText(point.rate)} ${title}`;
    root.append(
      svg("line", { class: "error", x1: x, x2: x, y1: up(point.low), y2: up(point.high) }),
      svg("circle", { class: strong ? "point strong" : "point", cx: x, cy: up(point.value), r: 4.5 }, svg("title", {}, about)),
    );
  }
  label(root, drawn.map((p) => ({ x: across(p.rate), y: up(p.value), label: p.name, strong: best.includes(p) })), area);
  return `By ${title}, not beaten in both: ${best.map(({ name }) => name).join("; ")}.`;
}

function drawQuality() {
  const column = judged[byId("quality").value];
  if (!column) {
    byId("rates-status").textContent = "No codec was judged, so that there is nothing to draw.";
    return;
  }
  const said = [
    drawRates(byId("by-tokens"), column, "tokens", "tokens/s"),
    drawRates(byId("by-bits"), column, "kbits", "kbit/s"),
  ];
  byId("rates-status").textContent = said.filter(Boolean).join(" ");
}

const scored = Object.keys(data.scores);
const columnOf = new Map(data.columns.map((column) => [column.name, column]));
const scoresOf = (axis) => {
  const model = scored[byId(`${axis}-model`).value];
  const name = byId(`${axis}-column`).selectedOptions[0]?.textContent;
  return { model, column: columnOf.get(name), values: data.scores[model][name] ?? [] };
};

function drawFiles() {
  const [one, other] = [scoresOf("x"), scoresOf("y")];
  const points = data.files
    .map((name, i) => ({ name, x: one.values[i], y: other.values[i] }))
    .filter(({ x, y }) => number(x) && number(y));
  const host = byId("scatter");
  if (!points.length) {
    host.replaceChildren();
    byId("files-status").textContent = "No file has both scores.";
    return;
  }
  const alike = one.column === other.column;
  const [xs, ys] = [points.map((point) => point.x), points.map((point) => point.y)];
  const [xRange, yRange] = alike ? [range([...xs, ...ys]), range([...xs, ...ys])] : [range(xs), range(ys)];
  const said = summary(points, one, other, alike);
  const { root, across, up } = plot(host, {
    title: `${other.model}, ${other.column.name}, against ${one.model}, ${one.column.name}`,
    description: said,
    x: { label: `${one.model}: ${headed(one.column)}`, low: xRange[0], high: xRange[1] },
    y: { label: `${other.model}: ${headed(other.column)}`, low: yRange[0], high: yRange[1] },
    ratio: 0.8,
  });
  if (alike) {
    const [low, high] = xRange;
    root.append(svg("line", { class: "reference", x1: across(low), y1: up(low), x2: across(high), y2: up(high) }));
  }
  for (const { name, x, y } of points) {
    const about = `${name}: ${shown(x, one.column.digits)} and ${shown(y, other.column.digits)}`;
    root.append(svg("circle", { class: "point file", cx: across(x), cy: up(y), r: 4 }, svg("title", {}, about)));
  }
  byId("files-status").textContent = said;
}

function summary(points, one, other, alike) {
  const files = `${points.length} ${points.length === 1 ? "file" : "files"}`;
  if (!alike) return `${files}; the dots tell how ${one.column.name} and ${other.column.name} go together.`;
  const wins = points.filter(({ x, y }) => (one.column.better === "lower" ? y < x : y > x)).length;
  const mean = points.reduce((sum, { x, y }) => sum + y - x, 0) / points.length;
  const verb = one.column.better ? "better" : "higher";
  return `${files}; ${other.model} is ${verb} than ${one.model} in ${wins}, and differs by ${shown(mean, one.column.digits + 1)} on average.`;
}

function fillColumns(axis, chosen) {
  const names = data.columns.map(({ name }) => name).filter((name) => data.scores[scored[byId(`${axis}-model`).value]][name]);
  fill(byId(`${axis}-column`), names, names.indexOf(chosen));
}

fill(byId("quality"), judged.map(({ name }) => name));
byId("quality").addEventListener("change", drawQuality);
if (scored.length) {
  const models = scored.filter((name) => name !== truth?.model);
  const first = Math.max(0, scored.indexOf(models[0]));
  for (const axis of ["x", "y"]) {
    fill(byId(`${axis}-model`), scored, axis === "x" ? first : Math.max(first, scored.indexOf(models[1])));
    fillColumns(axis, judged[0]?.name);
    byId(`${axis}-model`).addEventListener("change", () => {
      fillColumns(axis, byId(`${axis}-column`).selectedOptions[0]?.textContent);
      drawFiles();
    });
    byId(`${axis}-column`).addEventListener("change", drawFiles);
  }
}
let drawnWidth = 0;
new ResizeObserver(([{ contentRect }]) => {
  if (contentRect.width === drawnWidth) return; // the height follows from what is drawn
  drawnWidth = contentRect.width;
  drawQuality();
  if (scored.length) drawFiles();
}).observe(byId("rates"));
