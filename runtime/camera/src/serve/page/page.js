const $ = id => document.getElementById(id);
const css = name => getComputedStyle(document.documentElement).getPropertyValue(name);
const points = [], changes = [];
let roi = null, other_label = null;

// Who has the page open must not show the token to others: the cookie has it now.
const address = new URL(location);
if (address.searchParams.has("token")) {
  address.searchParams.delete("token");
  window.history.replaceState(null, "", address);
}

function facts(node, pairs) {
  node.replaceChildren(...pairs.flatMap(([name, value]) => {
    const dt = document.createElement("dt"), dd = document.createElement("dd");
    dt.textContent = name; dd.textContent = value;
    return [dt, dd];
  }));
}
function bars(labels, shares, other) {
  $("bars").replaceChildren(...labels.slice(0, 5).map(l => {
    const bar = document.createElement("div"), head = document.createElement("div");
    const name = document.createElement("span"), share = document.createElement("span");
    const i = document.createElement("i"), b = document.createElement("b");
    bar.className = l.label === other ? "bar other" : "bar"; name.textContent = name.title = l.label;
    share.textContent = shares ? (100 * l.score).toFixed(1) + " %" : l.score.toPrecision(5);
    b.style.width = shares ? (100 * l.score) + "%" : 0;
    head.append(name, share); i.append(b); bar.append(head, i);
    return bar;
  }));
}
function prepare(canvas) {
  const ratio = devicePixelRatio || 1, w = canvas.clientWidth, h = canvas.clientHeight;
  if (canvas.width !== Math.round(w * ratio)) { canvas.width = Math.round(w * ratio); canvas.height = Math.round(h * ratio); }
  const c = canvas.getContext("2d");
  c.setTransform(ratio, 0, 0, ratio, 0, 0); c.clearRect(0, 0, w, h);
  return [c, w, h];
}
const SPAN = 60000;
function plot(canvas, key) {
  const [c, w, h] = prepare(canvas), now = Date.now();
  const most = Math.max(1e-3, ...points.map(p => p[key]));
  c.strokeStyle = css("--line"); c.beginPath(); c.moveTo(0, h - .5); c.lineTo(w, h - .5); c.stroke();
  c.strokeStyle = css("--bar"); c.lineWidth = 1.5; c.beginPath();
  points.forEach((p, n) => {
    const x = w - (now - p.at) / SPAN * w, y = h - 2 - p[key] / most * (h - 16);
    n ? c.lineTo(x, y) : c.moveTo(x, y);
  });
  c.stroke();
  c.fillStyle = css("--soft"); c.font = "11px system-ui, sans-serif"; c.fillText(most.toFixed(1), 2, 11);
}
function hue(text) { let n = 0; for (const ch of text) n = (n * 31 + ch.codePointAt(0)) % 360; return n; }
function timeline() {
  const [c, w, h] = prepare($("line")), now = Date.now();
  const dark = matchMedia("(prefers-color-scheme: dark)").matches;
  c.font = "12px system-ui, sans-serif";
  changes.forEach((change, n) => {
    const end = change.end ?? (n + 1 < changes.length ? changes[n + 1].at : now);
    const x0 = Math.max(0, w - (now - change.at) / SPAN * w), x1 = w - (now - end) / SPAN * w;
    if (x1 <= 0) return;
    c.fillStyle = change.label === other_label ? css("--odd2") : `hsl(${hue(change.label)} 55% ${dark ? 35 : 80}%)`;
    c.fillRect(x0, 6, Math.max(1, x1 - x0 - 1), h - 12);
    c.save(); c.beginPath(); c.rect(x0, 0, x1 - x0 - 4, h); c.clip();
    c.fillStyle = css("--ink"); c.fillText(change.label, x0 + 5, h / 2 + 4); c.restore();
  });
}
function place(r) {
  const box = $("box");
  box.style.display = r ? "block" : "none";
  if (r) ["left", "top", "width", "height"].forEach((side, n) => box.style[side] = 100 * r[n] + "%");
}
// What was seen before does not stand for what is there now.
function lose(why) {
  $("lost").textContent = why;
  $("lost").hidden = !why;
  if (!why) return;
  $("label").textContent = "–";
  $("label").className = "";
  $("bars").replaceChildren();
  $("heat").width = 0;
  $("age").textContent = $("rate").textContent = "–";
}
function show(s) {
  const now = Date.now(), other = s.model.other, unknown = s.alive && other !== null && s.label === other;
  $("camera").textContent = s.camera;
  $("note").textContent = "";
  $("rest").textContent = s.alive && s.resting ? "at rest: nothing changes" : "";
  if (s.alive) {
    $("label").textContent = s.label ?? "–";
    $("label").className = unknown ? "other" : "";
    bars(s.labels, s.model.shares, other);
    $("age").textContent = `${s.latency_ms.toFixed(1)} ms (p50 ${s.latency_p50_ms.toFixed(1)}, p99 ${s.latency_p99_ms.toFixed(1)})`;
    $("rate").textContent = s.fps.toFixed(1);
  }
  lose(why_no_frames(s));
  other_label = other;
  if (s.alive) {
    points.push({ at: now, latency: s.latency_ms, fps: s.fps });
    while (points.length && now - points[0].at > SPAN) points.shift();
  }
  remember(s.history);
  roi = s.roi;
  $("all").disabled = !roi;
  if (!start) place(roi);
  plot($("latency"), "latency"); plot($("fps"), "fps"); timeline();
  facts($("frames"), [["captured", s.captured], ["classified", s.classified], ["dropped for newer ones", s.dropped],
    ["damaged", s.damaged], ["nothing changed", s.rested], ["source lost", s.lost], ["size", s.size.join("×")],
    ...[["kept", s.kept], ["not kept", s.kept_failed], ["webhook calls", s.calls], ["calls given up", s.calls_failed]].filter(p => p[1] !== null)]);
  facts($("facts"), [["model", s.model.source], ["input", s.model.input.join("×")], ["classes", s.model.classes],
    ["runs on", s.model.backend], ["network", s.network_ms.toFixed(2) + " ms"],
    ["conversion and resizing", s.fit_ms.toFixed(2) + " ms"],
    ["temperature", s.temperature === null ? "no sensor" : s.temperature.toFixed(1) + " °C"], ["pages open", s.streams],
    ...(s.mqtt === null ? [] : [["MQTT broker", s.mqtt ? "connected" : "away"]])]);
  learn(s.teaching);
  wonder(s.unknown);
  obey(s.rules, s.rules_file);
}
async function send(path, body, what) {
  try {
    const answer = await fetch(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
    if (!answer.ok) throw new Error(await answer.text() || answer.statusText);
  } catch (e) { $("note").textContent = what + " was not taken: " + e.message; }
}
const look = part => send("api/roi", { roi: part }, "the part");
async function list() {
  const cameras = await (await fetch("api/cameras")).json(), select = $("cameras");
  select.replaceChildren(...cameras.map(c => new Option(c.name + " (" + c.camera + ")", c.camera)));
  select.hidden = cameras.length < 2;
}
$("cameras").addEventListener("change", e => send("api/camera", { camera: e.target.value }, "the camera"));
let start = null;
const stage = $("stage");
const at = e => {
  const r = stage.getBoundingClientRect(), share = (x, n) => Math.min(1, Math.max(0, x / n));
  return [share(e.clientX - r.left, r.width), share(e.clientY - r.top, r.height)];
};
const part = (a, b) => [Math.min(a[0], b[0]), Math.min(a[1], b[1]), Math.abs(a[0] - b[0]), Math.abs(a[1] - b[1])];
let drawing = false;
function draw(on) {
  drawing = on;
  $("draw").setAttribute("aria-pressed", on);
  stage.classList.toggle("drawing", on);
}
$("draw").addEventListener("click", () => draw(!drawing));
// A finger scrolls the page unless it was asked to draw.
stage.addEventListener("pointerdown", e => { if (e.pointerType === "touch" && !drawing) return; start = at(e); stage.setPointerCapture(e.pointerId); e.preventDefault(); });
stage.addEventListener("pointermove", e => { if (start) place(part(start, at(e))); });
stage.addEventListener("pointerup", e => {
  if (!start) return;
  const r = part(start, at(e));
  start = null;
  if (r[2] > .02 && r[3] > .02) { look(r); draw(false); } else place(roi);
});
stage.addEventListener("pointercancel", () => { start = null; place(roi); });
$("all").addEventListener("click", () => look(null));
// The heat map: red to yellow where the image speaks for the label, smooth between its few cells.
let heated = false;
function heat(map) {
  const canvas = $("heat"), box = stage.getBoundingClientRect();
  $("cold").textContent = map.none ? "No heat map: " + map.none + "." : "Red to yellow: what speaks for the label.";
  canvas.width = Math.round(box.width); canvas.height = Math.round(box.height);
  if (map.none) return;
  const small = new OffscreenCanvas(map.width, map.height), c = small.getContext("2d");
  const image = c.createImageData(map.width, map.height);
  map.cells.forEach((cell, n) => image.data.set([255, Math.max(0, 2 * cell - 255), 0, Math.round(.65 * cell)], 4 * n));
  c.putImageData(image, 0, 0);
  const [x, y, w, h] = map.part, to = canvas.getContext("2d");
  to.imageSmoothingQuality = "high";
  to.drawImage(small, x * canvas.width, y * canvas.height, w * canvas.width, h * canvas.height);
}
$("why").addEventListener("click", () => {
  heated = !heated;
  $("why").setAttribute("aria-pressed", heated);
  $("heat").hidden = !heated;
  $("cold").textContent = "";
  if (source) source.close();
  source = null;
  watch();
});
// A browser has six connections to a server for all of its tabs: a page takes one, and none that nobody looks at.
let source = null;
function watch() {
  if (document.hidden) {
    if (source) source.close();
    source = null;
    return;
  }
  if (source) return;
  source = new EventSource(heated ? "stream?heat" : "stream");
  for (const name of ["state", "live", "seen", "heat", "alive"]) source.addEventListener(name, heard);
  source.addEventListener("heat", e => heat(JSON.parse(e.data)));
  source.addEventListener("state", e => show(JSON.parse(e.data)));
  for (const name of ["live", "seen"]) {
    source.addEventListener(name, e => { $(name).src = "data:image/jpeg;base64," + e.data; });
  }
  source.onopen = () => { $("login").hidden = true; list().catch(() => {}); };
  source.onerror = () => {
    // A browser tries again by itself, but not after a refusal.
    const refused_now = source.readyState === EventSource.CLOSED;
    if (refused_now) source = null;
    $("note").textContent = "";
    lose(refused_now ? "The camera refuses this page" : "No connection: trying again");
    if (refused_now) refused();
  };
}
document.addEventListener("visibilitychange", watch);
