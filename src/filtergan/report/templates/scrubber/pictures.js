// Images, fields and differences on canvases, and images from files and drawings.

const BELOW = [0, 114, 178], ABOVE = [213, 94, 0]; // as in the figures: told apart by colour-blind eyes
const SEEN = 0.05; // from which a change is one, of pixels and of fields
const FULL = 1; // of a field, where none is larger: a clear but moderate change
const LARGEST = 20; // MiB of a file
const MOST_PIXELS = 16e6; // of the image in it

// Pixels from 0 to 1.
function paint(canvas, x) {
  const [c, h, w] = x.shape, places = h * w;
  put(canvas, w, h, (p) => {
    const at = (k) => 255 * x.data[(c > 1 ? k : 0) * places + p];
    return [at(0), at(1), at(2), 255];
  });
}

// Numbers about 0, transparent there; `full` and beyond are opaque. Channels are averaged.
function paintSigned(canvas, x, full) {
  const [, h, w] = x.shape, values = meanOfChannels(x);
  put(canvas, w, h, (p) => [...(values[p] < 0 ? BELOW : ABOVE), 255 * Math.min(Math.abs(values[p]) / full, 1)]);
}

// A field about 0, as panels.py has it; its caption says where colours are full.
function paintField(canvas, field) {
  const most = meanOfChannels(field).reduce((a, v) => Math.max(a, Math.abs(v)), FULL);
  paintSigned(canvas, field, most);
  const scale = canvas.closest("figure").querySelector("[data-scale]");
  scale.textContent = `; up to ${Number(most.toPrecision(2))}`;
}

function meanOfChannels({ shape: [c, h, w], data }) {
  const means = new Float32Array(h * w);
  data.forEach((v, i) => (means[i % (h * w)] += v / c));
  return means;
}

function put(canvas, w, h, colour) {
  if (canvas.width !== w || canvas.height !== h) Object.assign(canvas, { width: w, height: h });
  const context = canvas.getContext("2d"), picture = context.createImageData(w, h);
  for (let p = 0; p < w * h; p++) picture.data.set(colour(p), 4 * p);
  context.putImageData(picture, 0, 0);
}

// Arrows from where the pixels of the image were to where they are, in the canvas's own colour.
function paintFlow(canvas, flow, arrows = 9) {
  const [, h, w] = flow.shape, scale = canvas.width / w, context = canvas.getContext("2d");
  canvas.height = Math.round(scale * h);
  context.strokeStyle = context.fillStyle = getComputedStyle(canvas).color;
  context.lineWidth = canvas.width / 160;
  const step = Math.max(1, w / arrows), head = canvas.width / 40;
  for (let y = step / 2; y < h; y += step) {
    for (let x = step / 2; x < w; x += step) {
      const p = Math.floor(y) * w + Math.floor(x);
      const to = [x * scale, y * scale];
      const from = [to[0] + flow.data[p] * scale, to[1] + flow.data[h * w + p] * scale];
      const length = Math.hypot(to[0] - from[0], to[1] - from[1]);
      if (length < 1.5) {
        context.fillRect(to[0] - 1, to[1] - 1, 2, 2);
        continue;
      }
      const along = [(to[0] - from[0]) / length, (to[1] - from[1]) / length];
      const tip = Math.min(head, length * 0.7);
      context.beginPath();
      context.moveTo(...from);
      context.lineTo(...to);
      for (const side of [1, -1]) {
        context.moveTo(...to);
        context.lineTo(
          to[0] - tip * (along[0] + side * 0.5 * along[1]),
          to[1] - tip * (along[1] - side * 0.5 * along[0]),
        );
      }
      context.stroke();
    }
  }
}

// What a reader did wrong, as a sentence about the file.
class Refused extends Error {}

