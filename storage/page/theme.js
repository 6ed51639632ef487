/* The theme: that of the system, light or dark. It is known before anything is drawn, and kept in this browser. */
(function () {
  "use strict";
  const names = ["auto", "light", "dark"];
  const root = document.documentElement;

  function kept() {
    try {
      const name = localStorage.getItem("theme");
      return names.includes(name) ? name : "auto";
    } catch {
      return "auto";
    }
  }

  function keep(name) {
    try {
      localStorage.setItem("theme", name);
    } catch {
      /* Without storage the choice lasts as long as the page. */
    }
  }

  function show(name) {
    if (name === "auto") delete root.dataset.theme;
    else root.dataset.theme = name;
  }

  let current = kept();
  show(current);
  root.classList.add("js");

  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    const label = () => {
      button.textContent = `Theme: ${current}`;
    };
    button.hidden = false;
    label();
    button.addEventListener("click", () => {
      current = names[(names.indexOf(current) + 1) % names.length];
      keep(current);
      show(current);
      label();
    });
  });
})();
