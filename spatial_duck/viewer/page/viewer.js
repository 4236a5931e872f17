// Three linked planes. Positions are view coordinates (see scene.py); tiles come as float32 values,
// so that window, level and colours change without asking again.
"use strict";

const COLORS = ["#ff6b6b", "#5fd38d", "#6ea8ff"]; // one for each view coordinate
const MOST_TILES = 700, MOST_REQUESTS = 6, PARENTS = 6;

const $ = (id) => document.getElementById(id);
const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};
const clamp = (value, low, high) => Math.min(Math.max(value, low), high);
const dot = (a, b) => a.reduce((sum, value, k) => sum + value * b[k], 0);
const short = (value, digits = 5) => String(Number(Number(value).toPrecision(digits)));

let scene, state, panes, hovered = 0, drawing = false;

// --- colours -------------------------------------------------------------------------------

const MAPS = {
  grey: (v) => [v, v, v],
  hot: (v) => [clamp(v * 3, 0, 255), clamp(v * 3 - 255, 0, 255), clamp(v * 3 - 510, 0, 255)],
  blue: (v) => [clamp(v * 3 - 510, 0, 255), clamp(v * 1.6 - 100, 0, 255), clamp(v * 3, 0, 255)],
};

function label(value) {
  // Hues by the golden angle: neighbouring numbers differ most.
  const hue = (value * 137.508 + 5) % 360, f = (n) => {
    const k = (n + hue / 30) % 12;
    return Math.round(255 * (0.56 - 0.42 * Math.max(-1, Math.min(k - 3, 9 - k, 1))));
  };
  return [f(0), f(8), f(4)];
}

function paint(tile, layer) {
  // The picture of a tile under the layer's window and colours; kept until these change.
  const look = layer.look;
  if (tile.picture && tile.painted === look.version) return tile.picture;
  const side = scene.tile, pixels = new Uint8ClampedArray(side * side * 4);
  const scale = 255 / (look.high - look.low), map = MAPS[look.map], labels = look.map === "labels";
  const rgb = layer.rgb, table = labels || rgb ? null : Array.from({ length: 256 }, (_, v) => map(v));
  const known = new Map();
  tile.values.forEach((value, i) => {
    let color;
    if (value !== value) return; // outside
    if (rgb) {
      color = [value >> 16, (value >> 8) & 255, value & 255];
    } else if (labels) {
      if (value === 0) return;
      color = known.get(value);
      if (!color) known.set(value, color = layer.colors[value] || label(value));
    } else {
      const v = clamp(Math.round((value - look.low) * scale), 0, 255);
      if (layer !== state.order[0] && v === 0) return; // nothing of an overlay where it is black
      color = table[v];
    }
    pixels.set(color, 4 * i);
    pixels[4 * i + 3] = 255;
  });
  tile.picture ??= new OffscreenCanvas(side, side);
  tile.picture.getContext("2d").putImageData(new ImageData(pixels, side, side), 0, 0);
  tile.painted = look.version;
  return tile.picture;
}

// --- tiles ---------------------------------------------------------------------------------

const tiles = new Map(); // in the order of use
let wanted = [], running = 0;

function name(layer, plane, zoom, row, column, depth) {
  const fixed = layer.sliders.map((s) => `${s.axis}:${s.at}`).join(",");
  return `tile/${layer.number}/${plane}/${zoom}/${row}/${column}/${depth}` +
    `?smooth=${state.smooth ? 1 : 0}&fixed=${fixed}`;
}

function known(key) {
  const tile = tiles.get(key);
  if (tile) { tiles.delete(key); tiles.set(key, tile); }
  return tile;
}

async function load(key) {
  running += 1;
  try {
    const answer = await fetch(key);
    if (!answer.ok) throw new Error(await answer.text());
    const body = answer.status === 204 ? null : await answer.arrayBuffer();
    tiles.set(key, { values: body && new Float32Array(body) });
    while (tiles.size > MOST_TILES) tiles.delete(tiles.keys().next().value);
  } catch (error) {
    tiles.set(key, { values: null });
    say(String(error.message || error));
  }
  running -= 1;
  redraw();
}

function fetchWanted() {
  while (running < MOST_REQUESTS && wanted.length) {
    const key = wanted.shift();
    if (tiles.has(key)) continue;
    tiles.set(key, { loading: true });
    load(key);
  }
  document.body.dataset.waiting = String(running + wanted.length);
}

