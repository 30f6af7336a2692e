// Zooming and moving along: by buttons, keys, the wheel with Ctrl, and two fingers.

// Shows this part of the horizontal axis; the whole, where it is no less.
const zoomTo = (from, to, whole) => {
  const width = Math.min(to - from, whole);
  const start = Math.max(0, Math.min(from, whole - width));
  const all = width >= whole * (1 - 1e-6);
  change({ zoom: all ? null : [start, start + width], ...(all ? { heights: {} } : {}) });
};
const zoomBy = (chart, factor, center) => {
  const [from, to] = chart.rangeX;
  const fixed = center ?? (from + to) / 2;
  if (factor < 1 && to - from < chart.whole / 1e4) return;
  zoomTo(fixed - (fixed - from) * factor, fixed + (to - fixed) * factor, chart.whole);
};
const moveBy = (chart, share) => {
  const [from, to] = chart.rangeX;
  const step = share * (to - from);
  if (view.zoom) zoomTo(from + step, to + step, chart.whole);
};
const zoomReset = () => change({ zoom: null, heights: {} });

const ZOOM_KEYS = {
  "+": (chart) => zoomBy(chart, 0.5, chart.at),
  "=": (chart) => zoomBy(chart, 0.5, chart.at),
  "-": (chart) => zoomBy(chart, 2, chart.at),
  0: zoomReset,
  Escape: zoomReset,
};

// One finger reads, two zoom and move along; up and down the page scrolls as ever.
const listenToFingers = (chart) => {
  const { plot } = chart;
  const fingers = new Map();
  let begun = null;
  const across = (event) => event.clientX - plot.over.getBoundingClientRect().left;
  const pinch = () => {
    const [a, b] = [...fingers.values()];
    return { left: Math.min(a, b), right: Math.max(a, b) };
  };
  plot.over.addEventListener("pointerdown", (event) => {
    if (event.pointerType !== "touch") return;
    fingers.set(event.pointerId, across(event));
    chart.touched = true;
    if (fingers.size === 2) {
      const { left, right } = pinch();
      begun = { from: plot.posToVal(left, "x"), to: plot.posToVal(right, "x") };
    }
    plot.setCursor({ left: across(event), top: event.offsetY });
  });
  plot.over.addEventListener("pointermove", (event) => {
    if (!fingers.has(event.pointerId)) return;
    fingers.set(event.pointerId, across(event));
    if (fingers.size === 1) plot.setCursor({ left: across(event), top: event.offsetY });
  });
  // The two values that were under the fingers come under them again once they are lifted.
  const lift = (event) => {
    if (begun && fingers.size === 2) {
      const { left, right } = pinch();
      const scale = (begun.to - begun.from) / Math.max(20, right - left);
      const from = begun.from - left * scale;
      zoomTo(from, from + plot.over.clientWidth * scale, chart.whole);
      begun = null;
    }
    fingers.delete(event.pointerId);
    chart.touched = fingers.size > 0;
  };
  plot.over.addEventListener("pointerup", lift);
  plot.over.addEventListener("pointercancel", lift);
};

const listenToWheel = (chart) => {
  chart.plot.over.addEventListener(
    "wheel",
    (event) => {
      if (!event.ctrlKey && !event.metaKey) return;
      event.preventDefault();
      const left = event.clientX - chart.plot.over.getBoundingClientRect().left;
      zoomBy(chart, event.deltaY > 0 ? 1.25 : 0.8, chart.plot.posToVal(left, "x"));
    },
    { passive: false },
  );
};
