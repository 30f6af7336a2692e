// What is seen: the runs, and how the reader wants them. The other parts read `view`, change it by
// `change`, and say by `onChange` of which of its fields they want to hear.
const root = document.documentElement;
const byId = (id) => document.getElementById(id);
const { runs, flags, settings } = JSON.parse(byId("data").textContent);
runs.forEach((run, at) => {
  run.at = at;
});

const view = {
  search: "",
  experiment: "",
  dataset: "",
  state: "",
  group: "",
  folded: [], // groups whose rows are not shown
  drawn: runs.filter((run) => run.drawn).map((run) => run.name),
  colors: {}, // of runs whose own colour another one had
  metrics: ["top1", "loss"],
  axis: "epoch",
  smoothing: 0,
  training: true,
  zoom: null, // the part of the horizontal axis that is shown
  heights: {}, // and of the vertical one, by metric
  sort: null,
  columns: null,
  transposed: null,
  theme: null,
  reloads: true,
  places: null, // where the page and its lists were scrolled to when it loaded itself anew
  focused: "",
  // A page that loads itself anew goes on as it was.
  ...history.state?.view,
};

const listeners = [];
const onChange = (fields, listener) => {
  listeners.push([new Set(fields), listener]);
};
let saving = 0;
const save = () => history.replaceState({ view }, "");
const change = (part) => {
  Object.assign(view, part);
  for (const [fields, listener] of listeners) {
    if (Object.keys(part).some((field) => fields.has(field))) listener();
  }
  // Browsers slow down pages that write their state at every move of a slider.
  clearTimeout(saving);
  saving = setTimeout(save, 400);
};
window.addEventListener("hashchange", save);

const element = (tag, properties = {}, ...children) => {
  const made = Object.assign(document.createElement(tag), properties);
  made.append(...children);
  return made;
};

// One tab stop for many elements: the arrow keys go from one to the next. What is returned is to be
// called whenever the elements are others.
const roving = (container, selector, [before, after]) => {
  const items = () =>
    [...container.querySelectorAll(selector)].filter((item) => item.checkVisibility());
  const settle = () => {
    const all = [...container.querySelectorAll(selector)];
    const seen = items();
    const current = seen.find((item) => item.tabIndex === 0) ?? seen[0];
    for (const item of all) item.tabIndex = item === current ? 0 : -1;
  };
  container.addEventListener("keydown", (event) => {
    const all = items();
    const place = all.indexOf(event.target);
    const wanted = { [before]: place - 1, [after]: place + 1, Home: 0, End: all.length - 1 }[event.key];
    if (place < 0 || wanted === undefined || event.ctrlKey || event.metaKey) return;
    event.preventDefault();
    const next = all[Math.max(0, Math.min(all.length - 1, wanted))];
    event.target.tabIndex = -1;
    next.tabIndex = 0;
    next.focus();
  });
  container.addEventListener("focusin", (event) => {
    if (!event.target.matches(selector)) return;
    for (const item of container.querySelectorAll(selector)) item.tabIndex = -1;
    event.target.tabIndex = 0;
  });
  settle();
  return settle;
};
