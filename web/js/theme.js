/** Dark, light, or as the system has it. */
const system = matchMedia("(prefers-color-scheme: dark)");

/** @type {(() => void)[]} */
const watchers = [];

export function isDark() {
  const chosen = document.documentElement.dataset.theme;
  return chosen ? chosen === "dark" : system.matches;
}

export function toggleTheme() {
  const theme = isDark() ? "light" : "dark";
  document.documentElement.dataset.theme = theme;
  try {
    // What the system has anyway is no choice: then the page follows the system again.
    if ((theme === "dark") === system.matches) localStorage.removeItem("divisor.theme");
    else localStorage.setItem("divisor.theme", theme);
  } catch {
    // No storage: the choice lasts as long as the page.
  }
  for (const watcher of watchers) watcher();
}

/** @type {string | undefined} */
let before;

// Paper is light, and canvases must be drawn for it before the browser takes its picture.
addEventListener("beforeprint", () => {
  before = document.documentElement.dataset.theme;
  document.documentElement.dataset.theme = "light";
  for (const watcher of watchers) watcher();
});
addEventListener("afterprint", () => {
  if (before) document.documentElement.dataset.theme = before;
  else delete document.documentElement.dataset.theme;
  for (const watcher of watchers) watcher();
});

/** @param {() => void} watcher */
export function watchTheme(watcher) {
  watchers.push(watcher);
  system.addEventListener("change", watcher);
}
