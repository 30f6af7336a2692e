// The charts: one for each metric that is chosen, drawn by uPlot, all over the same axis.
const HEIGHTS = { least: 220, most: 360, share: 0.55 };
// A curve of so many points has each marked, where so few runs are drawn.
const MOST_MARKED = { points: 40, runs: 10 };
const charts = new Map();

const chartOf = (key) => {
  if (charts.has(key)) return charts.get(key);
  const title = element("h3", { textContent: METRICS[key].title });
  const frame = element("div", { className: "frame", tabIndex: 0 });
  frame.setAttribute("role", "group");
  frame.setAttribute("aria-roledescription", "chart");
  const box = element("div", { className: "box", hidden: true });
  box.setAttribute("aria-hidden", "true");
  const figure = element("figure", {}, title, frame, box);
  figure.dataset.metric = key;
  const chart = { key, figure, frame, box, plot: null, curves: [], rangeX: [0, 1], whole: 1, at: null, touched: false, byKey: false };
  frame.addEventListener("keydown", (event) => useKey(chart, event));
  frame.addEventListener("blur", () => {
    if (!frame.contains(document.activeElement)) hideReading(chart);
  });
  charts.set(key, chart);
  return chart;
};

const curvesOf = (key) =>
  drawnRuns()
    .flatMap((run) => (view.training || !run.validation[key] ? ["train", "validation"] : ["validation"]).map((split) => ({ run, split, ...points(run, split, key) })))
    .filter(({ x }) => x.length);

const seriesOf = (crowded) => ({ run, split, x }) => {
  const stroke = colorValue(colorName(run));
  const solid = split === "validation";
  return {
    facets: [{ scale: "x", auto: true }, { scale: "y", auto: true }],
    stroke,
    width: solid && !crowded ? 2.25 : 1.25,
    dash: solid ? undefined : [3, 3],
    paths: uPlot.paths.linear(),
    points: {
      show: x.length === 1 || (solid && !crowded && x.length <= MOST_MARKED.points),
      size: 6,
      fill: colorValue("--card"),
      paths: (plot, index) => uPlot.paths.points()(plot, index, 0, x.length - 1),
    },
  };
};

const drawChart = (chart) => {
  const { key, frame } = chart;
  chart.plot?.destroy();
  chart.plot = null;
  hideReading(chart);
  chart.curves = curvesOf(key);
  const names = drawnRuns().map((run) => run.name);
  const said = names.length > 8 ? `${names.length} runs` : names.join(", ") || "no run";
  frame.setAttribute("aria-label", `${METRICS[key].title} over ${axisTitle()}: ${said}`);
  if (!chart.curves.length) {
    frame.replaceChildren(element("p", { className: "hint", textContent: shown.length ? "No run that is drawn has this." : "No run is left by the filters." }));
    return;
  }
  frame.replaceChildren();
  chart.whole = wholeX([...charts.values()].filter(({ key }) => view.metrics.includes(key)).flatMap(({ key }) => curvesOf(key)));
  chart.rangeX = view.zoom ?? [0, chart.whole];
  const published = key === "top1" ? publishedNets() : [];
  const rangeOfY = rangeY(key, chart.curves, chart.rangeX, published.map(([, run]) => run.published));
  const width = Math.max(200, frame.clientWidth);
  const [quiet, line] = [colorValue("--quiet"), colorValue("--line")];
  const axis = { stroke: quiet, font: "12px system-ui, sans-serif", grid: { stroke: line, width: 1 }, ticks: { stroke: line, width: 1, size: 5 } };
  chart.plot = new uPlot(
    {
      mode: 2,
      width,
      height: Math.round(Math.min(HEIGHTS.most, Math.max(HEIGHTS.least, HEIGHTS.share * width))),
      padding: [8, 12, 0, 0],
      scales: { x: { time: false, range: () => chart.rangeX }, y: { range: () => rangeOfY } },
      axes: [
        { ...axis, space: 60, size: 28, label: axisTitle(), labelGap: 0, labelSize: 18, labelFont: "12px system-ui, sans-serif", values: (_, ticks) => ticks.map((tick) => (tick >= 1e5 ? `${+(tick / 1000).toPrecision(6)}k` : `${+tick.toPrecision(6)}`)) },
        { ...axis, space: 42, size: 56, values: (_, ticks) => ticks.map(METRICS[key].tick) },
      ],
      legend: { show: false },
      focus: { alpha: 0.35 },
      cursor: {
        y: false,
        points: { one: true, size: 9, width: 2, fill: colorValue("--card"), stroke: (plot, index) => plot.series[index].stroke(plot, index) },
        focus: { prox: 22 },
        sync: { key: "curves", scales: ["x", null] },
        drag: { x: true, y: true, uni: 24, dist: 6, setScale: false },
        dataIdx: (plot, index) => Math.max(0, nearestPlace(plot.data[index][0], plot.posToVal(plot.cursor.left, "x"))),
        bind: { dblclick: () => zoomReset },
      },
      series: [{}, ...chart.curves.map(seriesOf(names.length > MOST_MARKED.runs))],
      hooks: { setCursor: [() => followCursor(chart)], setSelect: [() => zoomToSelection(chart)], draw: [(plot) => drawPublished(plot, published)] },
    },
    [null, ...chart.curves.map(({ x, y }) => [x, y])],
    frame,
  );
  listenToFingers(chart);
  listenToWheel(chart);
};

