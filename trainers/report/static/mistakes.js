// What a run gets wrong: the confusion matrix, whose cells open galleries of their images.
const pictures = JSON.parse(byId("pictures").textContent);
const mistakes = JSON.parse(byId("mistakes").textContent);
// Where the shades of a cell begin: by the share of its class's images that are in it.
const SHADES = [0.02, 0.1, 0.25, 0.5];
const shadeOf = (share) => 1 + SHADES.filter((least) => share >= least).length;
const images = (count) => `${count} image${count === 1 ? "" : "s"}`;
const share = (value) => `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %`;

// One image with what was said of it.
const shownImage = (found, position) => {
  const { name, label, said, loss, picture } = found.images[position];
  const class_ = (each) => found.classes[each] ?? `class ${each}`;
  const drawing = picture
    ? element("img", { alt: `${class_(label)}: ${name}`, src: `data:image/jpeg;base64,${pictures[picture]}` })
    : element("span", { className: "no-picture", textContent: "no picture" });
  const guesses = said.map(([each, probability], place) =>
    element("li", { className: each === label ? "right" : place ? "" : "wrong", textContent: `${class_(each)} ${share(probability)}` }),
  );
  const lines = [
    element("strong", { textContent: class_(label) }),
    element("ol", {}, ...guesses),
    element("small", { textContent: `${name}, loss ${loss ?? "not finite"}` }),
  ];
  return element("li", {}, drawing, element("div", {}, ...lines));
};

const fillMistakes = (place) => {
  const found = mistakes[place.dataset.mistakes];
  if (place.children.length || !found) return;
  const name = (label) => found.classes[label];
  const cellOf = new Map(found.cells.map((cell) => [`${cell[0]} ${cell[1]}`, cell]));
  const title = element("h5", { tabIndex: -1 });
  title.setAttribute("aria-live", "polite");
  const gallery = element("ul", { className: "gallery" });
  const show = (said, list, more = "") => {
    title.textContent = said;
    gallery.replaceChildren(...list.map((position) => shownImage(found, position)));
    if (more) gallery.append(element("li", { className: "hint", textContent: more }));
    for (const button of place.querySelectorAll("[aria-pressed]")) button.setAttribute("aria-pressed", "false");
  };
  const showWorst = () => show("The worst: the truth seemed least likely", found.worst);
  const showPair = (label, predicted, count) => {
    const listed = cellOf.get(`${label} ${predicted}`)?.[3] ?? [];
    const more = count > listed.length ? `${images(count - listed.length)} more ${listed.length ? "" : "are in the saved predictions: runs.py mistakes lists them"}` : "";
    show(`${name(label)} taken for ${name(predicted)}: ${images(count)}`, listed, more);
  };
  const showClass = (at) => {
    const row = found.counts[at];
    const others = row.map((count, to) => [count, to]).filter(([count, to]) => count && to !== at).sort((a, b) => b[0] - a[0]);
    const taken = others.map(([count, to]) => `${name(found.shown[to])} ${count}`).join(", ");
    show(`${name(found.shown[at])}: ${images(row[at])} right`, [], taken ? `taken for ${taken}` : "none of them taken for another");
  };
  const press = (button, action) => {
    button.setAttribute("aria-pressed", "false");
    button.addEventListener("click", () => {
      action();
      button.setAttribute("aria-pressed", "true");
    });
    return button;
  };

  const heads = found.shown.map((label) => element("th", { scope: "col" }, element("span", { textContent: name(label) })));
  const rows = found.counts.map((row, at) => {
    const sum = row.reduce((a, b) => a + b, 0);
    const cells = row.map((count, to) => {
      if (!count) return element("td");
      const [label, predicted] = [found.shown[at], found.shown[to]];
      const button = element("button", { type: "button", className: `${at === to ? "right" : "wrong"} shade${shadeOf(count / sum)}`, textContent: count });
      button.setAttribute("aria-label", at === to ? `${name(label)}: ${count} right` : `${name(label)} taken for ${name(predicted)}: ${count}`);
      button.title = button.getAttribute("aria-label");
      press(button, () => (at === to ? showClass(at) : showPair(label, predicted, count)));
      return element("td", {}, button);
    });
    return element("tr", {}, element("th", { scope: "row", title: name(found.shown[at]) }, element("span", { textContent: name(found.shown[at]) })), ...cells);
  });
  const head = element("tr", {}, element("th", { className: "corner", textContent: "is \\ taken for" }), ...heads);
  const matrix = element("table", { className: "matrix" }, element("thead", {}, head), element("tbody", {}, ...rows));
  const box = element("div", { className: "scroll rows" }, matrix);
  const all = found.shown.length === found.all;
  const hint = `Rows are what images are, columns what they were taken for${all ? "" : `; the ${found.shown.length} of ${found.all} classes with the most mistakes`}. A cell shows its images; the arrow keys go from cell to cell.`;

  const pairs = found.cells.slice(0, found.pairs).map(([label, predicted, count]) => {
    const button = element("button", { type: "button" }, element("span", { textContent: `${name(label)} → ${name(predicted)}` }), element("small", { textContent: count }));
    return element("li", {}, press(button, () => showPair(label, predicted, count)));
  });
  const worst = press(element("button", { type: "button", textContent: "The worst images" }), showWorst);
  const list = element("ul", { className: "pairs" }, element("li", {}, worst), ...pairs);
  place.append(
    element("div", { className: "matrix-side" }, box, element("p", { className: "hint", textContent: hint })),
    element("div", { className: "pairs-side" }, list),
    element("div", { className: "gallery-side" }, title, gallery),
  );
  walkCells(matrix);
  roving(list, "button", ["ArrowUp", "ArrowDown"]);
  worst.click();
};

// One tab stop for the matrix: the arrow keys go to the next cell that counts anything.
const walkCells = (matrix) => {
  const buttons = [...matrix.querySelectorAll("button")];
  const enter = (button) => {
    for (const each of buttons) each.tabIndex = each === button ? 0 : -1;
  };
  enter(buttons[0]);
  matrix.addEventListener("focusin", (event) => enter(event.target));
  matrix.addEventListener("keydown", (event) => {
    const way = { ArrowLeft: [0, -1], ArrowRight: [0, 1], ArrowUp: [-1, 0], ArrowDown: [1, 0] }[event.key];
    if (!way) return;
    event.preventDefault();
    let cell = event.target.parentElement;
    do {
      const row = matrix.tBodies[0].rows[cell.parentElement.sectionRowIndex + way[0]];
      cell = row?.cells[cell.cellIndex + way[1]];
    } while (cell?.matches("td") && !cell.firstElementChild);
    if (cell?.matches("td")) cell.firstElementChild.focus();
  });
};
