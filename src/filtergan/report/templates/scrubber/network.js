// The network that is studied, as operations.py has listed its operations, and the generator of the
// filters of one of its convolutions, as game/generator.py has it.

function maxPool(x, { kernel, stride, padding, dilation, ceil }) {
  const [out, at] = windows(x, kernel, stride, padding, dilation, ceil);
  return pooled(x, out, (c, y, z) => {
    let most = -Infinity;
    at(y, z, (place) => (most = Math.max(most, x.data[c + place])));
    return most;
  });
}

function meanPool(x, { kernel, stride, padding, ceil, padded }) {
  const [out, at] = windows(x, kernel, stride, padding, [1, 1], ceil);
  return pooled(x, out, (c, y, z) => {
    let sum = 0, count = 0;
    at(y, z, (place) => ((sum += x.data[c + place]), count++));
    return sum / (padded ? kernel[0] * kernel[1] : count);
  });
}

// The largest number of each channel.
function most(x, shape) {
  const out = array(shape), places = x.data.length / out.data.length;
  out.data.forEach((_, c) => {
    out.data[c] = x.data.subarray(c * places, (c + 1) * places).reduce((a, v) => Math.max(a, v));
  });
  return out;
}

// How many windows there are along each axis, and what visits the pixels of one.
function windows(x, kernel, stride, padding, dilation, ceil) {
  const [h, w] = x.shape.slice(1);
  const out = [h, w].map((side, axis) => {
    const steps = side + 2 * padding[axis] - dilation[axis] * (kernel[axis] - 1) - 1;
    const count = (ceil ? Math.ceil : Math.floor)(steps / stride[axis]) + 1;
    // As torch: none begins beyond the image and its first padding.
    return ceil && (count - 1) * stride[axis] >= side + padding[axis] ? count - 1 : count;
  });
  const at = (y, z, visit) => {
    for (let i = 0; i < kernel[0]; i++) {
      const row = y * stride[0] - padding[0] + i * dilation[0];
      if (row < 0 || row >= h) continue;
      for (let j = 0; j < kernel[1]; j++) {
        const column = z * stride[1] - padding[1] + j * dilation[1];
        if (column >= 0 && column < w) visit(row * w + column);
      }
    }
  };
  return [out, at];
}

function pooled(x, [rows, columns], value) {
  const [c, h, w] = x.shape, out = array([c, rows, columns]);
  for (let i = 0; i < out.data.length; i++) {
    const channel = Math.floor(i / (rows * columns)) * h * w;
    out.data[i] = value(channel, Math.floor(i / columns) % rows, i % columns);
  }
  return out;
}

// What visits the numbers of y along x: each stands for so many places of x, then the next follows,
// and behind the last the first again.
function along(y, places) {
  const count = y.data.length;
  return (i) => y.data[Math.floor(i / places) % count];
}

// A number times x, plus another.
function scaled(x, scale, shift, places) {
  const [a, b] = [along(scale, places), along(shift, places)];
  return pointwise(x, (v, i) => v * a(i) + b(i));
}

// Parts of so many numbers, each less its mean, over its standard deviation.
function norm(x, weight, bias, { size, eps, places }) {
  const out = array(x.shape);
  for (let from = 0; from < x.data.length; from += size) {
    const part = x.data.subarray(from, from + size);
    const mean = part.reduce((a, v) => a + v, 0) / size;
    const variance = part.reduce((a, v) => a + (v - mean) ** 2, 0) / size;
    const scale = 1 / Math.sqrt(variance + eps);
    part.forEach((v, i) => (out.data[from + i] = (v - mean) * scale));
  }
  const [a, b] = [weight && along(weight, places), bias && along(bias, places)];
  return pointwise(out, (v, i) => v * (a ? a(i) : 1) + (b ? b(i) : 0));
}

function multiply(x, y, { places }) {
  const [larger, smaller] = x.data.length < y.data.length ? [y, x] : [x, y];
  const at = along(smaller, places);
  return pointwise(larger, (v, i) => v * at(i));
}

const sigmoid = (v) => 1 / (1 + Math.exp(-v));