// The pointer's reading is at the point of some run that is nearest to it.
const followCursor = (chart) => {
  const { plot } = chart;
  const hovered = plot?.over.matches(":hover") || chart.touched || chart.byKey;
  if (!plot || plot.cursor.left < 0 || !hovered) {
    hideReading(chart);
    return;
  }
  const all = stops(chart);
  const x = all[nearestPlace(all, plot.posToVal(plot.cursor.left, "x"))];
  if (x === undefined) return;
  chart.at = x;
  showReading(chart, x, chart.byKey ? NaN : plot.posToVal(plot.cursor.top, "y"));
};

const zoomToSelection = (chart) => {
  const { plot } = chart;
  const { left, top, width, height } = plot.select;
  plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
  if (width < 2) return;
  const part = {};
  const [whole, tall] = [plot.over.clientWidth, plot.over.clientHeight];
  if (width < whole - 1) part.zoom = [plot.posToVal(left, "x"), plot.posToVal(left + width, "x")];
  if (height > 2 && height < tall - 1) {
    part.heights = { ...view.heights, [chart.key]: [plot.posToVal(top + height, "y"), plot.posToVal(top, "y")] };
    part.zoom ??= chart.rangeX;
  }
  change(part);
};

const useKey = (chart, event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !chart.plot) return;
  const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
  if (step && event.shiftKey) moveBy(chart, 0.25 * step);
  else if (step || event.key === "Home" || event.key === "End") readByKey(chart, event.key, step);
  else if (event.key in ZOOM_KEYS) ZOOM_KEYS[event.key](chart);
  else return;
  event.preventDefault();
};

const readByKey = (chart, key, step) => {
  const all = stops(chart);
  if (!all.length) return;
  const before = chart.at === null ? (step > 0 ? -1 : all.length) : nearestPlace(all, chart.at);
  const place = { Home: 0, End: all.length - 1 }[key] ?? Math.max(0, Math.min(all.length - 1, before + step));
  chart.at = all[place];
  chart.byKey = true;
  chart.plot.setCursor({ left: chart.plot.valToPos(chart.at, "x"), top: 0 });
  sayReading(chart, chart.at, showReading(chart, chart.at, NaN));
  chart.byKey = false;
};

// The first drawn run of each net whose accuracy was published.
const publishedNets = () => {
  const nets = new Map();
  for (const run of drawnRuns()) if (run.published !== null && !nets.has(run.net)) nets.set(run.net, run);
  return [...nets];
};

