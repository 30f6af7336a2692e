"use strict";
// The report's three behaviours: the theme, the table that sorts, and the curves.
(() => {
  const root = document.documentElement;
  const byId = (id) => document.getElementById(id);

  // The theme: as the system has it, until the button is used.
  const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
  let chosen = null;
  const showTheme = () => {
    const theme = chosen ?? (systemDark.matches ? "dark" : "light");
    root.dataset.theme = theme;
    byId("theme").textContent = theme === "dark" ? "Light theme" : "Dark theme";
  };
  byId("theme").addEventListener("click", () => {
    chosen = root.dataset.theme === "dark" ? "light" : "dark";
    showTheme();
  });
  systemDark.addEventListener("change", showTheme);
  showTheme();

  // The table: a click sorts by a column, the next one turns the order round. What has no value
  // stays at the end.
  const table = document.querySelector("#runs table");
  const sortBy = (header) => {
    const column = [...header.parentNode.children].indexOf(header);
    const wasAscending = header.getAttribute("aria-sort") === "ascending";
    const first = header.dataset.first ?? "ascending";
    const unsorted = !header.hasAttribute("aria-sort");
    const ascending = unsorted ? first === "ascending" : !wasAscending;
    for (const other of header.parentNode.children) other.removeAttribute("aria-sort");
    header.setAttribute("aria-sort", ascending ? "ascending" : "descending");
    const numeric = header.classList.contains("number");
    const key = (row) => row.children[column].dataset.value ?? "";
    const compare = (a, b) => {
      const [x, y] = [key(a), key(b)];
      if (x === "" || y === "") return (x === "") - (y === "");
      const order = numeric ? Number(x) - Number(y) : x.localeCompare(y, "en", { numeric: true });
      return ascending ? order : -order;
    };
    const body = table.tBodies[0];
    body.append(...[...body.rows].sort(compare));
  };
  for (const button of table?.querySelectorAll("thead button") ?? []) {
    button.addEventListener("click", () => sortBy(button.closest("th")));
  }

  // A link to a run opens its details.
  const openTarget = () => {
    const target = location.hash.length > 1 ? byId(decodeURIComponent(location.hash.slice(1))) : null;
    if (target?.tagName === "DETAILS") {
      target.open = true;
      target.scrollIntoView();
    }
  };
  window.addEventListener("hashchange", openTarget);
  openTarget();

  // The curves.
  const runs = JSON.parse(byId("data").textContent);
  const METRICS = {
    top1: { key: "top1", axis: "top-1 accuracy", show: (v) => `${(100 * v).toFixed(1)} %`, tick: (v) => `${+(100 * v).toFixed(2)} %` },
    loss: { key: "loss", axis: "loss (nats)", show: (v) => v.toFixed(3), tick: (v) => `${+v.toPrecision(3)}` },
    rate: { key: "rate", axis: "learning rate", show: (v) => `${+v.toPrecision(3)}`, tick: (v) => `${+v.toPrecision(3)}` },
  };
  const MARGIN = { top: 24, right: 14, bottom: 36, left: 56 };
  let metric = METRICS.top1;
  let readingEpoch = null;

  const svgElement = (name, attributes, text) => {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    if (text !== undefined) element.textContent = text;
    return element;
  };
  const points = (run, split) =>
    (run[split][metric.key] ?? [])
      .map((value, index) => [run[split].epoch[index], value])
      .filter(([, value]) => value !== null);
  const visible = () => runs.filter((run) => run.visible);

  // Steps of 1, 2 or 5 times a power of ten, about `count` of them.
  const ticks = (low, high, count) => {
    const rough = (high - low || 1) / count;
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((size) => size >= rough);
    const found = [];
    for (let n = Math.ceil(low / step - 1e-9); n * step <= high + 1e-9 * step; n++) found.push(n * step);
    return found;
  };

  const range = () => {
    const all = visible().flatMap((run) => [...points(run, "validation"), ...points(run, "train")]);
    const epochs = all.map(([epoch]) => epoch);
    const values = all.map(([, value]) => value);
    if (metric === METRICS.top1) {
      values.push(...visible().map((run) => run.published).filter((value) => value !== null));
    }
    const most = (list, start) => list.reduce((a, b) => Math.max(a, b), start);
    // A loss that begins with a spike would flatten the rest: the axis ends at its 98th percentile.
    const sorted = [...values].sort((a, b) => a - b);
    const top = metric === METRICS.loss ? sorted[Math.floor(0.98 * (sorted.length - 1))] ?? 1 : most(values, 0);
    return { epochs: most(epochs, 0) || 1, values: top * 1.05 || 1 };
  };

  const draw = () => {
    const chart = byId("chart");
    const width = Math.max(280, chart.clientWidth);
    const height = Math.round(Math.min(420, Math.max(240, 0.5 * width)));
    const inner = { width: width - MARGIN.left - MARGIN.right, height: height - MARGIN.top - MARGIN.bottom };
    const limits = range();
    const x = (epoch) => MARGIN.left + (inner.width * epoch) / limits.epochs;
    const y = (value) => MARGIN.top + inner.height * (1 - value / limits.values);
    const label = `${metric.axis} over epochs of ${visible().map((run) => run.name).join(", ") || "no run"}`;
    const svg = svgElement("svg", { viewBox: `0 0 ${width} ${height}`, role: "img", tabindex: 0, "aria-label": label });
    svg.append(svgElement("text", { x: 4, y: 14 }, metric.axis));
    for (const value of ticks(0, limits.values, height / 45)) {
      svg.append(svgElement("line", { class: "grid", x1: MARGIN.left, x2: width - MARGIN.right, y1: y(value), y2: y(value) }));
      svg.append(svgElement("text", { x: MARGIN.left - 8, y: y(value) + 4, "text-anchor": "end" }, metric.tick(value)));
    }
    for (const epoch of ticks(0, limits.epochs, Math.min(12, width / 60))) {
      svg.append(svgElement("text", { x: x(epoch), y: height - 18, "text-anchor": "middle" }, `${+epoch.toPrecision(6)}`));
    }
    svg.append(svgElement("text", { x: width - MARGIN.right, y: height - 3, "text-anchor": "end" }, "epoch"));
    const clip = svgElement("clipPath", { id: "plot" });
    clip.append(svgElement("rect", { x: MARGIN.left - 4, y: MARGIN.top - 4, width: inner.width + 8, height: inner.height + 8 }));
    svg.append(clip);
    const plot = svgElement("g", { "clip-path": "url(#plot)" });
    svg.append(plot);
    drawRuns(plot, x, y, width);
    const line = svgElement("line", { class: "reading", y1: MARGIN.top, y2: MARGIN.top + inner.height, visibility: "hidden" });
    svg.append(line);
    listen(svg, line, x, limits.epochs);
    const focused = chart.contains(document.activeElement);
    chart.replaceChildren(svg);
    if (focused) svg.focus();
    read(line, x);
  };

  const drawRuns = (plot, x, y, width) => {
    const published = new Map();
    for (const run of visible()) {
      const group = svgElement("g", { style: `--color: ${run.color}`, "data-run": run.name });
      for (const split of ["train", "validation"]) {
        const at = points(run, split).map(([epoch, value]) => `${x(epoch).toFixed(1)} ${y(value).toFixed(1)}`);
        if (at.length) group.append(svgElement("path", { class: split, d: `M${at.join("L")}` }));
        if (split === "validation" && at.length <= 40) {
          for (const [epoch, value] of points(run, split)) {
            group.append(svgElement("circle", { cx: x(epoch), cy: y(value), r: 3 }));
          }
        }
      }
      plot.append(group);
      if (metric === METRICS.top1 && run.published !== null) published.set(run.net, run);
    }
    drawPublished(plot, published, y, width);
  };

  // A line for each net, with its name where no other name is: at the right, the middle or the left.
  const drawPublished = (plot, published, y, width) => {
    const places = [
      { x: width - MARGIN.right, "text-anchor": "end" },
      { x: (MARGIN.left + width - MARGIN.right) / 2, "text-anchor": "middle" },
      { x: MARGIN.left + 4, "text-anchor": "start" },
    ].map((attributes) => ({ attributes, taken: [] }));
    for (const [net, run] of published) {
      const group = svgElement("g", { style: `--color: ${run.color}` });
      const at = y(run.published);
      const free = places.find(({ taken }) => taken.every((other) => Math.abs(other - at) > 14)) ?? places[0];
      free.taken.push(at);
      group.append(svgElement("line", { class: "published", x1: MARGIN.left, x2: width - MARGIN.right, y1: at, y2: at }));
      group.append(svgElement("text", { class: "published", y: at - 4, ...free.attributes }, net));
      plot.append(group);
    }
  };

  // The reading: every drawn run's value at the validated epoch next to the pointer.
  const epochsToRead = () => {
    const split = metric === METRICS.rate ? "train" : "validation";
    return [...new Set(visible().flatMap((run) => points(run, split).map(([epoch]) => epoch)))].sort((a, b) => a - b);
  };
  const nearest = (list, wanted) =>
    list.reduce((best, value) => (best === null || Math.abs(value - wanted) < Math.abs(best - wanted) ? value : best), null);

  const read = (line, x) => {
    const epochs = epochsToRead();
    const output = byId("reading");
    if (readingEpoch === null || !epochs.length) {
      line.setAttribute("visibility", "hidden");
      output.replaceChildren();
      return;
    }
    readingEpoch = nearest(epochs, readingEpoch);
    line.setAttribute("visibility", "visible");
    line.setAttribute("x1", x(readingEpoch));
    line.setAttribute("x2", x(readingEpoch));
    const split = metric === METRICS.rate ? "train" : "validation";
    const parts = [`epoch ${+readingEpoch.toPrecision(5)}:`];
    for (const run of visible()) {
      const found = points(run, split).find(([epoch]) => epoch === readingEpoch);
      if (found) parts.push(`${run.name} ${metric.show(found[1])}`);
    }
    output.replaceChildren(...parts.map((part) => Object.assign(document.createElement("span"), { textContent: part })));
  };

  const listen = (svg, line, x, lastEpoch) => {
    svg.addEventListener("pointermove", (event) => {
      const box = svg.getBoundingClientRect();
      const across = (event.clientX - box.left) * (svg.viewBox.baseVal.width / box.width);
      readingEpoch = ((across - x(0)) / (x(lastEpoch) - x(0))) * lastEpoch;
      read(line, x);
    });
    svg.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      const epochs = epochsToRead();
      if (!step || !epochs.length) return;
      event.preventDefault();
      const place = readingEpoch === null ? (step > 0 ? -1 : epochs.length) : epochs.indexOf(nearest(epochs, readingEpoch));
      readingEpoch = epochs[Math.min(epochs.length - 1, Math.max(0, place + step))];
      read(line, x);
    });
  };

  for (const run of runs) {
    const button = document.createElement("button");
    button.type = "button";
    button.style.setProperty("--color", run.color);
    button.setAttribute("aria-pressed", String(run.visible));
    button.append(Object.assign(document.createElement("span"), { className: "swatch" }), run.name);
    button.addEventListener("click", () => {
      run.visible = !run.visible;
      button.setAttribute("aria-pressed", String(run.visible));
      draw();
    });
    byId("legend").append(button);
  }
  for (const choice of document.querySelectorAll("input[name=metric]")) {
    choice.addEventListener("change", () => {
      metric = METRICS[choice.value];
      draw();
    });
  }
  let drawnWidth = 0;
  new ResizeObserver(([entry]) => {
    if (Math.round(entry.contentRect.width) === drawnWidth) return;
    drawnWidth = Math.round(entry.contentRect.width);
    draw();
  }).observe(byId("chart"));
})();
