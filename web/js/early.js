// Runs before the first paint, so that a chosen theme does not flash up as the other one.
(() => {
  try {
    const theme = localStorage.getItem("divisor.theme");
    if (theme === "dark" || theme === "light") document.documentElement.dataset.theme = theme;
  } catch {
    // No storage: the system's preference counts.
  }
})();
