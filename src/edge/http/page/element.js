// Elements from data. Text goes in as text only: nothing that a server or a shop says becomes markup.

const SVG = "http://www.w3.org/2000/svg";

/** An element with attributes (false and null leave one out) and children: elements, or text. */
export function make(tag, attributes = {}, ...children) {
  return fill(document.createElement(tag), attributes, children);
}

/** The same in a drawing. */
export function draw(tag, attributes = {}, ...children) {
  return fill(document.createElementNS(SVG, tag), attributes, children);
}

function fill(element, attributes, children) {
  for (const [name, value] of Object.entries(attributes)) {
    if (value !== false && value !== null && value !== undefined) {
      element.setAttribute(name, value === true ? "" : String(value));
    }
  }
  element.append(...children.flat(2).filter((child) => child !== null && child !== undefined));
  return element;
}

export const byId = (id) => document.getElementById(id);

export function setText(element, text) {
  // A node that is written anew is read out anew.
  if (element.textContent !== text) element.textContent = text;
}

/** A bar whose length is `part`, 0 to 1. The policy forbids style attributes, not the style itself. */
export function bar(part) {
  const inner = make("span");
  inner.style.width = `${Math.round(100 * Math.min(1, Math.max(0, part)))}%`;
  return make("span", { class: "weight", "aria-hidden": "true" }, inner);
}

/** A line over values, oldest first, with the area below it; a null is a gap in what is known. */
export function sparkline(svg, values, slots) {
  const known = values.filter((value) => value !== null);
  // Room above, so that what is steady is a line and not a block.
  const [width, height, top] = [240, 56, 1.3 * Math.max(...known, 1e-9)];
  const at = (value, i) => {
    const x = width - ((values.length - 1 - i) * width) / (slots - 1);
    return [x, height - 2 - (value / top) * (height - 6)].map((number) => number.toFixed(1));
  };
  const runs = [];
  values.forEach((value, i) => {
    if (value === null) return runs.push([]);
    if (runs.length === 0) runs.push([]);
    runs.at(-1).push(at(value, i));
  });
  const lines = runs.filter((run) => run.length > 1).map((run) => run.map((point) => point.join(" ")).join(" L"));
  const ends = runs.filter((run) => run.length > 1).map((run) => [run[0][0], run.at(-1)[0]]);
  svg.replaceChildren(
    draw("path", { class: "area", d: lines.map((line, i) => `M${ends[i][0]} ${height} L${line} L${ends[i][1]} ${height} Z`).join(" ") }),
    draw("path", { class: "line", d: lines.map((line) => `M${line}`).join(" "), "vector-effect": "non-scaling-stroke" }),
  );
}
