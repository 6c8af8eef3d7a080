// What the reader touches: images, sliders, the plane, files and the drawing pad.

const STEP = 0.05; // of a slider, and of an arrow key on the plane five times that
const MANY = 12; // classes that are all shown; of more, the likeliest
const SHOWN = 5;
const BEGINNING = 2; // of the latent that is moved at first
const OPAQUE = 0.5; // difference of pixels from which colours are full
const KINDS = ["flow", ...Object.keys(SIGNS)];
const BRUSH = 0.12; // sides of the paper

const length = (share) => `${100 * share}%`; // as style sheets have it
const made = (tag, properties, ...children) => {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...children);
  return element;
};

class Scrubber {
  constructor(root, data) {
    Object.assign(this, { root, data, transformers: [], z: [], number: 0, waiting: null });
    this.parts = {};
    for (const part of root.querySelectorAll("[data-part]")) this.parts[part.dataset.part] = part;
    this.parts.desk.hidden = false;
    this.pictures = this.unpackedImages();
    this.fillImages();
    this.listen();
    this.beginSeeing();
    this.chooseSite(0);
    this.chooseImage(0);
  }

  unpackedImages() {
    const binary = atob(this.data.images), size = this.data.shape.reduce((a, b) => a * b);
    return this.data.labels.map((_, i) =>
      Float32Array.from({ length: size }, (_, p) => binary.charCodeAt(i * size + p) / 255));
  }

  fillImages() {
    this.pictures.forEach((values, i) => {
      const canvas = made("canvas", {});
      paint(canvas, filtergan.array(this.data.shape, values));
      const name = `${this.data.classes[this.data.labels[i]]}, image ${i + 1}`;
      const radio = made("input", { type: "radio", name: "scrubber-image", value: i, checked: i === 0 });
      radio.setAttribute("aria-label", name);
      this.parts.images.append(made("label", { title: name }, radio, canvas));
    });
  }

  listen() {
    const { parts } = this, on = (part, event, act) => part && part.addEventListener(event, act);
    on(parts.site, "change", () => this.chooseSite(Number(parts.site.value)));
    on(parts.images, "change", (event) => this.chooseImage(Number(event.target.value)));
    on(parts.file, "change", () => {
      if (parts.file.files.length) this.readFile(parts.file.files[0]);
      parts.file.value = ""; // the same file may be chosen again
    });
    on(parts.invert, "change", () => this.showOwn());
    on(parts.draw, "click", () => this.togglePad());
    on(parts.clear, "click", () => this.clearPad());
    on(parts.reset, "click", () => this.moveTo(this.z.map(() => 0), true));
    on(parts.random, "click", () => this.moveTo(this.z.map(normal), true));
    on(parts.across, "change", () => this.draw());
    on(parts.up, "change", () => this.draw());
    const files = (event) => event.dataTransfer && event.dataTransfer.types.includes("Files");
    // Beside this part too: the browser would leave the page for the file.
    on(document, "dragover", (event) => files(event) && event.preventDefault());
    on(document, "drop", (event) => {
      if (!files(event)) return;
      event.preventDefault();
      if (!event.dataTransfer.files.length) return;
      this.readFile(event.dataTransfer.files[0]);
      parts.told.scrollIntoView({ block: "nearest" });
    });
    dragged(parts.plane, (x, y) => this.onPlane(x, 1 - y));
    on(parts.plane, "keydown", (event) => this.keyOnPlane(event));
    on(parts.plane, "pointerup", () => this.tell());
    this.listenToPad();
  }

  // --- sites, images, latents

