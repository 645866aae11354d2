// What the mouse and the keys do on a map. `map` offers plane(), view, model, setView(), redraw(), band.

const LEAST_FRAMES = 8;

function attachGestures(canvas, map) {
  let drag = null;
  const place = (event) => {
    const box = canvas.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const down = (event) => {
    if (event.button !== 0) return;
    const point = place(event);
    drag = beginDrag(map, point, event);
    if (!drag) return;
    canvas.setPointerCapture(event.pointerId);
    canvas.focus({ preventScroll: true });
    event.preventDefault();
  };
  const move = (event) => {
    const point = place(event);
    if (drag) drag.move(point, event);
    else canvas.style.cursor = cursorAt(map, point);
    map.hover(point);
  };
  const up = (event) => {
    if (!drag) return;
    drag.end(place(event), event);
    drag = null;
    map.redraw();
  };
  const give_up = () => {
    if (drag) drag.cancel();
    drag = null;
    map.redraw();
  };
  const listeners = {
    pointerdown: down,
    pointermove: move,
    pointerup: up,
    pointercancel: give_up,
    pointerleave: () => drag || map.hover(null),
    dblclick: () => map.setView(map.whole()),
    wheel: (event) => wheel(canvas, map, place(event), event),
    keydown: (event) => (event.key === "Escape" ? give_up() : key(map, event)),
  };
  for (const [name, call] of Object.entries(listeners)) canvas.addEventListener(name, call, { passive: false });
}

const inside = (box, [x, y]) =>
  x >= box.left && x <= box.left + box.width && y >= box.top && y <= box.top + box.height;

// Below the map lies the axis of t1, left of it that of t2: dragging there always marks frames.
function edgeUnder(box, [x, y]) {
  if (x >= box.left && x <= box.left + box.width && y > box.top + box.height) return "t1";
  if (x < box.left && y >= box.top && y <= box.top + box.height) return "t2";
  return null;
}

function cursorAt(map, point) {
  const plane = map.plane();
  if (edgeUnder(plane.box, point)) return "col-resize";
  if (!inside(plane.box, point)) return "default";
  const part = map.cutUnder(point);
  if (part) return part === "age" ? "grab" : "ew-resize";
  return { zoom: "crosshair", pan: "move", mask: "col-resize" }[map.get("tool")];
}

function beginDrag(map, point, event) {
  const plane = map.plane();
  const edge = edgeUnder(plane.box, point);
  if (edge) return brushDrag(map, point, edge);
  if (!inside(plane.box, point)) return null;
  const part = map.cutUnder(point);
  if (part) return cutDrag(map, point, part);
  const tool = event.shiftKey && map.get("tool") === "zoom" ? "pan" : map.get("tool");
  return { zoom: zoomDrag, pan: panDrag, mask: brushDrag }[tool](map, point, "t1");
}

function brushDrag(map, from, axis) {
  const at = (point) => (axis === "t1" ? map.plane().toT1(point[0]) : map.plane().toT2(point[1]));
  const start = at(from);
  const show = (to) => {
    map.band = { kind: "brush", frames: framesBetween(start, to, map.get("frames"), map.get("dt")) };
    map.redraw();
  };
  show(start);
  const clear = () => (map.band = null);
  return {
    move: (point) => show(at(point)),
    cancel: clear,
    end: (point, event) => {
      const frames = framesBetween(start, at(point), map.get("frames"), map.get("dt"));
      clear();
      if (frames) map.send({ [event.shiftKey ? "erased" : "brushed"]: frames });
    },
  };
}

function cutDrag(map, from, part) {
  const cut = map.get("cut");
  const ageOf = ([x, y]) => ageAt(cut, map.plane().toT1(x), map.plane().toT2(y));
  const [start, age, width] = [ageOf(from), map.get("age"), map.get("width")];
  const side = Math.sign(start - age) || 1;
  const change = (point) => {
    const step = ageOf(point) - start;
    if (part === "age") map.send({ age: map.clampAge(age + step) });
    else map.send({ width: map.clampWidth(width + 2 * side * step) });
    map.redraw();
  };
  const done = () => (map.busy = false);
  map.busy = true;
  return { move: change, end: (point) => (change(point), done()), cancel: done };
}

function zoomDrag(map, from) {
  const plane = map.plane();
  const corner = ([x, y]) => [
    plane.toT1(Math.min(Math.max(x, plane.box.left), plane.box.left + plane.box.width)),
    plane.toT2(Math.min(Math.max(y, plane.box.top), plane.box.top + plane.box.height)),
  ];
  const start = corner(from);
  const clear = () => (map.band = null);
  return {
    move: (point) => ((map.band = { kind: "zoom", from: start, to: corner(point) }), map.redraw()),
    cancel: clear,
    end: (point) => {
      clear();
      const [a, b] = [start, corner(point)];
      if (distance(from, point) < 6) return;
      const span = Math.max(Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1]));
      const middle = [(a[0] + b[0]) / 2, (a[1] + b[1]) / 2];
      map.setView(square(middle, span));
    },
  };
}

// Pixels stay square: a view has one width for both times.
const square = ([t1, t2], span) => [t1 - span / 2, t1 + span / 2, t2 - span / 2, t2 + span / 2];

function panDrag(map, from) {
  const [view, plane] = [map.view, map.plane()];
  const moved = (point) => {
    const dx = (point[0] - from[0]) / plane.perSecond;
    const dy = (from[1] - point[1]) / plane.perSecond;
    map.setView([view[0] - dx, view[1] - dx, view[2] - dy, view[3] - dy]);
  };
  return { move: moved, end: moved, cancel: () => map.setView(view) };
}

// The wheel scrolls the page unless the map has been clicked.
function wheel(canvas, map, point, event) {
  if (document.activeElement !== canvas || !inside(map.plane().box, point)) return;
  event.preventDefault();
  const plane = map.plane();
  zoomAbout(map, [plane.toT1(point[0]), plane.toT2(point[1])], event.deltaY > 0 ? 1.25 : 0.8);
}

function zoomAbout(map, [t1, t2], factor) {
  const [a, b, c, d] = map.view;
  map.setView([t1 + (a - t1) * factor, t1 + (b - t1) * factor, t2 + (c - t2) * factor, t2 + (d - t2) * factor]);
}

function key(map, event) {
  const [a, b, c, d] = map.view;
  const step = map.get("dt") * (event.shiftKey ? 10 : 1);
  const moves = {
    ArrowLeft: () => map.send({ age: map.clampAge(map.get("age") - step) }),
    ArrowRight: () => map.send({ age: map.clampAge(map.get("age") + step) }),
    ArrowUp: () => map.send({ width: map.clampWidth(map.get("width") + step) }),
    ArrowDown: () => map.send({ width: map.clampWidth(map.get("width") - step) }),
    "+": () => zoomAbout(map, [(a + b) / 2, (c + d) / 2], 0.8),
    "-": () => zoomAbout(map, [(a + b) / 2, (c + d) / 2], 1.25),
    0: () => map.setView(map.whole()),
    m: () => map.send({ tool: map.get("tool") === "mask" ? "zoom" : "mask" }),
  };
  if (!moves[event.key] || event.ctrlKey || event.metaKey || event.altKey) return;
  event.preventDefault();
  event.stopPropagation();
  moves[event.key]();
  map.redraw();
}
