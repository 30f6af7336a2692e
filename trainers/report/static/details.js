// One run at a time: opened by its link, its pictures filled in then, its commands copied by a click.
const fillPictures = (place) => {
  for (const image of place.querySelectorAll("img[data-picture]:not([src])")) {
    image.src = `data:image/jpeg;base64,${pictures[image.dataset.picture]}`;
  }
};

const chosenRun = () => runs.find((run) => `#${run.id}` === decodeURIComponent(location.hash));
const showRun = () => {
  const run = chosenRun();
  byId("chosen").value = run?.id ?? "";
  for (const name of ["previous", "next"]) byId(name).disabled = !run;
  if (!run) return;
  fillPictures(byId(run.id));
  byId(run.id).querySelectorAll(".mistakes").forEach(fillMistakes);
};
const open = (run) => {
  location.hash = run.id;
  byId(run.id).focus({ preventScroll: true });
};
const step = (by) => {
  const list = sorted(shown);
  const at = list.indexOf(chosenRun());
  open(list[(at + by + list.length) % list.length]);
};

byId("chosen").append(...runs.map((run) => element("option", { value: run.id, textContent: run.name })));
byId("chosen").addEventListener("change", () => {
  location.hash = byId("chosen").value;
});
byId("previous").addEventListener("click", () => step(-1));
byId("next").addEventListener("click", () => step(1));
byId("choose").hidden = false;
byId("details").hidden = !runs.length;
window.addEventListener("hashchange", showRun);
showRun();

const copy = async (text) => {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // A page from a file may have no right to the clipboard; what is selected can be copied.
    const area = element("textarea", { value: text });
    document.body.append(area);
    area.select();
    document.execCommand("copy");
    area.remove();
  }
};
for (const button of document.querySelectorAll("button.copy")) {
  button.addEventListener("click", async () => {
    await copy(button.previousElementSibling.textContent);
    button.textContent = "Copied";
    setTimeout(() => {
      button.textContent = "Copy";
    }, 2000);
  });
}