  chooseSite(place) {
    const { data, parts } = this, site = data.sites[place];
    this.place = place;
    this.transformers[place] ||= new filtergan.Transformer(site.transformer);
    this.transformer = this.transformers[place];
    this.root.querySelectorAll("[data-doubt]").forEach((doubt) => {
      doubt.hidden = Number(doubt.dataset.doubt) !== place;
    });
    const count = site.transformer.latent;
    parts.sliders.replaceChildren(...Array.from({ length: count }, (_, j) => this.slider(j, site.latents[j])));
    for (const [part, chosen] of [[parts.across, 0], [parts.up, 1]]) {
      part.replaceChildren(...Array.from({ length: count }, (_, j) => new Option(`z${j}`, j)));
      part.value = Math.min(chosen, count - 1);
    }
    parts.two.hidden = count < 2;
    const { kinds } = site.transformer.space;
    for (const kind of KINDS) parts[kind].closest("figure").hidden = !kinds.includes(kind);
    // In a row of twelve columns with the difference, as far as there is room.
    parts.desk.style.setProperty("--span", 12 / Math.min(1 + kinds.length, 4));
    this.explain(site);
    if (!this.image) this.image = filtergan.array(this.data.shape, this.pictures[0]);
    this.z = this.beginning(count);
    this.setImage(this.image);
  }

  // Where a site is begun: so far along the latent that moves the image most that one sees it.
  beginning(count) {
    const seen = this.transformer.encode(this.image), zero = Array(count).fill(0);
    const places = zero.map((_, j) => zero.map((_, i) => (i === j ? BEGINNING : 0)));
    const changes = places.map((z) => {
      const moved = this.transformer.forward(this.image, seen, zero, z);
      return moved.data.reduce((sum, v, i) => sum + (v - this.image.data[i]) ** 2, 0);
    });
    return places[changes.indexOf(Math.max(...changes))];
  }

  slider(j, said) {
    const { reach } = this.data;
    const input = made("input", { type: "range", min: -reach, max: reach, step: STEP, id: `scrubber-z${j}` });
    input.addEventListener("input", () => {
      const z = [...this.z];
      z[j] = Number(input.value);
      this.moveTo(z);
    });
    input.addEventListener("change", () => this.tell());
    const value = made("span", { className: "value" });
    value.setAttribute("aria-hidden", "true"); // the slider says it itself
    const label = made("label", { htmlFor: input.id }, made("b", { textContent: `Latent z${j}` }), " ", value);
    const meaning = made("small", { textContent: said || "", id: `scrubber-says${j}` });
    if (said) input.setAttribute("aria-describedby", meaning.id);
    return made("div", { className: "slider" }, label, input, meaning);
  }

  chooseImage(i) {
    this.own = this.choice = null;
    this.parts.inverting.hidden = true;
    const { classes, labels } = this.data;
    this.named = classes[labels[i]];
    this.setImage(filtergan.array(this.data.shape, this.pictures[i]));
    this.tell();
  }

  setImage(image) {
    this.image = image;
    this.number += 1;
    this.seenByT = this.transformer.encode(image);
    paint(this.parts.image, image);
    this.draw();
  }

  moveTo(z, told = false) {
    this.z = z.map((v) => Math.round(v / STEP) * STEP); // as the sliders have it
    this.draw();
    if (told) this.tell();
  }

  // --- drawing: at most once a frame, of what is wanted last

  draw() {
    this.root.dataset.settled = "false";
    if (this.wanted) return;
    this.wanted = requestAnimationFrame(() => {
      this.wanted = null;
      this.drawNow();
    });
  }

  drawNow() {
    const { parts, transformer, image, z } = this, zero = z.map(() => 0);
    const coefficients = transformer.coefficients(this.seenByT, zero, z);
    const moved = transformer.space.apply(image, coefficients);
    const fields = transformer.space.fields(coefficients);
    paint(parts.moved, moved);
    paintSigned(parts.difference, filtergan.array(image.shape, moved.data.map((v, i) => v - image.data[i])), OPAQUE);
    if (fields.flow) fields.flow = filtergan.exponential(fields.flow);
    if (fields.flow) paintFlow(parts.flow, fields.flow);
    for (const kind in SIGNS) if (fields[kind]) paintField(parts[kind], fields[kind]);
    [...parts.sliders.children].forEach((slider, j) => {
      slider.querySelector("input").value = z[j];
      slider.querySelector(".value").textContent = z[j].toFixed(2).replace("-", "\u2212");
    });
    const { reach } = this.data, at = (part) => z[Number(part.value)] / reach / 2 + 0.5;
    parts.dot.style.left = length(at(parts.across));
    parts.dot.style.top = length(1 - at(parts.up));
    const [across, up] = [parts.across, parts.up].map((part) => `z${part.value}`);
    parts.plane.setAttribute("aria-label", `Plane of ${across} (left and right) and ${up} (up and down)`);
    Object.assign(this, { moved, fields });
    this.ask();
  }

