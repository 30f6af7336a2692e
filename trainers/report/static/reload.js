// While runs are watched, the file is written anew: the page loads itself again and goes on as it was.
const seconds = Number(document.body.dataset.reload);
if (seconds) {
  const box = byId("reloading").querySelector("input");
  byId("reloading").hidden = false;
  box.checked = view.reloads;
  box.addEventListener("change", () => change({ reloads: box.checked }));
  let touched = 0;
  for (const kind of ["pointerdown", "keydown", "pointermove", "wheel", "touchstart"]) {
    window.addEventListener(kind, () => (touched = performance.now()), { passive: true });
  }
  setInterval(() => {
    // Not under the reader's hands, nor where nobody looks.
    if (!view.reloads || document.hidden || performance.now() - touched < 1000 * seconds) return;
    save();
    location.reload();
  }, 1000 * seconds);
}
