// What the drawings share: a sharp canvas that knows its colours, ticks, and marked frames.

const FONT = "12px system-ui, -apple-system, 'Segoe UI', Roboto, 'Helvetica Neue', Arial, sans-serif";
const MARGIN = { left: 62, right: 88, top: 8, bottom: 42 };

function make(tag, className, parent, properties = {}) {
  const node = document.createElement(tag);
  node.className = className;
  Object.assign(node, properties);
  if (parent) parent.appendChild(node);
  return node;
}

// Colours come from CSS variables, so the drawing follows the theme of the page.
function lookOf(node) {
  const style = getComputedStyle(node);
  const read = (name) => style.getPropertyValue(name).trim();
  return {
    ink: read("--hn-ink"),
    faint: read("--hn-faint"),
    panel: read("--hn-panel"),
    paper: read("--hn-paper"),
    line: read("--hn-line"),
    cut: read("--hn-cut"),
    masked: read("--hn-masked"),
    offered: read("--hn-offered"),
  };
}

function makeCanvas(parent, label) {
  const canvas = make("canvas", "hn-canvas", parent, { tabIndex: 0 });
  canvas.setAttribute("role", "application");
  canvas.setAttribute("aria-label", label);
  return canvas;
}

// Give the canvas a size in CSS pixels and return a context that draws in them.
function sharpContext(canvas, width, height) {
  const ratio = window.devicePixelRatio || 1;
  const [w, h] = [Math.round(width * ratio), Math.round(height * ratio)];
  if (canvas.width !== w || canvas.height !== h) {
    canvas.width = w;
    canvas.height = h;
    canvas.style.width = `${width}px`;
    canvas.style.height = `${height}px`;
  }
  const context = canvas.getContext("2d");
  context.setTransform(ratio, 0, 0, ratio, 0, 0);
  context.clearRect(0, 0, width, height);
  context.font = FONT;
  context.lineWidth = 1;
  return context;
}

function ticksOf(low, high, most) {
  const rough = (high - low) / Math.max(most, 1);
  if (!(rough > 0)) return { values: [], step: 1 };
  const power = 10 ** Math.floor(Math.log10(rough));
  const step = [1, 2, 5, 10].map((k) => k * power).find((s) => s >= rough * (1 - 1e-9));
  const values = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + 1e-9 * step; k += 1) values.push(k * step);
  return { values, step };
}

function tickText(value, step) {
  const size = Math.max(Math.abs(value), step);
  if (size >= 1e6 || step < 1e-5) return value.toExponential(1).replace("-", "−");
  const decimals = Math.max(0, -Math.floor(Math.log10(step) + 1e-9));
  return value.toFixed(decimals).replace("-", "−");
}

function numberText(value) {
  if (!Number.isFinite(value)) return "–";
  const size = Math.abs(value);
  const text = size !== 0 && (size >= 1e6 || size < 1e-3) ? value.toExponential(3) : value.toPrecision(5);
  return text.replace(/(\.\d*?)0+($|e)/, "$1$2").replace(/\.($|e)/, "$1").replace("-", "−");
}

// Axes around a box {left, top, width, height}: x below, y at the left, each with its range and title.
function drawAxes(context, look, box, x, y) {
  context.strokeStyle = look.faint;
  context.fillStyle = look.ink;
  context.strokeRect(box.left + 0.5, box.top + 0.5, box.width - 1, box.height - 1);
  const bottom = box.top + box.height;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const [value, text] of labelled(x.range, box.width / 70)) {
    const at = box.left + ((value - x.range[0]) / (x.range[1] - x.range[0])) * box.width;
    stroke(context, at, bottom, at, bottom + 4);
    context.fillText(text, at, bottom + 7);
  }
  context.fillText(x.title, box.left + box.width / 2, bottom + 24);
  context.textAlign = "right";
  context.textBaseline = "middle";
  for (const [value, text] of labelled(y.range, y.most ?? box.height / 50)) {
    const at = bottom - ((value - y.range[0]) / (y.range[1] - y.range[0])) * box.height;
    stroke(context, box.left - 4, at, box.left, at);
    context.fillText(text, box.left - 7, at);
  }
  context.save();
  const room = context.measureText(y.title).width / 2 + 2; // a title longer than the axis stays whole
  context.translate(13, Math.max(box.top + box.height / 2, room));
  context.rotate(-Math.PI / 2);
  context.textAlign = "center";
  context.fillText(y.title, 0, 0);
  context.restore();
}

function labelled(range, most) {
  const { values, step } = ticksOf(range[0], range[1], most);
  return values.map((value) => [value, tickText(value, step)]);
}

function stroke(context, x0, y0, x1, y1) {
  context.beginPath();
  context.moveTo(x0, y0);
  context.lineTo(x1, y1);
  context.stroke();
}

// Hatch a rectangle: marks masked frames in any colour map.
function hatch(context, colour, x, y, width, height) {
  context.save();
  context.beginPath();
  context.rect(x, y, width, height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = 1;
  context.beginPath();
  for (let k = -height; k < width + 6; k += 6) {
    context.moveTo(x + k, y + height);
    context.lineTo(x + k + height, y);
  }
  context.stroke();
  context.restore();
}

// Edges in s of a run of frames [first, last]; frame k lies at k·dt and is dt wide.
const edgesOf = ([first, last], dt) => [(first - 0.5) * dt, (last + 0.5) * dt];

// Frames a brush from t to u (s) covers, or null where it lies outside the run.
function framesBetween(t, u, frames, dt) {
  const [low, high] = t < u ? [t, u] : [u, t];
  const first = Math.max(Math.round(low / dt), frames[0]);
  const last = Math.min(Math.round(high / dt), frames[1]);
  return first <= last ? [first, last] : null;
}

const floats = (view) =>
  new Float32Array(view.buffer.slice(view.byteOffset, view.byteOffset + view.byteLength));

// Redraw at most once a frame of the screen; on changes of size and of theme too.
function redrawer(node, draw) {
  let waiting = 0;
  const ask = () => {
    if (!waiting) waiting = requestAnimationFrame(() => ((waiting = 0), draw()));
  };
  const size = new ResizeObserver(ask);
  size.observe(node);
  const theme = new MutationObserver(ask);
  const watched = { attributes: true, attributeFilter: ["class", "style", "data-jp-theme-name"] };
  theme.observe(document.body, watched);
  theme.observe(document.documentElement, watched);
  const stop = () => {
    size.disconnect();
    theme.disconnect();
    cancelAnimationFrame(waiting);
  };
  return { ask, stop };
}

// Listen to traits of the model; the returned function takes the listeners off again.
function listen(model, handlers) {
  const pairs = Object.entries(handlers).flatMap(([names, call]) =>
    names.split(" ").map((name) => [`change:${name}`, call]),
  );
  for (const [event, call] of pairs) model.on(event, call);
  return () => pairs.forEach(([event, call]) => model.off(event, call));
}

function send(model, values) {
  for (const [name, value] of Object.entries(values)) model.set(name, value);
  model.save_changes();
}