// --- drawing -------------------------------------------------------------------------------

const worldPerDot = () => state.size / devicePixelRatio;

function redraw() {
  if (drawing) return;
  drawing = true;
  requestAnimationFrame(() => {
    drawing = false;
    wanted = [];
    panes.filter((pane) => !pane.node.hidden).forEach(draw);
    showPosition();
    fetchWanted();
  });
}

function toScreen(pane, axis, value) {
  const middle = (axis === pane.across ? pane.canvas.width : pane.canvas.height) / 2;
  return (value - state.center[axis]) / worldPerDot() + middle;
}

function draw(pane) {
  const { canvas } = pane, box = pane.node.getBoundingClientRect();
  const width = Math.round(box.width * devicePixelRatio);
  const height = Math.round(box.height * devicePixelRatio);
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  context.clearRect(0, 0, width, height);
  const step = worldPerDot();
  const zoom = clamp(Math.floor(Math.log2(step / scene.pixel) + 0.01), 0, scene.lastZoom);
  for (const layer of state.order) {
    if (!layer.look.visible) continue;
    context.globalAlpha = layer.look.opacity;
    context.imageSmoothingEnabled = state.smooth || step > scene.pixel * 2 ** zoom;
    drawLayer(context, pane, layer, zoom);
  }
  context.globalAlpha = 1;
  if (state.cross) drawCross(context, pane);
  drawLetters(context, pane);
  drawScale(context, pane);
  if (pane.through !== null) {
    pane.depth.textContent = place(pane.through, state.cross3[pane.through]);
  }
}

function depthOf(pane, zoom) {
  if (pane.through === null) return 0;
  const n = pane.through, size = scene.pixel * 2 ** zoom;
  return Math.floor((state.cross3[n] - scene.low[n]) / size);
}

function range(pane, axis, length, side) {
  // The first and last tile that is seen along an axis.
  const half = (length / 2) * worldPerDot();
  const last = Math.ceil((scene.high[axis] - scene.low[axis]) / side - 1e-9) - 1;
  const at = (value) => Math.floor((value - scene.low[axis]) / side);
  return [clamp(at(state.center[axis] - half), 0, last + 1),
    clamp(at(state.center[axis] + half), -1, last)];
}

function drawLayer(context, pane, layer, zoom) {
  const side = scene.tile * scene.pixel * 2 ** zoom, depth = depthOf(pane, zoom);
  const [left, right] = range(pane, pane.across, pane.canvas.width, side);
  const [top, bottom] = range(pane, pane.down, pane.canvas.height, side);
  const middle = [(left + right) / 2, (top + bottom) / 2], missing = [];
  for (let row = top; row <= bottom; row++) {
    for (let column = left; column <= right; column++) {
      const key = name(layer, pane.number, zoom, row, column, depth), tile = known(key);
      if (!tile) missing.push([Math.hypot(column - middle[0], row - middle[1]), key]);
      const x = toScreen(pane, pane.across, scene.low[pane.across] + column * side);
      const y = toScreen(pane, pane.down, scene.low[pane.down] + row * side);
      const length = side / worldPerDot();
      // Whole pixels, so that no seam shows between tiles.
      const x0 = Math.round(x), y0 = Math.round(y);
      const size = [Math.round(x + length) - x0, Math.round(y + length) - y0];
      if (tile && !tile.loading) {
        if (tile.values) context.drawImage(paint(tile, layer), x0, y0, ...size);
      } else {
        drawParent(context, pane, layer, zoom, row, column, depth, [x0, y0, ...size]);
      }
    }
  }
  missing.sort((a, b) => a[0] - b[0]);
  wanted.push(...missing.map((pair) => pair[1]));
}

function drawParent(context, pane, layer, zoom, row, column, depth, place) {
  // While a tile is on its way: its part of a coarser one that is there.
  for (let up = 1; up <= PARENTS && zoom + up <= scene.lastZoom; up++) {
    const k = 2 ** up, down = (n) => Math.floor(n / k);
    const tile = known(name(layer, pane.number, zoom + up, down(row), down(column), down(depth)));
    if (!tile || tile.loading) continue;
    if (!tile.values) return;
    const part = scene.tile / k;
    context.drawImage(paint(tile, layer), (column - down(column) * k) * part,
      (row - down(row) * k) * part, part, part, ...place);
    return;
  }
}

