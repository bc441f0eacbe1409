"use strict";
// The theme: as the system says, light or dark; kept where the browser allows it.
(() => {
  const themes = ["system", "light", "dark"];
  const button = document.getElementById("theme");
  let theme = "system";
  try {
    theme = localStorage.getItem("lnconform-theme") ?? theme;
  } catch {
    // A page opened from a file may not be allowed to keep anything.
  }
  const set = (to) => {
    theme = themes.includes(to) ? to : "system";
    if (theme === "system") delete document.documentElement.dataset.theme;
    else document.documentElement.dataset.theme = theme;
    button.textContent = `Theme: ${theme}`;
  };
  button.addEventListener("click", () => {
    set(themes[(themes.indexOf(theme) + 1) % themes.length]);
    try {
      localStorage.setItem("lnconform-theme", theme);
    } catch {
      // See above.
    }
  });
  button.hidden = false;
  set(theme);
})();