  onPlane(x, y) {
    const z = [...this.z], { reach } = this.data;
    z[Number(this.parts.across.value)] = reach * (2 * x - 1);
    z[Number(this.parts.up.value)] = reach * (2 * y - 1);
    this.moveTo(z);
  }

  keyOnPlane(event) {
    const moves = { ArrowLeft: ["across", -1], ArrowRight: ["across", 1], ArrowUp: ["up", 1], ArrowDown: ["up", -1] };
    if (!(event.key in moves)) return;
    event.preventDefault();
    const [part, sign] = moves[event.key], z = [...this.z], { reach } = this.data;
    const j = Number(this.parts[part].value);
    z[j] = Math.min(Math.max(z[j] + sign * 5 * STEP, -reach), reach);
    this.moveTo(z, true);
  }

  // --- one's own images

  async readFile(file) {
    const { parts, data } = this, before = (this.choice = {}); // a later choice has another
    let own, refused;
    try {
      own = reduced(await opened(file), data.shape, data.bright ? "#fff" : "#000");
    } catch (error) {
      refused = error;
    }
    if (this.choice !== before) return;
    if (refused) {
      parts.told.textContent = `“${file.name}” ${refused.message}`;
      return;
    }
    this.own = own;
    this.named = null;
    parts.inverting.hidden = data.shape[0] > 1;
    parts.invert.checked = data.shape[0] === 1 && onBright(this.own, data.shape) !== data.bright;
    parts.told.textContent = `“${file.name}”, made ${data.shape[2]} by ${data.shape[1]} pixels${data.shape[0] > 1 ? "" : " and grey"}.`;
    this.showOwn();
  }

  showOwn() {
    this.parts.images.querySelectorAll("input").forEach((radio) => (radio.checked = false));
    const values = this.parts.invert.checked ? this.own.map((v) => 1 - v) : this.own;
    this.setImage(filtergan.array(this.data.shape, values));
  }

  togglePad() {
    const { pad, draw } = this.parts;
    pad.hidden = !pad.hidden;
    draw.setAttribute("aria-expanded", String(!pad.hidden));
    if (!pad.hidden) this.clearPad();
  }

  clearPad() {
    const { paper, invert, inverting } = this.parts, context = paper.getContext("2d");
    context.fillStyle = this.data.bright ? "#fff" : "#000";
    context.fillRect(0, 0, paper.width, paper.height);
    invert.checked = false;
    inverting.hidden = true;
    this.parts.told.textContent = "Draw with a finger, a pen or the mouse.";
  }

  listenToPad() {
    const { paper } = this.parts;
    let last = null;
    dragged(paper, (x, y, begins) => {
      const context = paper.getContext("2d"), to = [x * paper.width, y * paper.height];
      const [ground, ink] = this.data.bright ? ["#fff", "#000"] : ["#000", "#fff"];
      context.strokeStyle = context.fillStyle = ink;
      context.lineWidth = BRUSH * paper.width;
      context.lineCap = "round";
      context.beginPath();
      if (begins) {
        // Not every browser draws a line of no length.
        context.arc(...to, context.lineWidth / 2, 0, 2 * Math.PI);
        context.fill();
      } else {
        context.moveTo(...last);
        context.lineTo(...to);
        context.stroke();
      }
      last = to;
      this.named = this.choice = null;
      this.own = reduced(paper, this.data.shape, ground);
      this.showOwn();
    });
  }

  // --- labels and residuals, which a worker finds while images go on moving

  beginSeeing() {
    const { network, sites } = this.data;
    if (!network) return;
    try {
      const source = `${document.getElementById("scrubber-maths").textContent}\nfiltergan.serve();`;
      this.worker = new Worker(URL.createObjectURL(new Blob([source], { type: "text/javascript" })));
      this.worker.postMessage({ network, sites: sites.map((site) => site.seen) });
      this.worker.onmessage = ({ data }) => this.answered(data);
      this.worker.onerror = () => this.cannotSee();
    } catch {
      this.cannotSee();
    }
  }

