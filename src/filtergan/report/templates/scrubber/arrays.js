// Arrays of numbers as torch has them: {shape, data}, data in the order of torch, one sample each.

function array(shape, data) {
  return { shape, data: data || new Float32Array(shape.reduce((a, b) => a * b, 1)) };
}

// What packing.py has written: numbers in base64; whole ones are rows, each with a step of its own.
function unpacked({ shape, bits, steps, data }) {
  const binary = atob(data);
  const bytes = new Uint8Array(binary.length);
  for (let i = 0; i < bytes.length; i++) bytes[i] = binary.charCodeAt(i);
  const view = new { 8: Int8Array, 16: Int16Array, 32: Float32Array }[bits](bytes.buffer);
  const numbers = Float32Array.from(view);
  if (bits < 32) {
    const row = numbers.length / steps.length;
    for (let i = 0; i < numbers.length; i++) numbers[i] *= steps[Math.floor(i / row)];
  }
  return array(shape, numbers);
}

// a [m, k] times the transpose of b [n, k]: [m, n]. Eight sums at once are what a core keeps at hand.
function product(a, b, m, n, k) {
  const out = new Float32Array(m * n);
  for (let i = 0; i < m; i += 4) {
    const [r1, r2, r3] = [1, 2, 3].map((r) => Math.min(i + r, m - 1));
    const a0 = i * k, a1 = r1 * k, a2 = r2 * k, a3 = r3 * k;
    for (let j = 0; j < n; j += 2) {
      const c1 = Math.min(j + 1, n - 1);
      const b0 = j * k, b1 = c1 * k;
      let s00 = 0, s01 = 0, s10 = 0, s11 = 0, s20 = 0, s21 = 0, s30 = 0, s31 = 0;
      for (let p = 0; p < k; p++) {
        const x = b[b0 + p], y = b[b1 + p];
        const u = a[a0 + p], v = a[a1 + p], w = a[a2 + p], z = a[a3 + p];
        s00 += u * x; s10 += v * x; s20 += w * x; s30 += z * x;
        s01 += u * y; s11 += v * y; s21 += w * y; s31 += z * y;
      }
      // Beyond the last row or column these are that row or column once more.
      out[i * n + j] = s00; out[r1 * n + j] = s10; out[r2 * n + j] = s20; out[r3 * n + j] = s30;
      out[i * n + c1] = s01; out[r1 * n + c1] = s11;
      out[r2 * n + c1] = s21; out[r3 * n + c1] = s31;
    }
  }
  return out;
}

// What a kernel sees at each place of channels first .. first + count: [places, count * kh * kw].
function patches(x, first, count, kernel, { stride, padding, dilation }, out) {
  const [, h, w] = x.shape;
  const [kh, kw] = kernel, [ho, wo] = out, k = count * kh * kw;
  const seen = new Float32Array(ho * wo * k);
  for (let c = 0; c < count; c++) {
    for (let ky = 0; ky < kh; ky++) {
      for (let kx = 0; kx < kw; kx++) {
        for (let y = 0; y < ho; y++) {
          const row = y * stride[0] - padding[0] + ky * dilation[0];
          if (row < 0 || row >= h) continue;
          const from = ((first + c) * h + row) * w;
          let to = y * wo * k + (c * kh + ky) * kw + kx;
          let column = kx * dilation[1] - padding[1];
          for (let i = 0; i < wo; i++, to += k, column += stride[1]) {
            if (column >= 0 && column < w) seen[to] = x.data[from + column];
          }
        }
      }
    }
  }
  return seen;
}

const ONCE = { stride: [1, 1], padding: [0, 0], dilation: [1, 1], groups: 1 };

// x [c, h, w] with weights [o, c / groups, kh, kw]: [o, h', w'].
function convolve(x, weight, bias, geometry = ONCE) {
  const { stride, padding, dilation, groups } = geometry;
  const [o, count, ...kernel] = weight.shape;
  const out = [0, 1].map((axis) => {
    const reach = dilation[axis] * (kernel[axis] - 1);
    return Math.floor((x.shape[1 + axis] + 2 * padding[axis] - reach - 1) / stride[axis]) + 1;
  });
  const places = out[0] * out[1], k = count * kernel[0] * kernel[1], rows = o / groups;
  const result = array([o, ...out]);
  for (let g = 0; g < groups; g++) {
    const seen = patches(x, g * count, count, kernel, geometry, out);
    const filters = weight.data.subarray(g * rows * k, (g + 1) * rows * k);
    result.data.set(product(filters, seen, rows, places, k), g * rows * places);
  }
  if (bias) {
    for (let i = 0; i < result.data.length; i++) result.data[i] += bias.data[Math.floor(i / places)];
  }
  return result;
}

// x [..., n] by weights [m, n]: [..., m].
function linear(x, weight, bias) {
  const [m, n] = weight.shape, rows = x.data.length / n;
  // Rows of the first are taken by four: of a single x those are of the weights.
  const [one, other] = rows === 1 ? [weight, x] : [x, weight];
  const sums = product(one.data, other.data, one.data.length / n, other.data.length / n, n);
  const result = array([...x.shape.slice(0, -1), m], sums);
  if (bias) for (let i = 0; i < sums.length; i++) sums[i] += bias.data[i % m];
  return result;
}

function pointwise(x, value) {
  return array(x.shape, x.data.map(value));
}

function leakyRelu(x, slope) {
  return pointwise(x, (v) => (v < 0 ? slope * v : v));
}

// Means over [rows, columns] parts of each channel, which overlap where they do not fit.
function adaptiveMean(x, [rows, columns]) {
  const [c, h, w] = x.shape;
  const out = array([c, rows, columns]);
  const part = (i, of, side) => [Math.floor((i * side) / of), Math.ceil(((i + 1) * side) / of)];
  for (let at = 0; at < out.data.length; at++) {
    const j = at % columns, i = Math.floor(at / columns) % rows;
    const channel = Math.floor(at / (rows * columns)) * h * w;
    const [top, bottom] = part(i, rows, h), [left, right] = part(j, columns, w);
    let sum = 0;
    for (let y = top; y < bottom; y++) {
      for (let z = left; z < right; z++) sum += x.data[channel + y * w + z];
    }
    out.data[at] = sum / ((bottom - top) * (right - left));
  }
  return out;
}

function add(x, y) {
  return pointwise(x, (v, i) => v + y.data[i]);
}
