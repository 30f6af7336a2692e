// The reading: what every drawn run has at the pointer, or where the arrow keys stand.
const MOST_READ = 12;

// The curve that a metric is read from: that of validation, where it has one.
const readSplit = (key) =>
  drawnRuns().some((run) => run.validation[key]) ? "validation" : "train";

// Where the arrow keys stop: at each point of any run that is in view.
const stops = (chart) => {
  const [from, to] = chart.rangeX;
  const all = chart.curves.filter(({ split }) => split === readSplit(chart.key)).flatMap(({ x }) => x);
  return [...new Set(all)].filter((x) => x >= from && x <= to).sort((a, b) => a - b);
};

// A curve's value at x: that of the point nearest to it, which is no further than its neighbours
// are from each other.
const valueAt = ({ x, y, raw }, wanted, whole) => {
  const place = nearestPlace(x, wanted);
  if (place < 0) return null;
  const gap = x.length > 1 ? Math.abs(x[place] - x[place > 0 ? place - 1 : 1]) : whole / 20;
  if (Math.abs(x[place] - wanted) > 0.6 * gap) return null;
  return { value: y[place], raw: raw[place] };
};

// What the runs have at x, from the top down.
const readingAt = (chart, x) => {
  const [from, to] = chart.rangeX;
  const split = readSplit(chart.key);
  const byRun = new Map();
  for (const curve of chart.curves) {
    const found = valueAt(curve, x, to - from);
    if (!found) continue;
    if (!byRun.has(curve.run)) byRun.set(curve.run, {});
    byRun.get(curve.run)[curve.split] = found;
  }
  return [...byRun]
    .filter(([, found]) => found[split])
    .map(([run, found]) => ({ run, ...found[split], train: split === "train" ? null : found.train }))
    .sort((a, b) => b.value - a.value);
};

const axisValue = (x) => (view.axis === "step" ? Math.round(x).toLocaleString("en") : `${+x.toPrecision(5)}`);
const readingTitle = (x) => (view.axis === "time" ? `${axisValue(x)} ${timeUnit()[0]}` : `${view.axis} ${axisValue(x)}`);
const readingText = (key, { value, raw }) => {
  const text = METRICS[key].show(value);
  return view.smoothing > 0 && raw !== value ? `${text} (${METRICS[key].show(raw)})` : text;
};

// The box beside the pointer; at height `y` of the axis it has the runs nearest to that.
const showReading = (chart, x, y) => {
  const { box, key, plot } = chart;
  const all = readingAt(chart, x);
  box.hidden = !all.length;
  if (!all.length) return [];
  const near = new Set([...all].sort((a, b) => Math.abs(a.value - y) - Math.abs(b.value - y)).slice(0, MOST_READ));
  const nearest = [...near][0];
  const rows = all.filter((found) => near.has(found)).map((found) => {
    const swatch = element("span", { className: "swatch" });
    swatch.style.setProperty("--color", colorOf(found.run));
    const cells = [
      element("td", {}, swatch, found.run.name),
      element("td", { className: "number", textContent: readingText(key, found) }),
      element("td", { className: "number quiet", textContent: found.train ? METRICS[key].show(found.train.value) : "" }),
    ];
    return element("tr", { className: found === nearest && Number.isFinite(y) ? "nearest" : "" }, ...cells);
  });
  const head = element("tr", {}, element("th", { textContent: readingTitle(x) }));
  if (all.some((found) => found.train)) {
    head.append(element("th", { className: "number", textContent: "validation" }), element("th", { className: "number", textContent: "training" }));
  }
  box.replaceChildren(element("table", {}, element("thead", {}, head), element("tbody", {}, ...rows)));
  if (all.length > rows.length) box.append(element("p", { textContent: `and ${all.length - rows.length} more` }));
  const at = plot.valToPos(x, "x");
  const right = at > plot.over.clientWidth / 2;
  box.style.left = right ? "auto" : `${plot.over.offsetLeft + at + 14}px`;
  box.style.right = right ? `${chart.frame.clientWidth - plot.over.offsetLeft - at + 14}px` : "auto";
  return all;
};

// What the arrow keys have come to, in words.
const sayReading = (chart, x, all) => {
  const parts = [`${readingTitle(x)}:`, ...all.slice(0, MOST_READ).map((found) => `${found.run.name} ${readingText(chart.key, found)}`)];
  byId("reading").textContent = parts.join("\n");
};

const hideReading = (chart) => {
  chart.box.hidden = true;
};
