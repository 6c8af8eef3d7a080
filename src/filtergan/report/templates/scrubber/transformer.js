// The image transformer T(x, z, z'), function by function as natural/transformer.py,
// images/image_fields.py and families/transformations.py have it, for one image at a time.

const SQUARINGS = 4;
const PIXEL = 28;
const SLOPE = 0.2; // of the leaky units
const CUBIC = -0.75; // torch's bicubic interpolation

class FieldSpace {
  constructor({ shape, kinds, grid }) {
    Object.assign(this, { shape, kinds, grid });
    const many = { flow: 2, gain: shape[0], brightness: 1, blur: 1, offset: shape[0], ground: 1 };
    this.channels = Object.fromEntries(kinds.map((kind) => [kind, many[kind]]));
    this.pixel = Math.max(shape[1], shape[2]) / PIXEL;
    this.spreading = [1, 2].map((axis) => spreading(shape[axis], grid));
    this.blurring = [1, 2].map((axis) => gaussian(shape[axis], this.pixel));
  }

  get count() {
    return Object.values(this.channels).reduce((a, b) => a + b, 0);
  }

  // The field of each kind at every pixel, the flow in pixels (before its exponential).
  fields(coefficients) {
    const [rows, columns] = this.spreading, [h, w] = this.shape.slice(1);
    const named = {};
    let first = 0;
    for (const [kind, count] of Object.entries(this.channels)) {
      const size = this.grid ** 2;
      const part = coefficients.data.subarray(first * size, (first + count) * size);
      named[kind] = array([count, h, w], sandwiched(rows, part, columns));
      first += count;
    }
    if (named.flow) named.flow.data.forEach((v, i, flow) => (flow[i] = v * this.pixel));
    return named;
  }

  // The image, changed: blurred, moved, amplified, offset, and held within [0, 1].
  apply(x, coefficients) {
    const fields = this.fields(coefficients);
    const places = this.shape[1] * this.shape[2];
    const all = (values, change) => array(x.shape, values.data.map((v, i) => change(v, i)));
    if (fields.blur) {
      const blurred = sandwiched(this.blurring[0], x.data, this.blurring[1]);
      x = all(x, (v, i) => v + fields.blur.data[i % places] * (blurred[i] - v));
    }
    if (fields.flow) x = displace(x, exponential(fields.flow), "zeros", "bicubic");
    for (const { data } of [fields.gain, fields.brightness].filter(Boolean)) {
      x = all(x, (v, i) => v * Math.exp(Math.min(data[i % data.length], 3)));
    }
    for (const { data } of [fields.offset, fields.ground].filter(Boolean)) {
      x = all(x, (v, i) => v + data[i % data.length]);
    }
    return all(x, (v) => Math.min(Math.max(v, 0), 1));
  }
}

// The flow that following a constant field of velocities leads to, by scaling and squaring.
function exponential(velocity) {
  let flow = array(velocity.shape, velocity.data.map((v) => v / 2 ** SQUARINGS));
  for (let i = 0; i < SQUARINGS; i++) flow = add(flow, displace(flow, flow, "border"));
  return flow;
}

// x'(p) = x(p + flow(p)), the flow in pixels; outside, x is 0 or what it is at its border.
function displace(x, flow, outside = "zeros", between = "bilinear") {
  const [c, h, w] = x.shape, places = h * w, out = array(x.shape);
  const [weights, before] = between === "bicubic" ? [cubic, 1] : [(t) => [1 - t, t], 0];
  for (let p = 0; p < places; p++) {
    let column = (p % w) + flow.data[p], row = Math.floor(p / w) + flow.data[places + p];
    if (outside === "border") {
      column = Math.min(Math.max(column, 0), w - 1);
      row = Math.min(Math.max(row, 0), h - 1);
    }
    const left = Math.floor(column), top = Math.floor(row);
    const across = weights(column - left), down = weights(row - top);
    for (let i = 0, y = top - before; i < down.length; i++, y++) {
      if (y < 0 || y >= h) continue;
      for (let j = 0, z = left - before; j < across.length; j++, z++) {
        if (z < 0 || z >= w) continue;
        const weight = down[i] * across[j], at = y * w + z;
        for (let k = 0; k < c; k++) out.data[k * places + p] += weight * x.data[k * places + at];
      }
    }
  }
  return out;
}

