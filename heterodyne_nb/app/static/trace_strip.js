// The widget: one number a frame against time, to brush frames on.

const STRIP_HEIGHT = 130;

function render({ model, el }) {
  const root = make("div", "hn-plot hn-strip", el);
  const canvas = makeCanvas(root, "Trace of the frames. Drag to mask frames, with Shift to use them again.");
  canvas.title = "Drag to mask frames; with Shift to use them again.";
  const strip = { model, get: (name) => model.get(name), brush: null };
  const redraw = redrawer(root, () => drawStrip(root, canvas, strip));
  strip.redraw = redraw.ask;
  const off = listen(model, { "trace title view bands offered frames dt": redraw.ask });
  attachBrush(canvas, strip);
  redraw.ask();
  return () => {
    off();
    redraw.stop();
  };
}

function attachBrush(canvas, strip) {
  let start = null;
  const at = (event) => {
    const x = event.clientX - canvas.getBoundingClientRect().left;
    return strip.range[0] + ((x - strip.box.left) / strip.box.width) * (strip.range[1] - strip.range[0]);
  };
  const show = (to) => {
    strip.brush = start === null ? null : framesBetween(start, to, strip.get("frames"), strip.get("dt"));
    strip.redraw();
  };
  canvas.onpointerdown = (event) => {
    if (event.button !== 0) return;
    canvas.setPointerCapture(event.pointerId);
    start = at(event);
    show(start);
  };
  canvas.onpointermove = (event) => start !== null && show(at(event));
  canvas.onpointerup = (event) => {
    if (start === null) return;
    show(at(event));
    const frames = strip.brush;
    start = strip.brush = null;
    if (frames) send(strip.model, { [event.shiftKey ? "erased" : "brushed"]: frames });
    strip.redraw();
  };
  canvas.onpointercancel = () => ((start = null), show(0));
  canvas.onkeydown = (event) => event.key === "Escape" && ((start = null), show(0));
}

function drawStrip(root, canvas, strip) {
  const width = Math.max(root.clientWidth, 260);
  const box = { left: MARGIN.left, top: 6, width: width - MARGIN.left - 14, height: STRIP_HEIGHT - 48 };
  const context = sharpContext(canvas, width, STRIP_HEIGHT);
  const look = lookOf(root);
  canvas.style.display = strip.get("trace").blocks ? "block" : "none"; // no axes of nothing
  const span = edgesOf(strip.get("frames"), strip.get("dt"));
  const range = strip.get("view").length ? strip.get("view").slice(0, 2) : span;
  Object.assign(strip, { box, range });
  const toX = (t) => box.left + ((t - range[0]) / (range[1] - range[0])) * box.width;
  context.save();
  context.fillStyle = look.panel;
  context.fillRect(box.left, box.top, box.width, box.height);
  context.beginPath();
  context.rect(box.left, box.top, box.width, box.height);
  context.clip();
  const mark = (colour) => (run) => {
    const [low, high] = edgesOf(run, strip.get("dt")).map(toX);
    hatch(context, colour, low, box.top, Math.max(high - low, 1), box.height);
  };
  strip.get("bands").forEach(mark(look.masked));
  strip.get("offered").forEach(mark(look.offered));
  const heights = drawTrace(context, look, strip, box, span, toX);
  if (strip.brush) {
    const [low, high] = edgesOf(strip.brush, strip.get("dt")).map(toX);
    context.globalAlpha = 0.35;
    context.fillStyle = look.offered;
    context.fillRect(low, box.top, high - low, box.height);
    context.globalAlpha = 1;
  }
  context.restore();
  drawAxes(context, look, box, { range, title: "t (s)" }, { range: heights, title: strip.get("title"), most: 3 });
  canvas.dataset.plot = JSON.stringify([box.left, box.top, box.width, box.height]);
  canvas.dataset.view = JSON.stringify(range);
}

// The trace comes as (lowest, highest) of each of its blocks of frames.
function drawTrace(context, look, strip, box, span, toX) {
  const trace = strip.get("trace");
  if (!trace.blocks) return [0, 1];
  const values = floats(trace.data);
  const [low, high] = trace.heights;
  const toY = (v) => box.top + box.height * (1 - (v - low) / (high - low));
  context.strokeStyle = look.line;
  context.lineWidth = 1.3;
  context.beginPath();
  const block = (span[1] - span[0]) / trace.blocks;
  let lifted = true;
  for (let k = 0; k < trace.blocks; k += 1) {
    const [bottom, top] = [values[2 * k], values[2 * k + 1]];
    if (!Number.isFinite(bottom)) {
      lifted = true;
      continue;
    }
    const x = toX(span[0] + (k + 0.5) * block);
    if (lifted) context.moveTo(x, toY(bottom));
    else context.lineTo(x, toY(bottom));
    if (top !== bottom) context.lineTo(x, toY(top));
    lifted = false;
  }
  context.stroke();
  return [low, high];
}

export default { render };
