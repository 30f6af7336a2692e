// While runs are watched, the file is written anew: the page loads itself again and goes on as it was.
const SCROLLED = ["html", "#runs .rows", "#flags-table .rows", "#legend"];

const remember = () => {
  view.places = SCROLLED.map((selector) => {
    const place = document.querySelector(selector);
    return place && [place.scrollLeft, place.scrollTop];
  });
  view.focused = document.activeElement.id;
  save();
};
const takeUp = () => {
  SCROLLED.forEach((selector, at) => document.querySelector(selector)?.scrollTo(...(view.places[at] ?? [0, 0])));
  if (view.focused) byId(view.focused)?.focus({ preventScroll: true });
  view.places = null;
};
// Once the charts have their heights.
if (view.places) requestAnimationFrame(() => requestAnimationFrame(takeUp));

const seconds = Number(document.body.dataset.reload);
if (seconds) {
  const box = byId("reloading").querySelector("input");
  byId("reloading").hidden = false;
  box.checked = view.reloads;
  box.addEventListener("change", () => change({ reloads: box.checked }));
  let touched = -Infinity;
  for (const kind of ["pointerdown", "keydown", "pointermove", "wheel", "touchstart"]) {
    window.addEventListener(kind, () => (touched = performance.now()), { passive: true });
  }
  setInterval(() => {
    // Not under the reader's hands, nor where nobody looks.
    if (!view.reloads || document.hidden || performance.now() - touched < 1000 * seconds) return;
    remember();
    location.reload();
  }, 1000 * seconds);
}