function drawCross(context, pane) {
  const x = Math.round(toScreen(pane, pane.across, state.cross3[pane.across])) + 0.5;
  const y = Math.round(toScreen(pane, pane.down, state.cross3[pane.down])) + 0.5;
  const gap = 9 * devicePixelRatio, { width, height } = pane.canvas;
  context.lineWidth = devicePixelRatio;
  context.globalAlpha = 0.75;
  // Each line is where another plane cuts this one, in that plane's colour.
  const lines = [[pane.across, [[x, 0, x, y - gap], [x, y + gap, x, height]]],
    [pane.down, [[0, y, x - gap, y], [x + gap, y, width, y]]]];
  for (const [axis, parts] of lines) {
    context.strokeStyle = COLORS[axis];
    context.beginPath();
    for (const [a, b, c, d] of parts) { context.moveTo(a, b); context.lineTo(c, d); }
    context.stroke();
  }
  context.globalAlpha = 1;
}

function text(context, words, x, y, align, baseline) {
  context.textAlign = align;
  context.textBaseline = baseline;
  context.strokeStyle = "rgba(0, 0, 0, 0.8)";
  context.lineWidth = 3 * devicePixelRatio;
  context.strokeText(words, x, y);
  context.fillText(words, x, y);
}

function drawLetters(context, pane) {
  const { width, height } = pane.canvas, edge = 10 * devicePixelRatio;
  context.font = `600 ${14 * devicePixelRatio}px system-ui, sans-serif`;
  context.fillStyle = "#f2b632";
  const [left, right] = scene.letters[pane.across], [top, bottom] = scene.letters[pane.down];
  text(context, left, edge, height / 2, "left", "middle");
  text(context, right, width - edge, height / 2, "right", "middle");
  text(context, top, width / 2, edge * 0.7, "center", "top");
  text(context, bottom, width / 2, height - edge * 0.7, "center", "bottom");
}

function drawScale(context, pane) {
  const { width, height } = pane.canvas, edge = 12 * devicePixelRatio;
  const most = (width / 4) * worldPerDot(), power = 10 ** Math.floor(Math.log10(most));
  const length = [5, 2, 1].find((n) => n * power <= most) * power;
  const dots = length / worldPerDot();
  context.fillStyle = "#e6e8eb";
  context.fillRect(edge, height - edge, dots, 2 * devicePixelRatio);
  context.font = `${11 * devicePixelRatio}px system-ui, sans-serif`;
  text(context, `${short(length)} ${scene.world[0].unit}`.trim(), edge,
    height - edge - 4 * devicePixelRatio, "left", "bottom");
}

// --- numbers -------------------------------------------------------------------------------

function toWorld(view) {
  return scene.base.map((base, r) => base + dot(scene.axes[r], view));
}

function digits() {
  return clamp(Math.ceil(1 - Math.log10(scene.pixel)), 0, 9);
}

function place(axis, value) {
  // A view coordinate as words: by its letter where the image has a frame.
  const [, to] = scene.letters[axis], world = toWorld(state.cross3);
  const row = scene.world.findIndex((w) => w.name === scene.names[axis]);
  const shown = row < 0 ? value : world[row];
  return `${scene.names[axis]} ${shown.toFixed(digits())}${to && row < 0 ? ` ${to}` : ""}`;
}

function valueAt(layer) {
  // The value under the crosshair, from whichever tile holds it.
  const zoom = clamp(Math.floor(Math.log2(worldPerDot() / scene.pixel) + 0.01), 0, scene.lastZoom);
  const size = scene.pixel * 2 ** zoom;
  for (const pane of panes.filter((shown) => !shown.node.hidden)) {
    const x = Math.floor((state.cross3[pane.across] - scene.low[pane.across]) / size);
    const y = Math.floor((state.cross3[pane.down] - scene.low[pane.down]) / size);
    const [column, row] = [x, y].map((n) => Math.floor(n / scene.tile));
    const tile = tiles.get(name(layer, pane.number, zoom, row, column, depthOf(pane, zoom)));
    if (!tile || !tile.values) continue;
    const value = tile.values[(y - row * scene.tile) * scene.tile + x - column * scene.tile];
    if (value !== value) return "outside";
    if (layer.rgb) return [value >> 16, (value >> 8) & 255, value & 255].join(", ");
    const called = layer.look.map === "labels" && layer.names[value];
    return called ? `${short(value, 6)} ${called}` : short(value, 6);
  }
  return "";
}

