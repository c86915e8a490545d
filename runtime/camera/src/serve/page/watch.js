
// What the page says when it has no news: the source is lost or silent, the camera is busy, or the token is gone.
const BUSY = 8000;
let news = Date.now();

function why_no_frames(s) {
  if (s.alive) return "";
  // In steps of ten seconds, so that a screen reader is not interrupted each second.
  if (s.silent !== null) return `Frozen: no frame for more than ${lasting(s.silent - s.silent % 10)}. The source is open, but it is silent.`;
  return s.captured ? `Lost: no frames are coming. ${s.camera}` : `No frames have come yet. ${s.camera}`;
}
// A refusal may mean that the token is another one now; a page that is loaded anew asks for it.
async function refused() {
  const answer = await fetch("api/state").catch(() => null);
  if (answer?.status === 401) {
    lose("No token: the camera asks for it again.");
    $("login").hidden = false;
  } else if (answer?.ok) {
    setTimeout(watch, 2000);
  }
}
function heard() {
  news = Date.now();
  if ($("lost").dataset.busy) lose("");
  delete $("lost").dataset.busy;
}
setInterval(() => {
  if (document.hidden || !source || source.readyState !== EventSource.OPEN) { news = Date.now(); return; }
  if (Date.now() - news < BUSY || $("lost").dataset.busy) return;
  lose("Busy: the camera has said nothing for a while.");
  $("lost").dataset.busy = "yes";
}, 1000);
watch();