  cannotSee() {
    this.worker = this.asked = this.label = null;
    if (this.moved) this.settle();
    this.data.why = "Labels and residuals are not shown: this browser runs no second thread from a file.";
    this.explain(this.data.sites[this.place || 0]);
  }

  explain(site) {
    const { why, seen, residuals } = this.parts, said = this.data.why || site.why;
    why.textContent = said || "";
    why.hidden = !said;
    seen.hidden = !this.worker;
    residuals.hidden = !site.seen;
  }

  ask() {
    if (!this.worker) return this.settle();
    const question = { site: this.place, image: this.number, x: this.image, moved: this.moved, z: this.z };
    if (this.asked) this.waiting = question;
    else this.worker.postMessage((this.asked = question));
  }

  answered(seen) {
    const question = this.asked;
    this.asked = this.waiting;
    this.waiting = null;
    if (this.asked) this.worker.postMessage(this.asked);
    if (question.site !== this.place || question.image !== this.number) return;
    if (seen.before !== undefined) this.showResiduals(seen);
    this.showLabels(seen);
    if (this.asked || this.wanted) return;
    this.settle();
  }

  // All that is shown belongs together.
  settle() {
    this.root.dataset.settled = "true";
    for (const [part, says] of Object.entries(seenOn(this))) this.parts[part].setAttribute("aria-label", says);
    if (this.telling) this.tell();
  }

  showResiduals({ before, after }) {
    const { parts } = this, most = Math.max(before, after, 0.5);
    for (const [name, value] of [["before", before], ["after", after]]) {
      parts[name].textContent = value.toFixed(2);
      parts[`${name}-bar`].style.width = length((0.8 * value) / most);
    }
    const undone = 1 - after / before;
    parts.undone.textContent = before < 0.005
      ? "The filters hardly change the response here, so there is nothing to undo."
      : undone > 0
        ? `The moved image undoes ${percent(undone)} of what the filters change.`
        : "The moved image undoes nothing of what the filters change.";
  }

  showLabels({ origin, probabilities }) {
    const { classes } = this.data, all = probabilities.map((_, i) => i);
    const likeliest = [...all].sort((a, b) => probabilities[b] - probabilities[a]);
    const shown = classes.length <= MANY ? all : likeliest.slice(0, SHOWN);
    this.parts.labels.replaceChildren(...shown.flatMap((i) => {
      const bar = made("i", {}), mark = made("u", {});
      bar.style.width = length(0.8 * probabilities[i]);
      mark.style.left = length(0.8 * origin[i]);
      const value = made("dd", {}, bar, mark, made("span", { textContent: percent(probabilities[i]) }));
      return [made("dt", { textContent: classes[i], className: i === likeliest[0] ? "likeliest" : "" }), value];
    }));
    this.label = classes[likeliest[0]];
  }

  // In a sentence, for those who hear the page: at the end of a movement.
  tell() {
    this.telling = this.worker && (this.asked || this.wanted);
    if (this.telling || !this.label) return;
    const was = this.named === null ? "" : ` The image shows ${this.named}.`;
    this.parts.told.textContent = `The network takes the moved image for ${this.label}.${was}`;
  }
}

function normal() {
  const size = Math.sqrt(-2 * Math.log(1 - Math.random()));
  return Math.max(-3, Math.min(3, size * Math.cos(2 * Math.PI * Math.random())));
}

// Calls with where, from 0 to 1 to the right and down, a finger or mouse is dragged on an element.
function dragged(element, act) {
  const at = (event, begins) => {
    const box = element.getBoundingClientRect();
    const inside = (value) => Math.min(Math.max(value, 0), 1);
    act(inside((event.clientX - box.left) / box.width), inside((event.clientY - box.top) / box.height), begins);
  };
  element.addEventListener("pointerdown", (event) => {
    element.setPointerCapture(event.pointerId);
    at(event, true);
  });
  element.addEventListener("pointermove", (event) => {
    if (element.hasPointerCapture(event.pointerId)) at(event, false);
  });
}

for (const root of document.querySelectorAll(".scrubber")) {
  new Scrubber(root, JSON.parse(document.getElementById("scrubber-data").textContent));
}
