// The table of runs: sorted by a click on a column's head, filtered and grouped as the curves are.
const table = byId("table");
const rowOf = new Map([...(table?.tBodies[0].rows ?? [])].map((row) => [runs[row.dataset.run], row]));
const heads = [...(table?.tHead.rows[0].cells ?? [])];

// A click sorts, the next one turns the order round. What has no value stays at the end.
const sortBy = (column) => {
  const first = heads[column].dataset.first === "ascending";
  const ascending = view.sort?.column === column ? !view.sort.ascending : first;
  change({ sort: { column, ascending } });
};
const sorted = (list) => {
  if (!view.sort || !heads[view.sort.column]) return list;
  const { column, ascending } = view.sort;
  const numeric = heads[column].classList.contains("number");
  const key = (run) => rowOf.get(run).cells[column].dataset.value ?? "";
  return [...list].sort((a, b) => {
    const [x, y] = [key(a), key(b)];
    if (x === "" || y === "") return (x === "") - (y === "");
    const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
    return ascending ? order : -order;
  });
};

const groupRow = (name, list) => {
  const best = bestFirst(list)[0];
  const folded = view.folded.includes(name);
  const said = `${list.length} run${list.length === 1 ? "" : "s"}${best?.top1 ? `, best top-1 ${percents(best.top1)}` : ""}`;
  const button = element("button", { type: "button" }, `${folded ? "▸" : "▾"} ${name}`);
  button.setAttribute("aria-expanded", String(!folded));
  button.addEventListener("click", () => {
    change({ folded: folded ? view.folded.filter((each) => each !== name) : [...view.folded, name] });
    [...table.querySelectorAll("tr.group button")].find((each) => each.dataset.group === name)?.focus();
  });
  button.dataset.group = name;
  const head = element("th", { colSpan: heads.length, scope: "rowgroup" }, element("div", {}, button, element("small", { textContent: said })));
  return element("tr", { className: "group" }, head);
};

const showTable = () => {
  if (!table) return;
  const rows = [];
  for (const [name, list] of grouped(sorted(shown))) {
    if (name !== null) rows.push(groupRow(name, list));
    if (!view.folded.includes(name)) rows.push(...list.map((run) => rowOf.get(run)));
  }
  table.tBodies[0].replaceChildren(...rows);
  heads.forEach((head, column) => {
    if (view.sort?.column === column) head.setAttribute("aria-sort", view.sort.ascending ? "ascending" : "descending");
    else head.removeAttribute("aria-sort");
  });
  settleRows();
};

const showSwatches = () => {
  for (const [run, row] of rowOf) {
    const button = row.querySelector("button.draw");
    button?.setAttribute("aria-pressed", String(isDrawn(run)));
    button?.style.setProperty("--color", isDrawn(run) ? colorOf(run) : "transparent");
  }
};

const showColumns = () => {
  if (!view.columns) return;
  const hidden = heads.slice(1).map((head) => head.dataset.column).filter((column) => !view.columns.includes(column));
  const selectors = hidden.map((column) => `[data-column="${column}"]`).join(",");
  byId("hidden-columns").textContent = selectors && `${selectors}{display:none}`;
};

const columnInputs = [...byId("columns").querySelectorAll("input")];
for (const input of columnInputs) {
  if (view.columns) input.checked = view.columns.includes(input.value);
  input.addEventListener("change", () => change({ columns: columnInputs.filter(({ checked }) => checked).map(({ value }) => value) }));
}
document.addEventListener("pointerdown", (event) => {
  if (!byId("columns").contains(event.target)) byId("columns").open = false;
});
byId("columns").addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  byId("columns").open = false;
  byId("columns").querySelector("summary").focus();
});
byId("columns").hidden = !table;

heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => sortBy(column)));
for (const [run, row] of rowOf) row.querySelector("button.draw")?.addEventListener("click", () => toggle(run));
if (table) roving(table.tHead, "button", ["ArrowLeft", "ArrowRight"]);
const settleRows = table ? roving(table.tBodies[0], "a, tr.group button", ["ArrowUp", "ArrowDown"]) : () => {};
// On a run's name the space bar draws it, or leaves it out.
for (const [run, row] of rowOf) {
  const button = row.querySelector("button.draw");
  if (button) button.tabIndex = -1;
  row.querySelector("a").addEventListener("keydown", (event) => {
    if (event.key !== " " || !hasCurve(run)) return;
    event.preventDefault();
    toggle(run);
  });
}

onChange([...FILTERS, "group", "folded", "sort"], showTable);
onChange(["group", "drawn", "colors"], showSwatches);
onChange(["columns"], showColumns);
showTable();
showSwatches();
showColumns();
