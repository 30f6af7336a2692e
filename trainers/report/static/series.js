// The numbers behind the curves: points of a run, smoothed, and the ranges of axes.
const percents = (value) => `${(100 * value).toFixed(1)} %`;
const short = (value) => `${+value.toPrecision(3)}`;
const METRICS = {
  top1: { title: "Top-1 accuracy", show: percents, tick: (v) => `${+(100 * v).toFixed(2)} %` },
  top5: { title: "Top-5 accuracy", show: percents, tick: (v) => `${+(100 * v).toFixed(2)} %` },
  loss: { title: "Loss (nats)", show: (v) => v.toFixed(3), tick: short },
  rate: { title: "Learning rate", show: short, tick: short },
  norm: { title: "Gradient norm", show: short, tick: short },
  speed: { title: "Images/s", show: (v) => v.toFixed(0), tick: short },
  wait: { title: "Waiting for data", show: percents, tick: (v) => `${+(100 * v).toFixed(2)} %` },
};
// What is so many times as large as this share of the losses would flatten the rest, as in curves.png.
const { spike, usualShare, few } = settings;

const known = (key) => runs.some((run) => run.train[key] || run.validation[key]);

// Time has one unit for all that is drawn.
const TIMES = [
  ["days", 86400],
  ["hours", 3600],
  ["minutes", 60],
  ["seconds", 1],
];
const timeUnit = () => {
  const most = Math.max(1, ...drawnRuns().flatMap((run) => [run.train.time?.at(-1) ?? 0, run.validation.time?.at(-1) ?? 0]));
  return TIMES.find(([, seconds]) => most >= 2 * seconds) ?? TIMES.at(-1);
};
const axisTitle = () => (view.axis === "time" ? `${timeUnit()[0]} of training` : view.axis);

// TensorBoard's smoothing: an exponential moving mean, freed of its start at zero.
const smoothed = (values) => {
  let mean = 0;
  return values.map((value, place) => {
    mean = view.smoothing * mean + (1 - view.smoothing) * value;
    return mean / (1 - view.smoothing ** (place + 1));
  });
};

// x, y and raw values of a run's curve, without those that are not known.
const points = (run, split, key) => {
  const columns = run[split];
  const scale = view.axis === "time" ? timeUnit()[1] : 1;
  const places = [...(columns[key] ?? []).keys()].filter(
    (at) => columns[key][at] !== null && (columns[view.axis]?.[at] ?? null) !== null,
  );
  const raw = places.map((at) => columns[key][at]);
  return { x: places.map((at) => columns[view.axis][at] / scale), y: smoothed(raw), raw };
};

const most = (list, start) => list.reduce((a, b) => Math.max(a, b), start);
const least = (list, start) => list.reduce((a, b) => Math.min(a, b), start);

const wholeX = (curves) => most(curves.map(({ x }) => x.at(-1) ?? 0), 0) || 1;

// What a chart shows from bottom to top: all values in view, from zero where all is in view.
const rangeY = (key, curves, [from, to], published) => {
  if (view.heights[key]) return view.heights[key];
  const values = curves.flatMap(({ x, y }) => y.filter((_, at) => x[at] >= from && x[at] <= to));
  if (view.zoom) {
    if (!values.length) return [0, 1];
    const [low, high] = [least(values, Infinity), most(values, -Infinity)];
    const margin = 0.06 * (high - low) || 0.06 * Math.abs(high) || 1;
    return [low - margin, high + margin];
  }
  const usual = [...values].sort((a, b) => a - b)[Math.floor(usualShare * (values.length - 1))];
  const spikes = key === "loss" && values.length >= few;
  const kept = spikes ? values.filter((value) => value <= spike * usual) : [...values, ...published];
  return [0, 1.05 * most(kept, 0) || 1];
};

// The place in a sorted list that is nearest to `wanted`; -1 in an empty one.
const nearestPlace = (list, wanted) => {
  let [low, high] = [0, list.length - 1];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (list[middle] < wanted) low = middle + 1;
    else high = middle;
  }
  return low > 0 && wanted - list[low - 1] < list[low] - wanted ? low - 1 : list.length ? low : -1;
};