function showPosition() {
  const world = toWorld(state.cross3);
  const rows = scene.world.map((axis, r) => {
    const letter = scene.frame ? scene.frame["xyz".indexOf(axis.name)] : "";
    return [axis.name + (letter ? ` → ${letter}` : ""),
      `${world[r].toFixed(digits())} ${axis.unit}`.trim()];
  });
  const { matrix, offset, dims, size } = scene.layers[0].index;
  const index = matrix.map((row, k) => Math.round(dot(row, state.cross3) + offset[k]));
  const inside = index.every((n, k) => n >= 0 && n < size[k]);
  rows.push([`voxel ${dims.join(", ")}`, inside ? index.join(", ") : "outside"]);
  for (const layer of scene.layers) {
    layer.node.value.textContent = valueAt(layer);
  }
  $("position").replaceChildren(...rows.map(([head, value]) => element("tr", {},
    element("th", { textContent: head }), element("td", { textContent: value }))));
  const ratio = worldPerDot() / scene.pixel;
  $("zoom").textContent = ratio <= 1 ? `${short(1 / ratio, 3)} ×` : `1 : ${short(ratio, 3)}`;
}

function say(words) {
  $("message").textContent = words;
  $("message").hidden = !words;
}

// --- moving --------------------------------------------------------------------------------

function fit() {
  state.center = scene.low.map((low, k) => (low + scene.high[k]) / 2);
  state.size = Math.max(...panes.filter((pane) => !pane.node.hidden).map((pane) => {
    const box = pane.node.getBoundingClientRect();
    return Math.max((scene.high[pane.across] - scene.low[pane.across]) / Math.max(box.width, 1),
      (scene.high[pane.down] - scene.low[pane.down]) / Math.max(box.height, 1));
  })) * 1.08;
  redraw();
}

function zoomBy(factor, pane = null, dots = null) {
  const most = Math.max(...scene.high.map((high, k) => high - scene.low[k])) / 40;
  const size = clamp(state.size * factor, scene.pixel / 64, Math.max(most, scene.pixel));
  if (pane) { // what is under the pointer stays there
    const before = toView(pane, dots);
    state.size = size;
    const after = toView(pane, dots);
    [pane.across, pane.down].forEach((axis) => { state.center[axis] += before[axis] - after[axis]; });
  } else {
    state.size = size;
  }
  redraw();
}

function enlarge(number) {
  // One plane alone, or all again.
  const alone = $("planes").dataset.alone === String(number) || number === null;
  if (alone) delete $("planes").dataset.alone;
  else $("planes").dataset.alone = number;
  panes.forEach((pane) => { pane.node.hidden = !alone && pane.number !== number; });
  fit();
}

function toView(pane, [x, y]) {
  const view = [...state.cross3];
  view[pane.across] = state.center[pane.across] + (x - pane.canvas.width / 2) * worldPerDot();
  view[pane.down] = state.center[pane.down] + (y - pane.canvas.height / 2) * worldPerDot();
  return view;
}

function moveCross(view) {
  state.cross3 = view.map((value, k) => clamp(value, scene.low[k], scene.high[k] - 1e-9 *
    (scene.high[k] - scene.low[k])));
  redraw();
}

function stepCross(axis, count) {
  // By voxels; when zoomed out, by pixels of what is shown.
  const zoom = clamp(Math.floor(Math.log2(worldPerDot() / scene.pixel) + 0.01), 0, scene.lastZoom);
  const size = Math.max(scene.layers[0].voxel[axis], scene.pixel * 2 ** zoom);
  moveCross(state.cross3.map((value, k) => (k === axis ? value + count * size : value)));
}

function dotsOf(pane, event) {
  const box = pane.node.getBoundingClientRect();
  return [(event.clientX - box.left) * devicePixelRatio, (event.clientY - box.top) * devicePixelRatio];
}

