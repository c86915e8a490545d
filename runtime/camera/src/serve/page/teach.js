
// Teaching: one request for each change; the camera says with another number in its state that the list is another.
const FRAMES = 20, EACH = 200, LOOK_BACK = 3;
const MAX_UPLOAD = 22e6;
let known = null, fresh = 0;

function tell(text) { $("said").textContent = text; $("refused").textContent = ""; }
function refuse(text) { $("said").textContent = ""; $("refused").textContent = text; }
// Asks for a change; what is not done is told in the camera's words.
async function ask(method, path, body, kind) {
  const options = { method, headers: { "Content-Type": kind || "application/json" }, body: kind ? body : JSON.stringify(body) };
  let answer;
  try { answer = await fetch("api/teach/" + path, options); } catch { throw new Error("The camera does not answer."); }
  const text = (await answer.text()).trim();
  if (answer.status === 401) throw new Error("The token is needed again: load the page anew.");
  if (!answer.ok) throw new Error(text ? text[0].toUpperCase() + text.slice(1) + "." : answer.statusText);
  return text ? JSON.parse(text) : {};
}
// Does something with the tray, and tells how it went.
async function attempt(work) {
  $("tray").setAttribute("aria-busy", "true");
  for (const button of ["hold", "upload", "import"]) $(button).disabled = true;
  try { tell(await work()); } catch (e) { refuse(e.message); }
  for (const button of ["hold", "upload", "import"]) $(button).disabled = false;
  $("tray").removeAttribute("aria-busy");
  await show_taught();
}
const images = n => n === 1 ? "1 image" : n + " images";
const called = name => name ?? "The network's own classes";
const learned = (name, n) => n ? `${called(name)}: ${images(n)} learned.` : `${called(name)}: nothing new, these images are known.`;

// Null for images of the network's own classes, undefined while there is no name.
function name_of_class() {
  if ($("own").checked) return null;
  const name = $("class").value.trim();
  if (!name) { refuse("Give the class a name first."); $("class").focus(); }
  return name || undefined;
}
$("own").addEventListener("change", () => { $("class").disabled = $("own").checked; });
$("lesson").addEventListener("submit", e => e.preventDefault());

let since = 0, ticking = 0, lifted = 0;
function begin() {
  if (since || $("hold").disabled || name_of_class() === undefined) return;
  since = performance.now();
  tell("");
  $("tray").classList.add("holding");
  const tick = () => {
    const n = Math.min(FRAMES, 1 + Math.floor((performance.now() - since) / EACH));
    $("held").value = n;
    $("hold").textContent = "Release: " + images(n);
  };
  tick();
  ticking = setInterval(tick, EACH);
}
function end(keep) {
  if (!since) return;
  const seconds = (performance.now() - since) / 1000;
  since = 0;
  lifted = performance.now();
  clearInterval(ticking);
  $("tray").classList.remove("holding");
  $("hold").textContent = "Hold to teach";
  if (keep) teach_frames(seconds);
}
function teach_frames(seconds) {
  const name = name_of_class();
  if (name !== undefined) attempt(async () => learned(name, (await ask("POST", "frames", { class: name, seconds })).new)).then(() => $("hold").focus());
}
$("hold").addEventListener("pointerdown", e => { if (e.button === 0) { $("hold").setPointerCapture(e.pointerId); begin(); } });
$("hold").addEventListener("pointerup", () => end(true));
$("hold").addEventListener("pointercancel", () => end(false));
$("hold").addEventListener("contextmenu", e => e.preventDefault());
$("hold").addEventListener("keydown", e => {
  if (e.key !== " " && e.key !== "Enter") return;
  e.preventDefault();
  if (!e.repeat) begin();
});
$("hold").addEventListener("keyup", e => { if (e.key === " " || e.key === "Enter") { e.preventDefault(); end(true); } });
$("hold").addEventListener("blur", () => end(false));
// Voice control and screen readers click without a press: what was seen just now counts.
$("hold").addEventListener("click", () => { if (performance.now() - lifted > 500) teach_frames(LOOK_BACK); });

