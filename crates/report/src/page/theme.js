"use strict";
// Light or dark: the system's, until the reader chooses.

const THEME = "seedpress-theme";

function storedTheme() {
  try {
    return localStorage.getItem(THEME);
  } catch {
    return null; // A file opened from disk may have no storage.
  }
}

if (storedTheme()) document.documentElement.dataset.theme = storedTheme();
document.querySelector("#theme")?.addEventListener("click", () => {
  const dark = isDark();
  document.documentElement.dataset.theme = dark ? "light" : "dark";
  try {
    localStorage.setItem(THEME, dark ? "light" : "dark");
  } catch {
    // The choice lasts as long as the page.
  }
  if (behaving.length) update();
});