// A line for each net, with its name where no other name is: at the right, the middle or the left.
const drawPublished = (plot, published) => {
  const { ctx, bbox } = plot;
  const scale = devicePixelRatio;
  const places = [
    { x: bbox.left + bbox.width - 4 * scale, align: "right" },
    { x: bbox.left + bbox.width / 2, align: "center" },
    { x: bbox.left + 6 * scale, align: "left" },
  ].map((place) => ({ ...place, taken: [] }));
  ctx.save();
  ctx.beginPath();
  ctx.rect(bbox.left, bbox.top, bbox.width, bbox.height);
  ctx.clip();
  ctx.font = `${12 * scale}px system-ui, sans-serif`;
  ctx.lineWidth = 1.25 * scale;
  for (const [net, run] of published) {
    const y = plot.valToPos(run.published, "y", true);
    const free = places.find(({ taken }) => taken.every((other) => Math.abs(other - y) > 14 * scale)) ?? places[0];
    free.taken.push(y);
    ctx.strokeStyle = ctx.fillStyle = colorValue(colorName(run));
    ctx.setLineDash([9 * scale, 5 * scale]);
    ctx.beginPath();
    ctx.moveTo(bbox.left, y);
    ctx.lineTo(bbox.left + bbox.width, y);
    ctx.stroke();
    ctx.setLineDash([]);
    ctx.textAlign = free.align;
    ctx.lineWidth = 4 * scale;
    ctx.strokeStyle = colorValue("--card");
    ctx.strokeText(net, free.x, y - 4 * scale);
    ctx.fillText(net, free.x, y - 4 * scale);
    ctx.lineWidth = 1.25 * scale;
  }
  ctx.restore();
};

const drawCharts = () => {
  const wanted = view.metrics.map(chartOf);
  const here = [...byId("charts").children];
  if (wanted.some(({ figure }, at) => here[at] !== figure) || here.length !== wanted.length) {
    byId("charts").replaceChildren(...wanted.map(({ figure }) => figure));
  }
  wanted.forEach(drawChart);
  byId("zoom-out").disabled = byId("zoom-reset").disabled = !view.zoom && !Object.keys(view.heights).length;
};

// The controls above the charts.
const metricChoices = Object.keys(METRICS).filter(known);
view.metrics = view.metrics.filter((key) => metricChoices.includes(key));
for (const key of metricChoices) {
  const input = element("input", { type: "checkbox", value: key, checked: view.metrics.includes(key) });
  input.addEventListener("change", () => {
    const chosen = new Set([...byId("metrics").querySelectorAll(":checked")].map(({ value }) => value));
    change({ metrics: metricChoices.filter((each) => chosen.has(each)) });
  });
  byId("metrics").append(element("label", {}, input, element("span", { textContent: METRICS[key].title })));
}
roving(byId("metrics"), "input", ["ArrowLeft", "ArrowRight"]);
for (const input of byId("axis").querySelectorAll("input")) {
  input.checked = input.value === view.axis;
  input.addEventListener("change", () => change({ axis: input.value, zoom: null, heights: {} }));
}
const showSmoothing = () => {
  byId("smoothed").textContent = view.smoothing.toFixed(2);
};
byId("smoothing").value = view.smoothing;
byId("smoothing").addEventListener("input", () => change({ smoothing: Number(byId("smoothing").value) }));
onChange(["smoothing"], showSmoothing);
showSmoothing();
byId("training").checked = view.training;
byId("training").addEventListener("change", () => change({ training: byId("training").checked }));
const firstChart = () => charts.get(view.metrics.find((key) => charts.get(key)?.plot));
byId("zoom-in").addEventListener("click", () => firstChart() && zoomBy(firstChart(), 0.5));
byId("zoom-out").addEventListener("click", () => firstChart() && zoomBy(firstChart(), 2));
byId("zoom-reset").addEventListener("click", zoomReset);
byId("board").hidden = false;
byId("curves").hidden = !runs.some(hasCurve);

onChange([...FILTERS, "group", "drawn", "colors", "metrics", "axis", "smoothing", "training", "zoom", "heights", "theme"], drawCharts);
let drawnWidth = 0;
new ResizeObserver(([entry]) => {
  if (Math.round(entry.contentRect.width) === drawnWidth) return;
  drawnWidth = Math.round(entry.contentRect.width);
  drawCharts();
}).observe(byId("charts"));