// Weights of the four neighbours of a place, a share t of the way from the second to the third.
function cubic(t) {
  const near = (d) => ((CUBIC + 2) * d - (CUBIC + 3)) * d * d + 1;
  const far = (d) => ((CUBIC * d - 5 * CUBIC) * d + 8 * CUBIC) * d - 4 * CUBIC;
  return [far(t + 1), near(t), near(1 - t), far(2 - t)];
}

// The matrix [side, grid] that spreads a line of coefficients over so many pixels.
function spreading(side, grid) {
  const matrix = array([side, grid]);
  for (let i = 0; i < side; i++) {
    const place = ((i + 0.5) * grid) / side - 0.5, second = Math.floor(place);
    cubic(place - second).forEach((weight, j) => {
      const neighbour = Math.min(Math.max(second - 1 + j, 0), grid - 1);
      matrix.data[i * grid + neighbour] += weight;
    });
  }
  return matrix;
}

// The matrix [side, side] that blurs a line of pixels; the border goes on outside.
function gaussian(side, sigma) {
  const matrix = array([side, side]);
  for (let i = 0; i < side; i++) {
    const row = Float64Array.from({ length: side }, (_, j) => Math.exp(-((i - j) ** 2) / (2 * sigma ** 2)));
    const sum = row.reduce((a, b) => a + b);
    matrix.data.set(row.map((v) => v / sum), i * side);
  }
  return matrix;
}

// rows [h, a] times each of parts [a, b] times the transpose of columns [w, b]: [h, w] of each.
function sandwiched(rows, parts, columns) {
  const [h, a] = rows.shape, [w, b] = columns.shape, count = parts.length / (a * b);
  const out = new Float32Array(count * h * w);
  for (let k = 0; k < count; k++) {
    const wide = product(columns.data, parts.subarray(k * a * b, (k + 1) * a * b), w, a, b);
    out.set(product(rows.data, wide, h, w, a), k * h * w);
  }
  return out;
}

class Transformer {
  constructor({ space, latent, weights }) {
    this.space = new FieldSpace(space);
    this.latent = latent;
    this.weights = Object.fromEntries(Object.entries(weights).map(([k, v]) => [k, unpacked(v)]));
  }

  layer(name, x, geometry) {
    return convolve(x, this.weights[`${name}.weight`], this.weights[`${name}.bias`], geometry);
  }

  // What the encoder makes of an image: once for each image, whatever z' it is moved to.
  encode(x) {
    const half = { stride: [2, 2], padding: [2, 2], dilation: [1, 1], groups: 1 };
    const first = leakyRelu(this.layer("encode.0", x, half), SLOPE);
    const second = leakyRelu(this.layer("encode.2", first, half), SLOPE);
    return adaptiveMean(second, [this.space.grid, this.space.grid]);
  }

  // The coefficients [latent, fields, grid, grid] of every latent's fields.
  fields(seen, middle) {
    const wide = seen.shape[0], places = this.space.grid ** 2;
    const place = linear(array([this.latent], middle), this.weights["place.weight"], this.weights["place.bias"]);
    const placed = array(seen.shape, seen.data.map((v, i) => {
      const channel = Math.floor(i / places);
      return v * (1 + place.data[channel]) + place.data[wide + channel];
    }));
    const code = leakyRelu(this.layer("mix.0", placed, { ...ONCE, padding: [1, 1] }), SLOPE);
    return add(this.weights.common, this.layer("decode", code));
  }

  // What the fields add up to on the way from z to z': [fields, grid, grid].
  coefficients(seen, z, zk) {
    const fields = this.fields(seen, zk.map((v, i) => (z[i] + v) / 2));
    const [, ...size] = fields.shape, sum = array(size), length = sum.data.length;
    for (let j = 0; j < this.latent; j++) {
      const step = zk[j] - z[j];
      for (let i = 0; i < length; i++) sum.data[i] += step * fields.data[j * length + i];
    }
    return sum;
  }

  // T(x, z, z'), with what `encode` made of x.
  forward(x, seen, z, zk) {
    return this.space.apply(x, this.coefficients(seen, z, zk));
  }
}
