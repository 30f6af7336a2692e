// The list beside the charts: which runs are drawn, in which colour.
const legendItems = new Map();
const legendItem = (run) => {
  const input = element("input", { type: "checkbox" });
  input.addEventListener("change", () => toggle(run));
  const swatch = element("span", { className: "swatch" });
  const value = element("small", { textContent: run.top1 === null ? "" : percents(run.top1) });
  const item = element("li", {}, element("label", {}, input, swatch, element("span", { className: "name", textContent: run.name }), value));
  item.addEventListener("pointerenter", () => emphasize(run));
  item.addEventListener("pointerleave", () => emphasize(null));
  input.addEventListener("focus", () => emphasize(run));
  input.addEventListener("blur", () => emphasize(null));
  return { item, input, swatch };
};

// Sets the others' curves back.
const emphasize = (run) => {
  for (const { plot, curves } of charts.values()) {
    const at = run ? curves.findLastIndex((curve) => curve.run === run) : -1;
    plot?.setSeries(at < 0 ? null : at + 1, { focus: true });
  }
};

for (const run of runs.filter(hasCurve)) legendItems.set(run, legendItem(run));
const settleLegend = roving(byId("legend"), "input", ["ArrowUp", "ArrowDown"]);

const showLegend = () => {
  const parts = [];
  for (const [name, list] of grouped(bestFirst(shown).filter(hasCurve))) {
    if (name !== null) parts.push(groupHeading(name, list));
    if (!view.folded.includes(name)) parts.push(...list.map((run) => legendItems.get(run).item));
  }
  const list = byId("legend");
  // Moving an element takes the focus from it.
  if (parts.length !== list.children.length || parts.some((part, at) => part !== list.children[at])) {
    const focused = document.activeElement;
    list.replaceChildren(...parts);
    if (list.contains(focused)) focused.focus();
  }
  for (const [run, { input, swatch }] of legendItems) {
    input.checked = isDrawn(run);
    swatch.style.setProperty("--color", input.checked ? colorOf(run) : "transparent");
  }
  settleLegend();
};

const groupHeading = (name, list) => {
  const input = element("input", { type: "checkbox", checked: list.every(isDrawn) });
  input.indeterminate = !input.checked && list.some(isDrawn);
  input.addEventListener("change", () => {
    const others = shown.filter((run) => !list.includes(run) && isDrawn(run));
    drawOnly(input.checked ? [...others, ...list] : others);
  });
  return element("li", { className: "group" }, element("label", {}, input, element("span", { className: "name", textContent: name }), element("small", { textContent: `${list.length}` })));
};

byId("draw-all").addEventListener("click", () => drawOnly(shown));
byId("draw-none").addEventListener("click", () => drawOnly([]));
byId("draw-best").addEventListener("click", () => drawOnly(bestFirst(shown.filter(hasCurve)).slice(0, 8)));
onChange([...FILTERS, "group", "folded", "drawn", "colors"], showLegend);
showLegend();
