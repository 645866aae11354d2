// The widget: a two-time map on a canvas with axes, colour bar, masked frames, a cut, and a line of reading.

// What stands above and below the plot on a page whose bar, file and bins are in view, in pixels.
const AROUND = 300;
const TOOLS = {
  zoom: ["Zoom", "Drag a square to look closer. Shift + drag moves, a double click shows all. Click, then scroll to zoom."],
  pan: ["Move", "Drag to move the part that is shown."],
  mask: ["Mask frames", "Drag to leave frames out; with Shift to use them again. Dragging along an axis always does this."],
};

function render({ model, el }) {
  const root = make("div", "hn-plot hn-map", el);
  const bar = make("div", "hn-tools", root);
  const canvas = makeCanvas(
    root,
    "Two-time correlation map. Arrow keys move the cut and change its width, plus and minus zoom, 0 shows all, m masks.",
  );
  const reading = make("div", "hn-reading", root);
  const map = makeMap(model, canvas, reading);
  const redraw = redrawer(root, () => draw(root, canvas, map));
  map.redraw = redraw.ask;
  const buttons = makeTools(bar, map, canvas);
  attachGestures(canvas, map);
  const off = listen(model, {
    "base detail limits colours": () => (map.repaint(), redraw.ask()),
    "view frames dt": () => (map.followView(), redraw.ask()), // another run: its whole, where no view is set
    "age width": () => map.busy || redraw.ask(),
    "cut bands offered title message": redraw.ask,
    tool: () => (buttons.show(), redraw.ask()),
  });
  map.repaint();
  map.followView();
  redraw.ask();
  return () => {
    off();
    redraw.stop();
    map.stop();
  };
}

function makeMap(model, canvas, reading) {
  let later = 0;
  const get = (name) => model.get(name);
  const map = {
    get,
    send: (values) => send(model, values),
    band: null,
    busy: false,
    box: null,
    painted: [],
    pointer: null,
    span: () => edgesOf(get("frames"), get("dt")),
    whole: () => [...map.span(), ...map.span()],
    clampAge: (age) => inFrames(age, get("frames")[0], get("frames")[1], get("dt")),
    clampWidth: (width) => inFrames(width, 1, get("frames")[1] - get("frames")[0] + 1, get("dt")),
    plane: () => planeOf(map.box ?? { left: 0, top: 0, width: 1, height: 1 }, map.view),
    cutUnder: (point) =>
      get("cut") ? cutUnder(point, get("cut"), get("age"), get("width"), map.span(), map.plane()) : null,
    repaint: () => {
      map.table = colourTable(get("colours"));
      map.painted = [get("base"), get("detail")].map((one) => paintPicture(one, get("limits"), map.table));
    },
    followView: () => {
      map.view = get("view").length === 4 ? [...get("view")] : map.whole();
    },
    setView: (wanted) => {
      map.view = withinRun(wanted, map.span(), LEAST_FRAMES * get("dt"));
      map.redraw();
      clearTimeout(later);
      later = setTimeout(() => map.send({ view: map.view }), 40); // the picture in hand is stretched until then
    },
    hover: (point) => {
      map.pointer = point;
      showReading(map, reading);
    },
    stop: () => clearTimeout(later),
  };
  return map;
}

// The nearest whole number of frames within limits, in s, without the dust of binary fractions.
const inFrames = (seconds, least, most, dt) =>
  Number((Math.min(Math.max(Math.round(seconds / dt), least), most) * dt).toPrecision(12));

// Where times lie in pixels, and back.
function planeOf(box, [x0, x1, y0, y1]) {
  const perSecond = box.width / (x1 - x0);
  return {
    box,
    perSecond,
    toX: (t1) => box.left + (t1 - x0) * perSecond,
    toY: (t2) => box.top + box.height - ((t2 - y0) / (y1 - y0)) * box.height,
    toT1: (x) => x0 + (x - box.left) / perSecond,
    toT2: (y) => y0 + ((box.top + box.height - y) / box.height) * (y1 - y0),
  };
}

// Keep a view inside the run and not narrower than a few frames.
function withinRun([x0, x1, y0, y1], span, least) {
  const width = Math.min(Math.max(x1 - x0, least), span[1] - span[0]);
  const along = (low, high) => {
    const start = Math.min(Math.max((low + high - width) / 2, span[0]), span[1] - width);
    return [start, start + width];
  };
  return [...along(x0, x1), ...along(y0, y1)];
}

function makeTools(bar, map, canvas) {
  const buttons = Object.entries(TOOLS).map(([tool, [label, title]]) => {
    const button = make("button", "hn-tool", bar, { type: "button", textContent: label, title });
    button.onclick = () => map.send({ tool });
    return [tool, button];
  });
  const actions = [
    ["Show all", "Show the whole run (double click on the map, or the key 0)", () => map.setView(map.whole())],
    ["PNG", "Download this picture", () => canvas.toBlob((blob) => download("map.png", blob))],
    ["CSV", "Download the pixels shown: t₁ in the first line, t₂ in the first column", () => downloadPixels(map)],
  ];
  for (const [textContent, title, onclick] of actions) make("button", "hn-tool", bar, { type: "button", textContent, title, onclick });
  const show = () => {
    for (const [tool, button] of buttons) button.setAttribute("aria-pressed", String(map.get("tool") === tool));
  };
  show();
  return { show };
}

