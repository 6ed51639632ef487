/* The page of a site: the table of runs sorts, and a chart tells the run under the pointer. */
(function () {
  "use strict";
  const LEFT = 46;
  const RIGHT = 372;
  const BOTTOM = 146;
  const table = document.getElementById("runs");
  if (!table) return;

  /* Taken before anything is sorted: the runs that counted, oldest first, as the points of the charts are. A chart has
     none for a run that does not know its value. */
  const keys = [...table.tHead.rows[0].cells].map((head) => head.dataset.key);
  const runs = [...table.tBodies[0].rows]
    .filter((row) => "counted" in row.dataset)
    .reverse()
    .map((row) => Object.fromEntries(keys.map((key, index) => [key, row.cells[index].textContent])));

  const sorter = window.consistency.sortable(table, () => {});
  sorter.sort("started", true);

  function svg(name, attributes) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
    return element;
  }

  for (const figure of document.querySelectorAll("[data-chart]")) {
    const key = figure.dataset.chart;
    const picture = figure.querySelector("svg");
    const numbers = (picture.querySelector(".line").getAttribute("d").match(/[\d.]+/g) || []).map(Number);
    const known = runs.filter((run) => run[key] !== "-");
    const points = known.map((run, index) => ({ run, x: numbers[2 * index], y: numbers[2 * index + 1] }));
    const caption = figure.querySelector("figcaption");
    const heading = caption.textContent;
    const rule = svg("path", { class: "rule", d: "" });
    const spot = svg("circle", { class: "spot", r: 3.5, cx: -9, cy: -9 });
    picture.append(rule, spot);

    picture.addEventListener("pointermove", (event) => {
      const box = picture.getBoundingClientRect();
      const x = ((event.clientX - box.left) / box.width) * picture.viewBox.baseVal.width;
      if (!points.length || x < LEFT - 10 || x > RIGHT + 10) return leave();
      const near = points.reduce((best, point) => (Math.abs(point.x - x) < Math.abs(best.x - x) ? point : best));
      rule.setAttribute("d", `M${near.x} 12V${BOTTOM}`);
      spot.setAttribute("cx", near.x);
      spot.setAttribute("cy", near.y);
      caption.textContent = `${heading}: ${near.run[key]} on ${near.run.started}`;
    });
    picture.addEventListener("pointerleave", leave);

    function leave() {
      rule.setAttribute("d", "");
      spot.setAttribute("cx", -9);
      spot.setAttribute("cy", -9);
      caption.textContent = heading;
    }
  }
})();
