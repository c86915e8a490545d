
// Frames of no class that the camera has kept, in groups; a name makes a class of a group.
const MAX_GROUPS = 6;
let kept_seen = null, looking = 0;

async function name_group(group, name) {
  const ids = group.images.map(image => image.id);
  document.activeElement?.blur();
  await attempt(async () => learned(name, (await ask("POST", "unknown", { class: name, images: ids })).new));
  await show_unknown();
}
function group_of(group, n) {
  const row = element("li"), small = element("div", "", { className: "small" }), form = element("form");
  small.append(...group.images.slice(0, 6).map(image => element("img", "", { src: "data:image/jpeg;base64," + image.thumbnail, alt: "" })));
  const field = element("input", "", { maxLength: 100, placeholder: "Name", autocomplete: "off" });
  field.setAttribute("list", "names");
  field.setAttribute("aria-label", `Name of group ${n + 1} of unknown images, ${images(group.images.length)}`);
  form.append(field, element("button", "Teach"), button("Dismiss", `Dismiss group ${n + 1}`, async () => {
    document.activeElement?.blur();
    await attempt(async () => { await ask("POST", "unknown/forget", { images: group.images.map(i => i.id) }); return images(group.images.length) + " dismissed."; });
    await show_unknown();
  }));
  form.addEventListener("submit", e => {
    e.preventDefault();
    const name = field.value.trim();
    if (name) return name_group(group, name);
    refuse("Give the group a name first.");
    field.focus();
  });
  row.append(small, element("span", images(group.images.length), { className: "soft" }), form);
  return row;
}
async function show_unknown() {
  // Nothing moves under a finger or while a name is being typed.
  if ($("groups").contains(document.activeElement)) { kept_seen = null; return; }
  try {
    const answer = await fetch("api/teach/unknown");
    if (!answer.ok) throw new Error((await answer.text()).trim());
    const groups = await answer.json(), alike = groups.filter(group => group.images.length > 1);
    if ($("groups").contains(document.activeElement)) return;
    // A class needs two images, so a single one waits for another.
    const shown = alike.slice(0, MAX_GROUPS), left = groups.reduce((n, g) => n + g.images.length, 0) - shown.reduce((n, g) => n + g.images.length, 0);
    $("strange").hidden = !groups.length;
    $("groups").replaceChildren(...shown.map(group_of));
    $("single").textContent = !left ? "" : shown.length ? images(left) + " more, unlike these." : images(left) + ", each unlike the others.";
  } catch (e) { $("strange").hidden = true; }
}
// Grouping runs the network on each new frame, so the camera is not asked more often than every three seconds.
function wonder(revision) {
  if (revision === null || revision === kept_seen || looking) return;
  const first = kept_seen === null;
  kept_seen = revision;
  looking = setTimeout(() => { looking = 0; show_unknown(); }, first ? 0 : 3000);
}