function listen(pane) {
  const { canvas } = pane;
  let drag = null;
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("pointerenter", () => { hovered = pane.number; });
  canvas.addEventListener("pointerdown", (event) => {
    canvas.setPointerCapture(event.pointerId);
    const kind = event.button === 2 ? (event.ctrlKey ? "zoom" : "window") : event.button === 1 || event.shiftKey ? "pan" : "cross";
    drag = { kind, last: dotsOf(pane, event) };
    if (kind === "cross") moveCross(toView(pane, drag.last));
    event.preventDefault();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (!drag) return;
    const now = dotsOf(pane, event), dx = now[0] - drag.last[0], dy = now[1] - drag.last[1];
    drag.last = now;
    if (drag.kind === "cross") moveCross(toView(pane, now));
    else if (drag.kind === "zoom") zoomBy(Math.exp(dy / 200));
    else if (drag.kind === "pan") {
      state.center[pane.across] -= dx * worldPerDot();
      state.center[pane.down] -= dy * worldPerDot();
      redraw();
    } else {
      const layer = state.order.find((l) => !l.rgb && l.look.map !== "labels" && l.look.visible);
      if (!layer) return;
      const { look } = layer, width = look.high - look.low;
      const middle = (look.low + look.high) / 2 + (dy / pane.canvas.height) * width;
      const wide = width * Math.exp((2 * dx) / pane.canvas.width);
      setWindow(layer, middle - wide / 2, middle + wide / 2);
    }
  });
  canvas.addEventListener("dblclick", () => { if (panes.length > 1) enlarge(pane.number); });
  const end = () => { drag = null; };
  canvas.addEventListener("pointerup", end);
  canvas.addEventListener("pointercancel", end);
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    if (event.ctrlKey || pane.through === null) {
      zoomBy(Math.exp(clamp(event.deltaY, -200, 200) / 300), pane, dotsOf(pane, event));
    } else {
      stepCross(pane.through, Math.sign(event.deltaY));
    }
  }, { passive: false });
}

function toggle(id) {
  $(id).checked = !$(id).checked;
  $(id).dispatchEvent(new Event("change"));
}

function fade(change) {
  // The opacity of all overlays.
  for (const layer of state.order.slice(1)) {
    layer.node.opacity.value = layer.look.opacity = clamp(layer.look.opacity + change, 0, 1);
  }
  redraw();
}

const KEYS = {
  ArrowLeft: () => stepCross(panes[hovered].across, -1),
  ArrowRight: () => stepCross(panes[hovered].across, 1),
  ArrowUp: () => stepCross(panes[hovered].down, -1),
  ArrowDown: () => stepCross(panes[hovered].down, 1),
  PageUp: () => panes[hovered].through !== null && stepCross(panes[hovered].through, -1),
  PageDown: () => panes[hovered].through !== null && stepCross(panes[hovered].through, 1),
  "+": () => zoomBy(1 / 1.25), "=": () => zoomBy(1 / 1.25), "-": () => zoomBy(1.25), r: fit,
  c: () => { state.center = [...state.cross3]; redraw(); },
  x: () => toggle("cross"), i: () => toggle("smooth"),
  s: () => state.order.slice(1).forEach((layer) => layer.node.visible.click()),
  a: () => fade(-0.1), d: () => fade(0.1),
  " ": () => play(), ",": () => stepTime(-1), ".": () => stepTime(1),
  p: () => saveScreenshot(), v: () => enlarge(panes.length > 1 ? hovered : null),
  "?": () => { $("help").open = !$("help").open; },
};

// --- time and pictures ---------------------------------------------------------------------

let playing = null;

function timeSliders() {
  // Those named t, of all layers; without one the first slider that there is.
  const all = scene.layers.flatMap((layer) => layer.sliders);
  const times = all.filter((slider) => slider.name === "t");
  return times.length ? times : all.slice(0, 1);
}

function stepTime(count) {
  for (const slider of timeSliders()) {
    slider.input.value = (slider.at + count + slider.size) % slider.size;
    slider.input.dispatchEvent(new Event("input"));
  }
}

function play() {
  // About eight steps a second, each when the one before it is drawn.
  if (playing || !timeSliders().length) {
    clearInterval(playing);
    playing = null;
  } else {
    playing = setInterval(() => { if (!running && !wanted.length) stepTime(1); }, 125);
  }
  document.querySelectorAll(".play").forEach((button) => {
    button.textContent = playing ? "❚❚" : "▶";
    button.ariaPressed = String(Boolean(playing));
  });
}

