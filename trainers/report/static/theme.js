// The theme: as the system has it, until the button is used.
const systemDark = window.matchMedia("(prefers-color-scheme: dark)");
const showTheme = () => {
  root.dataset.theme = view.theme ?? (systemDark.matches ? "dark" : "light");
  byId("theme").textContent = root.dataset.theme === "dark" ? "Light theme" : "Dark theme";
};
byId("theme").addEventListener("click", () =>
  change({ theme: root.dataset.theme === "dark" ? "light" : "dark" }),
);
systemDark.addEventListener("change", () => change({ theme: view.theme }));
onChange(["theme"], showTheme);
showTheme();

// A property of page.css as a colour that a canvas takes.
const colorValue = (name) => getComputedStyle(root).getPropertyValue(name).trim();
