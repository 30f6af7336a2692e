// The flags in which the shown runs differ: runs as rows, or as columns where they are few.
const FEW_RUNS = 5;

const flagCell = (value, usual) => {
  const text = value === null ? "-" : value || "(empty)";
  return element("td", { className: usual === undefined ? "" : value === usual ? "usual" : "other" }, element("code", { textContent: text }));
};

// The value that more than half of the runs have; undefined where there is none.
const usualOf = (values) => {
  const counts = new Map();
  for (const value of values) counts.set(value, (counts.get(value) ?? 0) + 1);
  const [usual, count] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
  return count > values.length / 2 ? usual : undefined;
};

const showFlags = () => {
  const described = shown.filter((run) => Object.values(flags).some((values) => values[run.at] !== null));
  const differing = Object.entries(flags)
    .map(([name, values]) => [name, described.map((run) => values[run.at])])
    .filter(([, values]) => new Set(values).size > 1);
  const place = byId("flags-table");
  byId("transpose").hidden = !differing.length;
  if (!differing.length) {
    place.replaceChildren(element("p", { textContent: "No two of these runs have different flags." }));
    return;
  }
  const runsAreRows = view.transposed ?? described.length > FEW_RUNS;
  const runHead = (run, scope) => element("th", { scope }, element("a", { href: `#${run.id}`, textContent: run.name, tabIndex: -1 }));
  const flagHead = (name, scope) => element("th", { scope }, element("code", { textContent: name }));
  const usual = new Map(differing.map(([name, values]) => [name, usualOf(values)]));
  const corner = element("th", { scope: "col", textContent: runsAreRows ? "run" : "flag" });
  const top = runsAreRows ? differing.map(([name]) => flagHead(name, "col")) : described.map((run) => runHead(run, "col"));
  const body = runsAreRows
    ? described.map((run, at) => element("tr", {}, runHead(run, "row"), ...differing.map(([name, values]) => flagCell(values[at], usual.get(name)))))
    : differing.map(([name, values]) => element("tr", {}, flagHead(name, "row"), ...values.map((value) => flagCell(value, usual.get(name)))));
  const scroll = element("div", { className: "scroll rows", tabIndex: 0 }, element("table", {}, element("thead", {}, element("tr", {}, corner, ...top)), element("tbody", {}, ...body)));
  scroll.setAttribute("role", "region");
  scroll.setAttribute("aria-label", "Flags that differ");
  place.replaceChildren(scroll);
};

byId("transpose").addEventListener("click", () => {
  const described = shown.length;
  change({ transposed: !(view.transposed ?? described > FEW_RUNS) });
});
byId("flags").hidden = !runs.length;
onChange([...FILTERS, "transposed"], showFlags);
showFlags();
