
// The history: kept by the camera, so that it is there after a reload. The timeline shows its last minute.
const SHOWN = 50;
let counted = null, ahead = 0, searching = 0;

// What the fields ask for, as the camera reads it.
function query(limit) {
  const words = new URLSearchParams(), seconds = id => new Date($(id).value).getTime() / 1000 + ahead;
  if ($("find").value.trim()) words.set("label", $("find").value.trim());
  for (const id of ["from", "to"]) if ($(id).value && isFinite(seconds(id))) words.set(id, seconds(id));
  if (limit) words.set("limit", limit);
  return String(words);
}
function lasting(seconds) {
  const s = Math.round(seconds);
  return s < 60 ? s + " s" : s < 3600 ? `${Math.floor(s / 60)} min ${s % 60} s` : `${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
}
function entry_row(e) {
  const row = document.createElement("tr"), began = new Date((e.time - ahead) * 1000);
  const today = began.toDateString() === new Date().toDateString();
  const cells = [today ? began.toLocaleTimeString() : began.toLocaleString(), e.label, e.end === null ? "now" : lasting(e.end - e.time)];
  row.append(...cells.map(text => { const td = document.createElement("td"); td.textContent = text; return td; }));
  return row;
}
async function search() {
  const turn = ++searching;
  for (const [id, path] of [["csv", "api/history.csv"], ["json", "api/history"]]) $(id).href = path + "?" + query();
  try {
    const answer = await fetch("api/history?" + query(SHOWN));
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const entries = await answer.json();
    if (turn !== searching) return;
    $("times").replaceChildren(...entries.map(entry_row));
    $("found").textContent = entries.length ? entries.length === SHOWN ? `The last ${SHOWN} are shown; the exports hold all.` : "" : "No label fits.";
  } catch (e) { $("found").textContent = "The history cannot be read: " + e.message; }
}
// The newest changes, for the timeline. The camera's clock may differ from this one.
async function recall() {
  const answer = await fetch("api/history?limit=200"), date = Date.parse(answer.headers.get("date"));
  if (!answer.ok) return;
  const entries = await answer.json();
  ahead = isFinite(date) && Math.abs(date - Date.now()) > 5000 ? (date - Date.now()) / 1000 : 0;
  changes.splice(0, changes.length, ...entries.reverse().map(e => ({
    at: (e.time - ahead) * 1000, end: e.end === null ? null : (e.end - ahead) * 1000, label: e.label })));
}
let later = 0;
// At most one look a second, however fast labels change.
function remember(changed) {
  if (changed === counted || later) return;
  later = setTimeout(() => { later = 0; recall().catch(() => {}); search(); }, counted === null ? 0 : 1000);
  counted = changed;
}
for (const id of ["find", "from", "to"]) $(id).addEventListener("input", search);
$("past").addEventListener("submit", e => e.preventDefault());
