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
  /* A long table is laid out once, when all of it is there and in order, and not again with each piece that comes. */
  root.classList.add("js", "loading");
  /* From a disk nothing can be asked for, so that nothing is shown that only an answer could fill. */
  if (location.protocol.startsWith("http")) root.classList.add("served");

  document.addEventListener("DOMContentLoaded", () => {
    root.classList.remove("loading");
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