function screenshot() {
  // All planes as they are seen, side by side as on the page.
  const frame = $("planes").getBoundingClientRect(), k = devicePixelRatio;
  const sheet = element("canvas", { width: frame.width * k, height: frame.height * k });
  const context = sheet.getContext("2d");
  context.fillRect(0, 0, sheet.width, sheet.height);
  for (const pane of panes.filter((shown) => !shown.node.hidden)) {
    const box = pane.node.getBoundingClientRect();
    context.drawImage(pane.canvas, (box.x - frame.x) * k, (box.y - frame.y) * k);
  }
  return sheet;
}

function saveScreenshot() {
  screenshot().toBlob((blob) => {
    const link = element("a", { href: URL.createObjectURL(blob),
      download: `${scene.layers[0].name.replace(/[^\w.-]+/g, "_")}.png` });
    link.click();
    setTimeout(() => URL.revokeObjectURL(link.href), 10000);
  });
}

// --- the panel -----------------------------------------------------------------------------

function setWindow(layer, low, high) {
  if (!(high > low)) return;
  Object.assign(layer.look, { low, high, version: layer.look.version + 1 });
  // To about a thousandth of what lies between them, so that they fit their fields.
  const step = 10 ** Math.round(Math.log10((high - low) / 1000));
  layer.node.low.value = short(Math.round(low / step) * step, 8);
  layer.node.high.value = short(Math.round(high / step) * step, 8);
  redraw();
}

function moveLayer(layer, change) {
  const { order } = state, from = order.indexOf(layer), to = from + change;
  if (to < 0 || to >= order.length) return;
  order.splice(from, 1);
  order.splice(to, 0, layer);
  scene.layers.forEach((each) => { each.look.version += 1; }); // the lowest hides what is under it
  $("layers").append(...[...order].reverse().map((each) => each.node.section));
  redraw();
}

function controls(layer) {
  const section = element("section"), { look } = layer, node = (layer.node = { section });
  const row = (words, ...parts) => {
    section.append(element("p", { className: "row" }, element("span", { textContent: words }), ...parts));
  };
  node.visible = element("input", { type: "checkbox", checked: true, title: "Show this image",
    ariaLabel: `show ${layer.name}` });
  node.visible.addEventListener("change", () => { look.visible = node.visible.checked; redraw(); });
  const heading = element("h2", {}, element("label", { className: "file", title: layer.name },
    node.visible, ` ${layer.name}`));
  if (scene.layers.length > 1) {
    for (const [sign, change, words] of [["↑", 1, "up"], ["↓", -1, "down"]]) {
      const button = element("button", { textContent: sign, title: `Draw ${words} in the order`,
        ariaLabel: `move ${layer.name} ${words}` });
      button.addEventListener("click", () => { moveLayer(layer, change); button.focus(); });
      heading.append(button);
    }
  }
  section.append(heading);
  node.value = element("output");
  row("value", node.value);
  node.low = element("input", { type: "number", step: "any", ariaLabel: "black" });
  node.high = element("input", { type: "number", step: "any", ariaLabel: "white" });
  const typed = () => setWindow(layer, Number(node.low.value), Number(node.high.value));
  node.low.addEventListener("change", typed);
  node.high.addEventListener("change", typed);
  const auto = element("button", { textContent: "auto", title: "The values first shown" });
  auto.addEventListener("click", () => setWindow(layer, ...layer.limits));
  if (!layer.rgb) row("window", node.low, node.high, auto);
  const windowed = () => {
    if (!layer.rgb) auto.parentNode.hidden = look.map === "labels";
  };
  windowed();
  const map = element("select", { ariaLabel: "colours" }, ...[...Object.keys(MAPS), "labels"].map(
    (key) => element("option", { textContent: key, selected: key === look.map })));
  map.addEventListener("change", () => {
    look.map = map.value;
    look.version += 1;
    windowed();
    redraw();
  });
  if (!layer.rgb) row("colours", map);
  const opacity = node.opacity = element("input", { type: "range", min: 0, max: 1, step: 0.01,
    value: look.opacity, ariaLabel: "opacity" });
  opacity.addEventListener("input", () => { look.opacity = Number(opacity.value); redraw(); });
  row("opacity", opacity);
  for (const slider of layer.sliders) {
    const input = slider.input = element("input", { type: "range", min: 0, max: slider.size - 1,
      step: 1, value: slider.at, ariaLabel: slider.name });
    const shown = element("output");
    const show = () => {
      slider.at = Number(input.value);
      const at = slider.start + slider.step * slider.at;
      shown.textContent = slider.labels ? slider.labels[slider.at] : slider.step ? `${short(at)} ${slider.unit}`.trim()
        : `${slider.at} of ${slider.size}`;
    };
    input.addEventListener("input", () => { show(); redraw(); });
    show();
    const parts = [input, shown];
    if (timeSliders().includes(slider)) {
      const button = element("button", { className: "play", textContent: "▶", title: "Play (space)",
        ariaLabel: `play ${slider.name}` });
      button.addEventListener("click", play);
      parts.unshift(button);
    }
    row(slider.name, ...parts);
  }
  const table = element("table", { className: "summary" }, ...[
    ["shape", `${layer.shape.join(" × ")}, ${layer.dtype}`],
    ["levels", layer.levels.length], ...layer.summary,
  ].map(([head, value]) => element("tr", {}, element("th", { textContent: head }),
    element("td", { textContent: value }))));
  const more = element("details", {}, element("summary", { textContent: "Geometry" }), table);
  section.append(more);
  return section;
}

