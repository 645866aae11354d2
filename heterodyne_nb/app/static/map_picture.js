// A map as an image: float32 pixels, colour table, colour limits.

// Turn {rows, columns, data} into an image whose row 0 is the lowest t2; NaN is see-through.
function paintPicture(picture, limits, table) {
  if (!picture || !picture.rows) return null;
  const values = floats(picture.data);
  const image = new ImageData(picture.columns, picture.rows);
  const pixels = new Uint32Array(image.data.buffer);
  const scale = 255.999 / (limits[1] - limits[0]);
  for (let k = 0; k < values.length; k += 1) {
    const value = values[k];
    if (value === value) {
      const level = (value - limits[0]) * scale;
      pixels[k] = table[level < 0 ? 0 : level > 255 ? 255 : level | 0];
    }
  }
  const canvas = document.createElement("canvas");
  canvas.width = picture.columns;
  canvas.height = picture.rows;
  canvas.getContext("2d").putImageData(image, 0, 0);
  return { canvas, values, ...picture };
}

// 256 × RGB bytes as the little-endian words that an image holds.
function colourTable(bytes) {
  const rgb = new Uint8Array(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  const table = new Uint32Array(256);
  for (let k = 0; k < 256; k += 1)
    table[k] = 0xff000000 | (rgb[3 * k + 2] << 16) | (rgb[3 * k + 1] << 8) | rgb[3 * k];
  return table;
}

function drawPicture(context, painted, plane) {
  const [left, right] = painted.t1.map(plane.toX);
  const [bottom, top] = painted.t2.map(plane.toY);
  context.save();
  context.imageSmoothingEnabled = false;
  context.translate(left, bottom);
  context.scale((right - left) / painted.columns, (top - bottom) / painted.rows);
  context.drawImage(painted.canvas, 0, 0);
  context.restore();
}

// The value under (t1, t2), undefined outside the picture.
function valueAt(painted, t1, t2) {
  if (!painted) return undefined;
  const column = Math.floor(((t1 - painted.t1[0]) / (painted.t1[1] - painted.t1[0])) * painted.columns);
  const row = Math.floor(((t2 - painted.t2[0]) / (painted.t2[1] - painted.t2[0])) * painted.rows);
  const inside = column >= 0 && row >= 0 && column < painted.columns && row < painted.rows;
  return inside ? painted.values[row * painted.columns + column] : undefined;
}

function drawColourBar(context, look, box, limits, table, title) {
  const left = box.left + box.width + 16;
  const [width, top, height] = [14, box.top + 18, box.height - 18];
  for (let k = 0; k < height; k += 1) {
    const word = table[Math.floor(255.99 * (1 - k / height))];
    context.fillStyle = `rgb(${word & 255}, ${(word >> 8) & 255}, ${(word >> 16) & 255})`;
    context.fillRect(left, top + k, width, 1.5);
  }
  context.fillStyle = look.ink;
  context.strokeStyle = look.faint;
  context.textAlign = "left";
  context.textBaseline = "middle";
  const room = MARGIN.right - 16 - context.measureText(title).width; // a long title begins before the bar
  context.fillText(title, left + Math.min(room, 0), box.top + 5);
  for (const [value, text] of labelled(limits, height / 55)) {
    const at = top + height * (1 - (value - limits[0]) / (limits[1] - limits[0]));
    stroke(context, left + width, at, left + width + 4, at);
    context.fillText(text, left + width + 7, at);
  }
}
