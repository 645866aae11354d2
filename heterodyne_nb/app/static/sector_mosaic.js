// The widget: sectors of a detector as a polar picture; a click or the arrow keys choose one.

const SVG = "http://www.w3.org/2000/svg";
const STEPS = { ArrowLeft: [0, 1], ArrowRight: [0, -1], ArrowUp: [1, 0], ArrowDown: [-1, 0] }; // ring, turn anticlockwise

function draw(tag, parent, attributes, text = "") {
  const node = document.createElementNS(SVG, tag);
  for (const [name, value] of Object.entries(attributes)) node.setAttribute(name, value);
  node.textContent = text;
  return parent.appendChild(node);
}

function render({ model, el }) {
  const root = make("div", "hn-plot hn-mosaic", el);
  const picture = draw("svg", root, { viewBox: "-128 -118 330 236", class: "hn-sectors" });
  const reading = make("div", "hn-reading", root);
  let parts = [];
  const get = (name) => model.get(name);

  // A pick shows at once; what the kernel says of earlier ones is old news until it has heard the last.
  let [picked, number] = [0, get("heard")];
  const chosenNow = () => (get("heard") < number ? picked : get("chosen"));
  const read = (k) => (reading.textContent = get("names")[k] ?? "");
  const pick = (k) => {
    [picked, number] = [k, number + 1];
    model.send({ pick: k, number });
    mark();
  };
  const key = (event, k) => {
    const next = event.key in STEPS ? neighbour(get("sectors"), get("rings"), k, STEPS[event.key]) : undefined;
    if (next === undefined && event.key !== "Enter" && event.key !== " ") return;
    event.preventDefault();
    pick(next ?? k);
    parts[next ?? k].focus({ preventScroll: true });
  };

  const paint = () => {
    const focused = parts.indexOf(document.activeElement);
    picture.replaceChildren();
    const values = get("values");
    const known = values.filter((value) => value !== null);
    const [low, high] = [Math.min(...known), Math.max(...known)];
    const colour = (value) => colourAt(get("colours"), high > low ? (value - low) / (high - low) : 0.5);
    const group = draw("g", picture, { role: "radiogroup", "aria-label": `bins as sectors: ${get("title")}` });
    parts = get("sectors").map((sector, k) => {
      const part = draw("path", group, { d: outline(sector), role: "radio", class: "hn-sector" });
      part.onclick = () => (pick(k), part.focus({ preventScroll: true }));
      part.onpointerenter = () => read(k);
      part.onpointerleave = () => read(chosenNow());
      part.onkeydown = (event) => key(event, k);
      const value = values[k];
      part.style.fill = value === null || value === undefined ? "" : colour(value);
      part.setAttribute("aria-label", get("names")[k] ?? "");
      return part;
    });
    for (const angle of parts.length ? [0, 90, 180, -90] : []) {
      const [x, y] = at(1.09, angle);
      draw("text", picture, { x, y, class: "hn-angle" }, `${angle}°`.replace("-", "−"));
    }
    if (known.length) drawScale(picture, get("colours"), low, high);
    mark();
    if (focused >= 0) parts[focused]?.focus({ preventScroll: true });
  };
  const mark = () => {
    const chosen = chosenNow();
    parts.forEach((part, k) => {
      part.setAttribute("aria-checked", String(k === chosen));
      part.setAttribute("tabindex", k === chosen ? "0" : "-1");
    });
    picture.querySelector(".hn-chosen")?.remove();
    if (get("sectors")[chosen]) draw("path", picture, { d: outline(get("sectors")[chosen]), class: "hn-chosen" });
    root.dataset.heard = get("heard") < number ? "" : "all"; // readable from outside
    read(chosen);
  };

  const off = listen(model, { "sectors values names": paint, "chosen heard": mark });
  paint();
  return off;
}

const at = (radius, angle) => {
  const turn = (angle * Math.PI) / 180;
  return [100 * radius * Math.cos(turn), -100 * radius * Math.sin(turn)];
};

// A part of a ring; a whole ring as two halves.
function outline([inner, outer, from, to]) {
  if (to - from > 359.9) return outline([inner, outer, from, from + 180]) + outline([inner, outer, from + 180, from + 359.8]);
  const large = to - from > 180 ? 1 : 0;
  const place = (radius, angle) => at(radius, angle).map((x) => x.toFixed(3)).join(" ");
  const arc = (radius, angle, sweep) => `A ${100 * radius} ${100 * radius} 0 ${large} ${sweep} ${place(radius, angle)}`;
  return `M ${place(inner, from)} L ${place(outer, from)} ${arc(outer, to, 0)} L ${place(inner, to)} ${arc(inner, from, 1)} Z`;
}

// The next sector along a ring, or the one nearest in angle on the next ring.
function neighbour(sectors, rings, k, [outward, turn]) {
  const middle = (j) => (sectors[j][2] + sectors[j][3]) / 2;
  const away = (j) => (((middle(j) - middle(k)) % 360) + 360) % 360; // anticlockwise from here
  const others = rings.map((_, j) => j).filter((j) => j !== k && rings[j] === rings[k] + outward);
  const far = (j) => (turn ? (turn > 0 ? away(j) : 360 - away(j)) : Math.min(away(j), 360 - away(j)));
  return others.sort((i, j) => far(i) - far(j))[0];
}

function colourAt(table, part) {
  const k = 3 * Math.min(Math.floor(256 * part), 255);
  return `rgb(${table.getUint8(k)}, ${table.getUint8(k + 1)}, ${table.getUint8(k + 2)})`;
}

function drawScale(picture, table, low, high) {
  const count = 40;
  for (let k = 0; k < count; k += 1) {
    const y = 60 - (120 * (k + 1)) / count;
    draw("rect", picture, { x: 136, y, width: 10, height: 120 / count + 0.4, fill: colourAt(table, k / (count - 1)) });
  }
  const short = (value) => String(Number(value.toPrecision(3))).replace("-", "−");
  draw("text", picture, { x: 151, y: 57, class: "hn-end" }, short(low));
  draw("text", picture, { x: 151, y: -57, class: "hn-end" }, short(high));
}

export default { render };
