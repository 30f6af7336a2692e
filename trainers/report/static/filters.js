// Which runs are shown, in which groups, and in which colours.
const FILTERS = ["search", "experiment", "dataset", "state"];
const COLORS = 10;

const searched = runs.map((run) => {
  const set = Object.entries(flags).map(([name, values]) => `${name}=${values[run.at] ?? ""}`);
  return [run.name, run.net, run.dataset, run.state, run.notes, ...set].join("\n").toLowerCase();
});

let shown = [];
const filter = () => {
  const words = view.search.toLowerCase().split(/\s+/).filter(Boolean);
  shown = runs.filter(
    (run) =>
      words.every((word) => searched[run.at].includes(word)) &&
      ["experiment", "dataset", "state"].every((field) => !view[field] || run[field] === view[field]),
  );
  const all = shown.length === runs.length;
  byId("matches").textContent = all ? "" : `${shown.length} of ${runs.length} runs`;
  byId("clear").disabled = FILTERS.every((field) => !view[field]) && !view.group;
};

const groupOf = (run) => run[view.group] || "none";
const groups = () => [...new Set(shown.map(groupOf))].sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
// The shown runs by group, in the order of `list`; all in one where they are not grouped.
const grouped = (list) =>
  view.group
    ? groups().map((name) => [name, list.filter((run) => groupOf(run) === name)])
    : [[null, list]];

const isDrawn = (run) => view.drawn.includes(run.name);
const drawnRuns = () => shown.filter(isDrawn);
// In groups the runs of each have one colour.
const colorName = (run) => {
  const allGroups = view.group ? [...new Set(runs.map(groupOf))].sort() : null;
  return `--c${allGroups ? allGroups.indexOf(groupOf(run)) % COLORS : (view.colors[run.name] ?? run.color)}`;
};
const colorOf = (run) => `var(${colorName(run)})`;

// Draws a run in its own colour, or in one that no other has, while there is one.
const draw = (run) => {
  const taken = new Set(drawnRuns().map((other) => view.colors[other.name] ?? other.color));
  const free = [...Array(COLORS).keys()].find((color) => !taken.has(color));
  const own = view.colors[run.name] ?? run.color;
  const colors = taken.has(own) && free !== undefined ? { ...view.colors, [run.name]: free } : view.colors;
  change({ colors, drawn: [...view.drawn, run.name] });
};
const leaveOut = (run) => change({ drawn: view.drawn.filter((name) => name !== run.name) });
const toggle = (run) => (isDrawn(run) ? leaveOut(run) : draw(run));
// Draws these of the shown runs, and what is filtered out as it was.
const drawOnly = (list) => {
  const kept = view.drawn.filter((name) => !shown.some((run) => run.name === name));
  change({ drawn: [...kept, ...list.filter(hasCurve).map((run) => run.name)] });
};
const hasCurve = (run) => Object.keys(run.train).length + Object.keys(run.validation).length > 0;
const bestFirst = (list) => [...list].sort((a, b) => (b.top1 ?? -1) - (a.top1 ?? -1));

for (const field of ["experiment", "dataset", "state"]) {
  const values = [...new Set(runs.map((run) => run[field]))].filter(Boolean);
  values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
  byId(field).append(...values.map((value) => element("option", { value, textContent: value })));
}
for (const field of [...FILTERS, "group"]) {
  byId(field).value = view[field];
  byId(field).addEventListener("input", () => change({ [field]: byId(field).value }));
}
byId("clear").addEventListener("click", () => {
  for (const field of [...FILTERS, "group"]) byId(field).value = "";
  change({ search: "", experiment: "", dataset: "", state: "", group: "", folded: [] });
});
byId("filters").addEventListener("submit", (event) => event.preventDefault());
byId("filters").hidden = !runs.length;
onChange([...FILTERS, "group"], filter);
filter();