function base64(file) {
  return new Promise((done, failed) => {
    const reader = new FileReader();
    reader.onload = () => done(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => failed(new Error(file.name + " cannot be read."));
    reader.readAsDataURL(file);
  });
}
async function upload(name, files) {
  // An example of too many bytes is told by its name; of the others as many go at once as are allowed.
  const large = files.find(file => file.size > MAX_UPLOAD);
  if (large) throw new Error(`${large.name} is too large: at most ${MAX_UPLOAD / 1e6} MB.`);
  let learned_ones = 0, rest = files;
  while (rest.length) {
    let bytes = 0, n = 0;
    while (n < rest.length && n < 100 && bytes + rest[n].size <= MAX_UPLOAD) bytes += rest[n++].size;
    const some = await Promise.all(rest.slice(0, n).map(async file => ({ name: file.name, bytes: await base64(file) })));
    learned_ones += (await ask("POST", "images", { class: name, images: some })).new;
    rest = rest.slice(n);
  }
  return learned(name, learned_ones);
}
$("upload").addEventListener("click", () => { if (name_of_class() !== undefined) $("files").click(); });
$("files").addEventListener("change", () => {
  const name = name_of_class(), files = [...$("files").files];
  $("files").value = "";
  if (name !== undefined && files.length) attempt(() => upload(name, files));
});
$("undo").addEventListener("click", () => attempt(async () => `Undone: ${(await ask("POST", "undo", {})).undone}.`));
$("import").addEventListener("click", () => $("file").click());
$("file").addEventListener("change", () => {
  const [file] = $("file").files;
  $("file").value = "";
  if (file) attempt(async () => { await ask("PUT", "file", file, "application/octet-stream"); return `${file.name} is imported.`; });
});

function element(tag, text, set) {
  const made = document.createElement(tag);
  if (text) made.textContent = text;
  return Object.assign(made, set);
}
function button(text, label, act) {
  const made = element("button", text, { type: "button" });
  made.setAttribute("aria-label", label);
  made.addEventListener("click", act);
  return made;
}
// The row of a class turns into a field for its new name.
function rename(row, name) {
  const form = element("form"), field = element("input", "", { value: name, maxLength: 100 });
  field.setAttribute("aria-label", "New name of " + name);
  form.append(field, element("button", "Save"), button("Cancel", "Cancel: keep the name " + name, () => show_taught()));
  form.addEventListener("submit", e => {
    e.preventDefault();
    const to = field.value.trim();
    attempt(async () => { await ask("POST", "rename", { from: name, to }); return `${name} is called ${to} now.`; });
  });
  field.addEventListener("keydown", e => { if (e.key === "Escape") show_taught(); });
  row.replaceChildren(form);
  field.select();
}
function row_of(c) {
  const row = element("li"), small = element("div", "", { className: "small" }), what = element("div", "", { className: "what" });
  small.append(...c.thumbnails.map(t => element("img", "", { src: "data:image/jpeg;base64," + t, alt: "" })));
  const held = c.recognized === null ? "" : `, ${c.recognized} recognized when held out`;
  what.append(element("b", c.class), element("span", images(c.images) + held, { className: "soft" }));
  const acts = element("div", "", { className: "acts" });
  acts.append(
    button("Teach more", "Teach more images of " + c.class, () => { $("own").checked = $("class").disabled = false; $("class").value = c.class; $("hold").focus(); }),
    button("Rename", "Rename " + c.class, () => rename(row, c.class)),
    button("Remove", "Remove " + c.class, () => attempt(async () => { await ask("POST", "remove", { class: c.class }); return c.class + " is removed. Undo brings it back."; })));
  row.append(...(c.thumbnails.length ? [small] : []), what, acts);
  return row;
}
const asked_percent = t => t.unknown ? +(100 * t.unknown.asked).toFixed(4) : 0;
$("mix").addEventListener("change", () => {
  const mixed = $("mix").checked;
  attempt(async () => {
    await ask("POST", "mix", { mixed });
    return mixed ? "The network's own classes are answered, too." : "Only taught classes are answered.";
  });
});
$("alarm").addEventListener("submit", e => {
  e.preventDefault();
  const percent = Number($("rate_asked").value.replace(",", ".") || NaN);
  if (!(percent >= 0 && percent <= 50)) return refuse("A rate of false alarms is 0 to 50 percent.");
  $("rate_asked").blur();
  attempt(async () => { await ask("POST", "rate", { percent }); return `The rate of false alarms is ${percent} % now.`; });
});
async function show_taught() {
  const turn = ++fresh;
  let t;
  try {
    const answer = await fetch("api/teach");
    if (!answer.ok) throw new Error((await answer.text()).trim());
    t = await answer.json();
  } catch (e) { known = null; return refuse("The list of classes cannot be read: " + e.message); }
  // A later question may have been answered before this one.
  if (turn !== fresh) return;
  known = t.revision;
  $("taught").replaceChildren(...t.classes.map(row_of));
  $("names").replaceChildren(...t.classes.map(c => new Option(c.class)));
  const sentences = [t.rate, t.warning].filter(text => text).map(text => text[0].toUpperCase() + text.slice(1) + ".");
  $("alarms").textContent = sentences.join(" ") || "Nothing is taught yet: the network answers with its own classes.";
  const own = t.own.images ? images(t.own.images) + " of them" : "no image of them yet";
  $("mix").checked = t.own.mixed;
  $("mix").disabled = !t.classes.length;
  $("mixed").textContent = t.classes.length ? `(${own})` : "";
  if (document.activeElement !== $("rate_asked")) $("rate_asked").value = t.classes.length ? asked_percent(t) : "";
  $("rate_asked").disabled = $("rate_save").disabled = !t.classes.length;
  const kept = t.classes.reduce((n, c) => n + c.kept, 0);
  $("kept").textContent = t.not_kept ? "Not kept to train with: " + t.not_kept + "." :
    kept ? `${images(kept)} kept in ${t.folder} to train with.` : "";
  $("undo").disabled = !t.undo;
  $("undo").textContent = t.undo ? "Undo: " + t.undo : "Undo";
  $("export").toggleAttribute("aria-disabled", !t.classes.length);
  $("export").tabIndex = t.classes.length ? 0 : -1;
  $("export").download = t.file;
}
// The state says which list there is; null where nothing can be taught.
function learn(revision) {
  $("untaught").hidden = revision !== null;
  $("tray").hidden = revision === null;
  if (revision !== null && revision !== known && !document.querySelector("#taught form")) { known = revision; show_taught(); }
}
