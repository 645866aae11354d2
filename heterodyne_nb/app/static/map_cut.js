// The window of ages that is cut: where it lies on the map, and its handles.

// Corners of the cut at an age (s): from the diagonal to the edge of the run.
function cutLine(cut, age, span) {
  if (cut === "row") return [[age, age], [age, span[1]]];
  const reach = Math.max(Math.min(age - span[0], span[1] - age), 0);
  return [[age, age], [age - reach, age + reach]];
}

// Handles in pixels, on the part of the cut that is shown: the middle one moves the age, the others its window.
function cutHandles(cut, age, width, span, plane) {
  const ends = cutLine(cut, age, span).map(([t1, t2]) => [plane.toX(t1), plane.toY(t2)]);
  const shown = partInside(ends[0], ends[1], plane.box);
  if (!shown) return [];
  const middle = mix(ends[0], ends[1], (shown[0] + shown[1]) / 2);
  const half = Math.max(pixelsOf(cut, width / 2, plane), 13);
  const across = cut === "row" ? [1, 0] : [Math.SQRT1_2, -Math.SQRT1_2];
  const beside = (sign) => [middle[0] + sign * half * across[0], middle[1] + sign * half * across[1]];
  return [
    { part: "age", at: middle, radius: 6 },
    { part: "width", at: beside(-1), radius: 4 },
    { part: "width", at: beside(1), radius: 4 },
  ];
}

const mix = (a, b, part) => [a[0] + part * (b[0] - a[0]), a[1] + part * (b[1] - a[1])];

// Which part of the line from a to b lies in the box, as two numbers from 0 to 1; null if none.
function partInside(a, b, box) {
  let [first, last] = [0, 1];
  const low = [box.left, box.top];
  const high = [box.left + box.width, box.top + box.height];
  for (const k of [0, 1]) {
    const step = b[k] - a[k];
    if (step === 0 && (a[k] < low[k] || a[k] > high[k])) return null;
    if (step === 0) continue;
    const at = [(low[k] - a[k]) / step, (high[k] - a[k]) / step].sort((m, n) => m - n);
    [first, last] = [Math.max(first, at[0]), Math.min(last, at[1])];
  }
  return first <= last ? [first, last] : null;
}

// Pixels across the cut for a step of age in s.
const pixelsOf = (cut, seconds, plane) => seconds * plane.perSecond * (cut === "row" ? 1 : Math.SQRT2);

// Age (s) under a point of the map.
const ageAt = (cut, t1, t2) => (cut === "row" ? t1 : (t1 + t2) / 2);

function drawCut(context, look, cut, age, width, span, plane) {
  const low = cutLine(cut, age - width / 2, span);
  const high = cutLine(cut, age + width / 2, span);
  const toPixels = ([t1, t2]) => [plane.toX(t1), plane.toY(t2)];
  const outline = [...low, ...high.reverse()].map(toPixels);
  context.save();
  context.beginPath();
  context.rect(plane.box.left, plane.box.top, plane.box.width, plane.box.height);
  context.clip();
  context.beginPath();
  outline.forEach(([x, y], k) => (k ? context.lineTo(x, y) : context.moveTo(x, y)));
  context.closePath();
  context.globalAlpha = 0.28;
  context.fillStyle = "#ffffff";
  context.fill();
  context.globalAlpha = 1;
  const [start, end] = cutLine(cut, age, span).map(toPixels);
  for (const [colour, thickness] of [["#ffffff", 4], [look.cut, 2]]) {
    context.strokeStyle = colour;
    context.lineWidth = thickness;
    stroke(context, ...start, ...end);
  }
  for (const { at, radius } of cutHandles(cut, age, width, span, plane)) disc(context, at, radius, look.cut);
  context.restore();
}

function disc(context, [x, y], radius, colour) {
  context.beginPath();
  context.arc(x, y, radius, 0, 2 * Math.PI);
  context.fillStyle = colour;
  context.fill();
  context.strokeStyle = "#ffffff";
  context.lineWidth = 1.5;
  context.stroke();
}

// What of the cut lies under a pixel: "age", "width" or nothing.
function cutUnder(point, cut, age, width, span, plane) {
  const handles = cutHandles(cut, age, width, span, plane);
  const under = handles.find(({ at, radius }) => distance(point, at) < radius + 3);
  if (under) return under.part;
  const [t1, t2] = [plane.toT1(point[0]), plane.toT2(point[1])];
  const off = Math.abs(pixelsOf(cut, ageAt(cut, t1, t2) - age, plane));
  return t2 >= t1 && off < 5 ? "age" : null;
}

const distance = (a, b) => Math.hypot(a[0] - b[0], a[1] - b[1]);