function downloadPixels(map) {
  const picture = map.painted[1] ?? map.painted[0];
  if (!picture) return;
  const centres = ([low, high], count) => Array.from({ length: count }, (_, k) => Number((low + ((k + 0.5) * (high - low)) / count).toPrecision(9)));
  const head = ["t2 (s) \\ t1 (s)", ...centres(picture.t1, picture.columns)];
  const rows = centres(picture.t2, picture.rows).map((t2, j) => [t2, ...picture.values.subarray(j * picture.columns, (j + 1) * picture.columns)]);
  download("map.csv", csvOf([head, ...rows]), "text/csv");
}

function draw(root, canvas, map) {
  const across = Math.max(root.clientWidth, 260) - MARGIN.left - MARGIN.right;
  const side = Math.min(across, Math.max(window.innerHeight - AROUND, 320)); // as large as the screen shows at once
  const width = side + MARGIN.left + MARGIN.right;
  const height = side + MARGIN.top + MARGIN.bottom;
  map.box = { left: MARGIN.left, top: MARGIN.top, width: side, height: side };
  const context = sharpContext(canvas, width, height);
  const look = lookOf(root);
  const plane = map.plane();
  drawPlane(context, look, map, plane);
  if (map.painted[0]) {
    drawAxes(
      context, look, map.box,
      { range: map.view.slice(0, 2), title: "t₁ (s)" },
      { range: map.view.slice(2), title: "t₂ (s)" },
    );
    drawColourBar(context, look, map.box, map.get("limits"), map.table, map.get("title"));
  }
  tell(canvas, map);
}

function drawPlane(context, look, map, plane) {
  const { left, top, width, height } = plane.box;
  context.save();
  context.beginPath();
  context.rect(left, top, width, height);
  context.clip();
  context.fillStyle = look.panel;
  context.fillRect(left, top, width, height);
  for (const painted of map.painted) if (painted) drawPicture(context, painted, plane);
  for (const run of map.get("bands")) drawBand(context, look.masked, run, map, plane);
  for (const run of map.get("offered")) drawBand(context, look.offered, run, map, plane);
  if (map.get("message")) {
    context.fillStyle = look.faint;
    context.textAlign = "center";
    context.fillText(map.get("message"), left + width / 2, top + height / 2);
  }
  if (map.get("cut")) drawCut(context, look, map.get("cut"), map.get("age"), map.get("width"), map.span(), plane);
  drawDrag(context, look, map, plane);
  context.restore();
}

function drawBand(context, colour, run, map, plane) {
  const { left, top, width, height } = plane.box;
  const [low, high] = edgesOf(run, map.get("dt"));
  const [x0, x1] = [plane.toX(low), Math.max(plane.toX(high), plane.toX(low) + 1)];
  const [y0, y1] = [plane.toY(high), Math.max(plane.toY(low), plane.toY(high) + 1)];
  hatch(context, colour, x0, top, x1 - x0, height);
  hatch(context, colour, left, y0, width, y1 - y0);
}

function drawDrag(context, look, map, plane) {
  const { band } = map;
  if (!band) return;
  context.fillStyle = look.offered;
  context.strokeStyle = look.offered;
  context.globalAlpha = 0.35;
  if (band.kind === "brush" && band.frames) {
    const [low, high] = edgesOf(band.frames, map.get("dt"));
    const { left, top, width, height } = plane.box;
    context.fillRect(plane.toX(low), top, plane.toX(high) - plane.toX(low), height);
    context.fillRect(left, plane.toY(high), width, plane.toY(low) - plane.toY(high));
  }
  if (band.kind === "zoom") {
    const [x, y] = [plane.toX(band.from[0]), plane.toY(band.from[1])];
    const [w, h] = [plane.toX(band.to[0]) - x, plane.toY(band.to[1]) - y];
    context.fillRect(x, y, w, h);
    context.globalAlpha = 1;
    context.strokeRect(x, y, w, h);
  }
  context.globalAlpha = 1;
}

function showReading(map, reading) {
  const { pointer } = map;
  const plane = map.plane();
  if (map.band && map.band.kind === "brush" && map.band.frames) {
    const [first, last] = map.band.frames;
    reading.textContent = first === last ? `frame ${first}` : `frames ${first} to ${last}`;
    return;
  }
  if (!pointer || !inside(plane.box, pointer)) {
    reading.textContent = "";
    return;
  }
  const [t1, t2] = [plane.toT1(pointer[0]), plane.toT2(pointer[1])];
  const [base, detail] = map.painted;
  const value = valueAt(detail, t1, t2) ?? valueAt(base, t1, t2);
  const age = map.get("cut") === "diagonal" ? (t1 + t2) / 2 : Math.min(t1, t2);
  const words = [
    `t₁ ${numberText(t1)} s`,
    `t₂ ${numberText(t2)} s`,
    `${map.get("title")} ${value === undefined ? "–" : numberText(value)}`,
    `τ ${numberText(Math.abs(t2 - t1))} s`,
    `age ${numberText(age)} s`,
  ];
  reading.textContent = words.join("   ");
}

// What is drawn, readable from outside (tests, screen tools).
function tell(canvas, map) {
  const { left, top, width, height } = map.box;
  Object.assign(canvas.dataset, {
    plot: JSON.stringify([left, top, width, height]),
    view: JSON.stringify(map.view),
    picture: String(map.get("base").number ?? ""),
    detail: String(map.get("detail").number ?? ""),
  });
}

export default { render };