// The share of a normal law below v: by Abramowitz and Stegun 7.1.26, to 1e-7 of it.
function below(v) {
  const x = Math.abs(v) / Math.SQRT2, t = 1 / (1 + 0.3275911 * x);
  const series = [1.061405429, -1.453152027, 1.421413741, -0.284496736, 0.254829592];
  const tail = (series.reduce((a, c) => a * t + c, 0) * t * Math.exp(-x * x)) / 2;
  return v < 0 ? tail : 1 - tail;
}

function gelu(v, approximate) {
  if (approximate === "none") return v * below(v);
  return v * sigmoid(2 * Math.sqrt(2 / Math.PI) * (v + 0.044715 * v ** 3));
}

// x with its dimensions in another order.
function permuted(x, order) {
  const out = array(order.map((d) => x.shape[d]));
  const steps = order.map((d) => x.shape.slice(d + 1).reduce((a, b) => a * b, 1));
  for (let i = 0; i < out.data.length; i++) {
    let from = 0, rest = i;
    for (let d = order.length - 1; d >= 0; d--) {
      from += (rest % out.shape[d]) * steps[d];
      rest = Math.floor(rest / out.shape[d]);
    }
    out.data[i] = x.data[from];
  }
  return out;
}

// A slope for each channel below 0.
function prelu(x, slopes) {
  const at = along(slopes, x.data.length / x.shape[0]);
  return pointwise(x, (v, i) => (v < 0 ? at(i) * v : v));
}

const OPERATIONS = {
  convolution: ([x], [weight, bias], geometry) => convolve(x, weight, bias, geometry),
  scale: ([x], [scale, shift], { places }) => scaled(x, scale, shift, places),
  norm: ([x], [weight, bias], how) => norm(x, weight, bias, how),
  relu: ([x]) => pointwise(x, (v) => Math.max(v, 0)),
  gelu: ([x], _, { approximate }) => pointwise(x, (v) => gelu(v, approximate)),
  silu: ([x]) => pointwise(x, (v) => v * sigmoid(v)),
  sigmoid: ([x]) => pointwise(x, sigmoid),
  tanh: ([x]) => pointwise(x, Math.tanh),
  leaky_relu: ([x], _, { negative_slope }) => leakyRelu(x, negative_slope),
  elu: ([x], _, { alpha }) => pointwise(x, (v) => (v < 0 ? alpha * Math.expm1(v) : v)),
  clip: ([x], _, { min_val, max_val }) => pointwise(x, (v) => Math.min(Math.max(v, min_val), max_val)),
  prelu: ([x], [slopes]) => prelu(x, slopes),
  permute: ([x], _, { order }) => permuted(x, order),
  max_pool: ([x], _, how) => maxPool(x, how),
  mean_pool: ([x], _, how) => meanPool(x, how),
  mean: ([x], _, { size, shape }) => array(shape, adaptiveMean(x, size).data),
  most: ([x], _, { shape }) => most(x, shape),
  linear: ([x], [weight, bias]) => linear(x, weight, bias),
  add: ([x, y]) => add(x, y),
  multiply: ([x, y], _, how) => multiply(x, y, how),
  reshape: ([x], _, { shape }) => array(shape, x.data),
};

class Network {
  // operations: [{kind, inputs, weights, how}], each one a step; step 0 is the input.
  constructor({ operations, weights, domain }) {
    this.operations = operations;
    this.weights = weights.map(unpacked);
    this.domain = domain;
  }

  // What the network takes for these pixels.
  input(pixels) {
    const { mean, std } = this.domain, places = pixels.data.length / pixels.shape[0];
    const of = (values, i) => values[values.length > 1 ? Math.floor(i / places) : 0];
    return array(pixels.shape, pixels.data.map((v, i) => (v - of(mean, i)) / of(std, i)));
  }

  // What comes out of a step. `known` maps steps to what came out of them, and is added to.
  run(step, known) {
    if (!known.has(step)) {
      const { kind, inputs, weights, how } = this.operations[step];
      const given = inputs.map((input) => this.run(input, known));
      known.set(step, OPERATIONS[kind](given, weights.map((i) => this.weights[i]), how));
    }
    return known.get(step);
  }
}

