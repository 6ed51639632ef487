/* Tables that sort: a button in each heading, the order in aria-sort. Cells sort by data-v, else by the number or text
   that they begin with; what is not known comes last. */
window.consistency = window.consistency || {};

window.consistency.sortable = function (table, changed) {
  "use strict";
  const heads = [...table.tHead.rows[0].cells];
  const columns = new Map();
  const compare = new Intl.Collator("en", { numeric: true }).compare;
  let order = { key: "", down: false };

  for (const [index, head] of heads.entries()) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = head.textContent;
    head.textContent = "";
    head.append(button);
    columns.set(head.dataset.key, { index, isText: "text" in head.dataset, head });
    button.addEventListener("click", () => {
      sort(head.dataset.key, order.key === head.dataset.key && !order.down);
      changed(order);
    });
  }

  function valueOf(cell, isText) {
    const text = cell.dataset.v ?? cell.textContent;
    if (isText) return text;
    const value = parseFloat(text.replace(/[<,]/g, ""));
    return Number.isNaN(value) ? null : value;
  }

  function sort(key, down) {
    const column = columns.get(key);
    if (!column) return;
    order = { key, down };
    for (const head of heads) head.setAttribute("aria-sort", "none");
    column.head.setAttribute("aria-sort", down ? "descending" : "ascending");
    const sign = down ? -1 : 1;
    const body = table.tBodies[0];
    const before = [...body.rows];
    const rows = before.map((row) => ({ row, value: valueOf(row.cells[column.index], column.isText) }));
    rows.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null);
      return sign * (column.isText ? compare(a.value, b.value) : a.value - b.value);
    });
    if (rows.some((entry, index) => entry.row !== before[index])) body.append(...rows.map((entry) => entry.row));
  }

  for (const head of heads) head.setAttribute("aria-sort", "none");
  return { sort, order: () => order, has: (key) => columns.has(key) };
};