// What a browser reads as an image. Its size is known before its pixels are unpacked.
async function opened(file) {
  if (file.size > LARGEST * 2 ** 20) throw new Refused(`is larger than ${LARGEST} MiB; choose a smaller file.`);
  const address = URL.createObjectURL(file), image = new Image();
  try {
    await new Promise((resolve, reject) => {
      Object.assign(image, { onload: resolve, onerror: reject, src: address });
    });
    const { naturalWidth: width, naturalHeight: height } = image;
    if (width * height > MOST_PIXELS) {
      throw new Refused(`has ${width} by ${height} pixels, more than ${MOST_PIXELS / 1e6} million; choose a smaller image.`);
    }
    if (!width) throw new Error("it has no size");
    await image.decode();
    return image;
  } catch (error) {
    if (error instanceof Refused) throw error;
    throw new Refused("could not be read as an image; choose a PNG, JPEG, GIF or WebP file.");
  } finally {
    URL.revokeObjectURL(address);
  }
}

// The middle of a picture as an image of this shape: [0, 1], grey or in colour, averaged over parts.
function reduced(picture, [c, h, w], ground) {
  const width = picture.naturalWidth || picture.width, height = picture.naturalHeight || picture.height;
  const taken = Math.min(width / w, height / h); // pixels of the picture to one of the image
  const parts = Math.min(Math.max(Math.ceil(taken), 1), 16);
  const canvas = Object.assign(document.createElement("canvas"), { width: parts * w, height: parts * h });
  const context = canvas.getContext("2d", { willReadFrequently: true });
  context.imageSmoothingQuality = "high";
  context.fillStyle = ground;
  context.fillRect(0, 0, canvas.width, canvas.height);
  const [sw, sh] = [taken * w, taken * h];
  context.drawImage(picture, (width - sw) / 2, (height - sh) / 2, sw, sh, 0, 0, canvas.width, canvas.height);
  const { data } = context.getImageData(0, 0, canvas.width, canvas.height);
  const out = new Float32Array(c * h * w), share = 1 / (255 * parts ** 2);
  for (let p = 0; p < data.length / 4; p++) {
    const y = Math.floor(p / canvas.width / parts), x = Math.floor((p % canvas.width) / parts);
    const [r, g, b] = data.subarray(4 * p, 4 * p + 3);
    const values = c === 1 ? [0.299 * r + 0.587 * g + 0.114 * b] : [r, g, b];
    values.forEach((value, k) => (out[(k * h + y) * w + x] += share * value));
  }
  return out;
}

// Whether a grey image lies on a bright ground: the middle of its border's values says so.
function onBright(values, [, h, w]) {
  const border = values.filter((_, i) => {
    const x = i % w, y = Math.floor(i / w) % h;
    return x === 0 || y === 0 || x === w - 1 || y === h - 1;
  });
  return border.sort()[Math.floor(border.length / 2)] > 0.5;
}

const percent = (value) => `${Math.round(100 * value)} %`;

// What is seen on each canvas, in a sentence, for those who hear the page.
function seenOn({ image, moved, fields, named, label }) {
  const share = (values, which) => values.filter(which).length / values.length;
  const up = (values) => share(values, (v) => v > SEEN), down = (values) => share(values, (v) => v < -SEEN);
  const change = moved.data.map((v, i) => v - image.data[i]);
  const taken = label ? `; the network takes it for ${label}` : "";
  const seen = {
    image: named === null ? "An image of one's own." : `Image of class ${named}.`,
    moved: `Moved image: ${percent(up(change) + down(change))} of its pixels have changed${taken}.`,
    difference: `Difference: ${percent(up(change))} of the pixels are brighter, ${percent(down(change))} darker.`,
  };
  for (const [kind, [above, below]] of Object.entries(SIGNS)) {
    if (!fields[kind]) continue;
    const { data } = fields[kind], title = kind[0].toUpperCase() + kind.slice(1);
    seen[kind] = `${title}: ${percent(up(data))} of the image ${above}, ${percent(down(data))} ${below}.`;
  }
  if (fields.flow) {
    const { data } = fields.flow, places = data.length / 2;
    const moves = Array.from({ length: places }, (_, p) => Math.hypot(data[p], data[places + p]));
    const mean = moves.reduce((a, b) => a + b) / places;
    seen.flow = `Flow: pixels move by ${mean.toFixed(1)} on average, by ${Math.max(...moves).toFixed(1)} at most.`;
  }
  return seen;
}