class Generator {
  constructor({ shape, head, weights }) {
    Object.assign(this, { shape, head });
    this.weights = Object.fromEntries(Object.entries(weights).map(([k, v]) => [k, unpacked(v)]));
  }

  layer(name, x) {
    return linear(x, this.weights[`${name}.weight`], this.weights[`${name}.bias`]);
  }

  // G(z): all filters.
  draw(z) {
    const { mean, embedding, directions } = this.weights, filters = array(this.shape);
    const hidden = leakyRelu(this.layer("trunk.0", array([z.length], Float32Array.from(z))), SLOPE);
    const code = leakyRelu(this.layer("trunk.2", hidden), SLOPE);
    if (this.head === "dense") {
      filters.data.set(this.layer("decode", code).data);
    } else {
      const width = code.data.length, size = filters.data.length / this.shape[0];
      for (let o = 0; o < this.shape[0]; o++) {
        const gated = code.data.map((v, i) => v * embedding.data[o * width + i]);
        const inner = leakyRelu(this.layer("decode.0", array([width], gated)), SLOPE);
        filters.data.set(this.layer("decode.2", inner).data, o * size);
      }
    }
    const count = filters.data.length;
    filters.data.forEach((v, i) => {
      let sum = v + mean.data[i];
      if (directions) for (let j = 0; j < z.length; j++) sum += z[j] * directions.data[j * count + i];
      filters.data[i] = sum;
    });
    return filters;
  }
}

// What the network makes of a moved image. `site`: the generator, and the steps of its convolution
// and of its response; without these only labels are told.
class Onlooker {
  constructor(network, site) {
    Object.assign(this, { network, site });
  }

  known(pixels) {
    return new Map([[0, this.network.input(pixels)]]);
  }

  // R(h, F): the response to what the convolution receives, under other filters.
  response(known, filters) {
    const { convolution, response } = this.site;
    const { inputs, weights, how } = this.network.operations[convolution];
    const h = this.network.run(inputs[0], known);
    const out = convolve(h, filters, this.network.weights[weights[1]], how);
    return this.network.run(response, new Map([[convolution, out]])).data;
  }

  probabilities(known) {
    const logits = this.network.run(this.network.operations.length - 1, known).data;
    const most = Math.max(...logits), exp = Array.from(logits, (v) => Math.exp(v - most));
    const sum = exp.reduce((a, b) => a + b);
    return exp.map((v) => v / sum);
  }

  // An image to which others are compared, seen under the filters of z.
  begin(x, z) {
    const known = this.known(x);
    this.origin = { known, probabilities: this.probabilities(known) };
    if (this.site) this.origin.profile = this.response(known, this.site.generator.draw(z));
  }

  // Labels of a moved image, and how far its response under the filters of z' is from the profile
  // of the image itself (eq. 6), beside that of the image as it was.
  see(moved, zk) {
    const known = this.known(moved), { profile, probabilities } = this.origin;
    const seen = { origin: probabilities, probabilities: this.probabilities(known) };
    if (this.site) {
      const filters = this.site.generator.draw(zk);
      const unit = Math.max(profile.reduce((a, v) => a + v * v, 0), 1e-12);
      const residual = (k) =>
        this.response(k, filters).reduce((a, v, i) => a + (v - profile[i]) ** 2, 0) / unit;
      Object.assign(seen, { before: residual(this.origin.known), after: residual(known) });
    }
    return seen;
  }
}

// In a worker: answers what the network makes of moved images, one question after the other.
function serve() {
  let network, sites, onlooker, seen = {};
  self.onmessage = ({ data }) => {
    if (data.network) {
      network = new Network(data.network);
      sites = data.sites;
      return;
    }
    const { site, x, moved, z } = data;
    if (site !== seen.site || data.image !== seen.image) {
      const known = sites[site];
      if (known && !known.generator) known.generator = new Generator(known);
      onlooker = new Onlooker(network, known);
      onlooker.begin(x, z.map(() => 0));
      seen = data;
    }
    self.postMessage(onlooker.see(moved, z));
  };
}
