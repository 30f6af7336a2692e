// What is asked of every page: run in it, each function gives the list of what is at fault.

// What is wider than the card that it is in, where it doesn't scroll; and the page itself.
const CARDS = "section, .tiles, #filters, header, figure, .command";
const tooWide = () => {
  const wide = [];
  for (const card of document.querySelectorAll(CARDS)) {
    const edge = card.getBoundingClientRect().right + 0.6;
    for (const element of card.querySelectorAll("*")) {
      const box = element.getBoundingClientRect();
      const scroll = element.parentElement.closest(".scroll, #legend, .menu > div, .uplot");
      if (box.width && box.right > edge && !(scroll && card.contains(scroll))) {
        wide.push(`${element.tagName} ${element.className} ${element.textContent.slice(0, 30)}`);
      }
    }
  }
  const root = document.documentElement;
  if (root.scrollWidth > root.clientWidth) wide.push("the page");
  return wide;
};

// Text of less contrast than 4.5:1 (WCAG 2.1, 1.4.3), on the first background behind it.
const luminance = (color) => {
  const [r, g, b] = color
    .map((value) => value / 255)
    .map((value) => (value <= 0.03928 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4));
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
};
const contrast = (a, b) => {
  const pair = [a, b].map(luminance);
  return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
};
const numbers = (color) => color.match(/[\d.]+/g).map(Number);
const behind = (element) => {
  for (let each = element; each; each = each.parentElement) {
    const color = numbers(getComputedStyle(each).backgroundColor);
    if (color.length === 3 || color[3] === 1) return color;
  }
  return [255, 255, 255];
};
const pale = () => {
  const found = new Set();
  const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  while (texts.nextNode()) {
    const element = texts.currentNode.parentElement;
    if (!texts.currentNode.data.trim() || !element.checkVisibility()) continue;
    const ratio = contrast(numbers(getComputedStyle(element).color), behind(element));
    if (ratio < 4.5) found.add(`${ratio.toFixed(2)}: ${element.outerHTML.slice(0, 80)}`);
  }
  // The canvas's: curves, and the names beside the published ones.
  const probe = document.querySelector("section").appendChild(document.createElement("i"));
  for (const name of ["quiet", ...Array(10).keys()]) {
    probe.style.color = `var(--${name === "quiet" ? name : `c${name}`})`;
    const ratio = contrast(numbers(getComputedStyle(probe).color), behind(probe));
    if (ratio < 4.5) found.add(`${ratio.toFixed(2)}: ${probe.style.color}`);
  }
  probe.remove();
  return [...found];
};

// What is too low for a finger (WCAG 2.2, 2.5.8: 24 pixels).
const TOUCHED = "button, summary, select, input[type=search], #legend label, .chips span";
const small = () =>
  [...document.querySelectorAll(TOUCHED)]
    .filter((each) => each.checkVisibility() && each.getBoundingClientRect().height < 23.5)
    .map((each) => each.outerHTML.slice(0, 80));