// --- start ---------------------------------------------------------------------------------

async function start() {
  const answer = await fetch("scene.json");
  if (!answer.ok) throw new Error(await answer.text());
  scene = await answer.json();
  scene.layers.forEach((layer, number) => {
    layer.number = number;
    layer.sliders.forEach((slider) => { slider.at = Math.floor(slider.size / 2); });
    const map = layer.labels ? "labels" : number ? "hot" : "grey";
    layer.look = { low: layer.limits[0], high: layer.limits[1], map, version: 0,
      opacity: layer.opacity, visible: true };
  });
  state = { smooth: false, cross: true, size: 1,
    cross3: scene.low.map((low, k) => (low + scene.high[k]) / 2), center: [],
    order: [...scene.layers] }; // the lowest first
  document.title = scene.layers[0].name;
  $("title").textContent = scene.layers[0].name;
  $("planes").classList.toggle("one", scene.planes.length === 1);
  panes = scene.planes.map((plane, number) => {
    const canvas = element("canvas", { ariaLabel: plane.name, tabIndex: 0 });
    const swatch = element("i"), depth = element("span", { className: "depth" });
    swatch.style.background = plane.through === null ? "transparent" : COLORS[plane.through];
    const title = element("span", { className: "name" }, swatch,
      plane.name.length > 3 ? plane.name[0].toUpperCase() + plane.name.slice(1) : plane.name);
    const node = element("div", { className: number ? "plane" : "plane large" }, canvas, title, depth);
    $("planes").append(node);
    return { ...plane, number, canvas, node, depth };
  });
  $("layers").append(...scene.layers.map(controls).reverse());
  scene.layers.forEach((layer) => setWindow(layer, ...layer.limits));
  panes.forEach(listen);
  $("fit").addEventListener("click", fit);
  $("shot").addEventListener("click", saveScreenshot);
  $("in").addEventListener("click", () => zoomBy(1 / 1.5));
  $("out").addEventListener("click", () => zoomBy(1.5));
  $("smooth").addEventListener("change", (event) => { state.smooth = event.target.checked; redraw(); });
  $("cross").addEventListener("change", (event) => { state.cross = event.target.checked; redraw(); });
  addEventListener("keydown", (event) => {
    // A slider or box that is in use keeps the keys that move it; letters still act.
    const typing = event.target.tagName === "SELECT" || event.target.type === "number" ||
      (event.target.type === "range" && !/^[a-z?,.]$/.test(event.key)) ||
      (event.key === " " && ["BUTTON", "INPUT", "SUMMARY"].includes(event.target.tagName));
    if (typing || event.ctrlKey || event.metaKey || event.altKey) return;
    const act = KEYS[event.key];
    if (act) { act(); event.preventDefault(); }
  });
  new ResizeObserver(redraw).observe($("planes"));
  fit();
}

start().catch((error) => say(String(error.message || error)));
