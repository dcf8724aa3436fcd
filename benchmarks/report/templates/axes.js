// Axes of a plot, and labels that don't overlap.
const MARGIN = { top: 12, right: 18, bottom: 44, left: 52 };

/** Round values from low to high, some `count` of them. */
function linearTicks(low, high, count) {
  const rough = (high - low) / count;
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].find((factor) => factor * power >= rough) * power;
  const first = Math.ceil(low / step);
  return Array.from({ length: Math.max(0, Math.floor(high / step) - first + 1) }, (_, i) => (first + i) * step);
}

function logTicks(low, high) {
  const ticks = [];
  for (let power = Math.floor(Math.log10(low)); power <= Math.log10(high); power++) {
    ticks.push(...[1, 2, 5].map((factor) => factor * 10 ** power));
  }
  return ticks.filter((tick) => tick >= low && tick <= high);
}

/** The range of some values, with room around them. */
function range(values, log = false) {
  const [low, high] = [Math.min(...values), Math.max(...values)];
  if (log) return [low / 1.3, high * 1.3];
  const room = 0.06 * (high - low) || Math.abs(high) * 0.1 || 1;
  return [low - room, high + room];
}

/** Where a value stands between two pixels. */
function scale({ low, high, log }, from, to) {
  const place = log ? Math.log : (value) => value;
  return (value) => from + ((place(value) - place(low)) / (place(high) - place(low))) * (to - from);
}

const tickText = (value) => String(Number(value.toPrecision(6))).replace("-", "\u2212");

/** An empty plot in `host`, as wide as it; axes are {label, low, high, log}. */
function plot(host, { title, description, x, y, ratio }) {
  const width = Math.max(240, host.clientWidth);
  const height = Math.max(240, Math.min(460, width * ratio));
  const area = { left: MARGIN.left, right: width - MARGIN.right, top: MARGIN.top, bottom: height - MARGIN.bottom };
  const [across, up] = [scale(x, area.left, area.right), scale(y, area.bottom, area.top)];
  const root = svg("svg", { viewBox: `0 0 ${width} ${height}`, width, height, role: "img", "aria-label": `${title}. ${description}` });
  const xTicks = x.log ? logTicks(x.low, x.high) : linearTicks(x.low, x.high, width / 90);
  for (const tick of xTicks) {
    root.append(
      svg("line", { class: "grid", x1: across(tick), x2: across(tick), y1: area.top, y2: area.bottom }),
      svg("text", { class: "tick middle", x: across(tick), y: area.bottom + 16 }, tickText(tick)),
    );
  }
  for (const tick of linearTicks(y.low, y.high, height / 60)) {
    root.append(
      svg("line", { class: "grid", x1: area.left, x2: area.right, y1: up(tick), y2: up(tick) }),
      svg("text", { class: "tick end", x: area.left - 8, y: up(tick) + 4 }, tickText(tick)),
    );
  }
  const middle = (area.top + area.bottom) / 2;
  root.append(
    svg("text", { class: "axis middle", x: (area.left + area.right) / 2, y: height - 8 }, x.label),
    svg("text", { class: "axis middle", x: 12, y: middle, transform: `rotate(-90 12 ${middle})` }, y.label),
  );
  host.replaceChildren(root);
  return { root, across, up, area };
}

/** Write the labels that find room, the first ones first; points: {x, y, label, strong} in pixels. */
function label(root, points, area) {
  const taken = points.map(({ x, y }) => ({ left: x - 5, right: x + 5, top: y - 5, bottom: y + 5 }));
  for (const point of points) {
    const text = svg("text", { class: point.strong ? "name strong" : "name" }, point.label);
    root.append(text);
    const { width } = text.getBBox();
    const spots = [[8, 4], [-8 - width, 4], [-width / 2, -9], [-width / 2, 17], [6, -8], [6, 16], [-6 - width, -8], [-6 - width, 16]];
    const boxes = spots.map(([dx, dy]) => {
      const [left, base] = [point.x + dx, point.y + dy];
      return { left, base, right: left + width, top: base - 10, bottom: base + 3 };
    });
    const free = boxes.find((box) => within(box, area) && !taken.some((other) => overlap(box, other)));
    if (!free) {
      text.remove(); // the point still tells its name to who points at it
      continue;
    }
    text.setAttribute("x", free.left);
    text.setAttribute("y", free.base);
    taken.push(free);
  }
}

const within = (box, area) => box.left >= area.left && box.right <= area.right + MARGIN.right && box.top >= area.top - 6 && box.bottom <= area.bottom;
const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
