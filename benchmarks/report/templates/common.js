// What every part of the page uses.
const byId = (id) => document.getElementById(id);
const data = JSON.parse(byId("data").textContent);
const media = JSON.parse(byId("media").textContent);

/** An element with properties and children; text among them is text, never markup. */
function element(name, properties = {}, ...children) {
  const made = Object.assign(document.createElement(name), properties);
  made.append(...children);
  return made;
}

/** An SVG element with attributes. */
function svg(name, attributes = {}, ...children) {
  const made = document.createElementNS("http://www.w3.org/2000/svg", name);
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  made.append(...children);
  return made;
}

/** Fill a select; the value of an option is its name's place. */
function fill(select, names, chosen = 0) {
  select.replaceChildren(...names.map((name, i) => element("option", { value: i, textContent: name })));
  select.value = Math.max(0, chosen);
}

/** A number as the table shows it. */
const shown = (value, digits) => value.toFixed(digits).replace("-", "\u2212");

const headed = (column) => (column.unit && column.unit !== column.name ? `${column.name}, ${column.unit}` : column.name);
