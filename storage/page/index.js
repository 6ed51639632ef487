/* The table of sites: views, states, search and order, kept in the address; ages that go on; news without a reload. */
(function () {
  "use strict";
  const DAY = 86400;
  const REFRESH = 60;
  const DEFAULTS = { view: "all", show: "", q: "", sort: "site", dir: "up" };
  const CHOICES = { view: ["act", "dry", "all"], show: ["", "look", "running", "queued", "fresh", "stale", "off"] };

  const byId = (id) => document.getElementById(id);
  const table = byId("sites");
  const search = byId("q");
  const views = [...document.querySelectorAll("[data-view]:is(button)")];
  const chips = [...document.querySelectorAll("[data-show]:is(button)")];
  const title = document.title;
  const seconds = () => Date.now() / 1000;

  let wanted = { ...DEFAULTS };

  /* The address */

  function read() {
    const given = new URLSearchParams(location.hash.slice(1));
    const value = (key) => given.get(key) ?? DEFAULTS[key];
    wanted = { ...DEFAULTS, q: value("q"), dir: value("dir") === "down" ? "down" : "up" };
    for (const key of ["view", "show"]) if (CHOICES[key].includes(value(key))) wanted[key] = value(key);
    if (sorter.has(value("sort"))) wanted.sort = value("sort");
  }

  function write() {
    const kept = new URLSearchParams();
    for (const key of Object.keys(DEFAULTS)) if (wanted[key] !== DEFAULTS[key]) kept.set(key, wanted[key]);
    const hash = kept.toString();
    history.replaceState(null, "", hash ? `#${hash}` : `${location.pathname}${location.search}`);
  }

  /* What is shown */

  function tagsOf(row, now) {
    const tags = new Set(row.classList.contains("off") ? ["off"] : []);
    const since = row.dataset.since;
    const updated = row.cells[0].dataset.v;
    const fresh = updated !== undefined && now - Number(updated) <= DAY;
    if ("look" in row.dataset || (since !== undefined && now - Number(since) > DAY)) tags.add("look");
    if (row.dataset.status === "running") tags.add("running");
    if (row.dataset.status === "locked") tags.add("queued");
    if (fresh) tags.add("fresh");
    else if (!tags.has("off")) tags.add("stale");
    return tags;
  }

  function show() {
    const now = seconds();
    const needle = wanted.q.trim().toLowerCase();
    const counts = { act: 0, dry: 0, all: 0 };
    const states = Object.fromEntries(CHOICES.show.map((key) => [key, 0]));
    let visible = 0;
    for (const row of table.tBodies[0].rows) {
      const tags = tagsOf(row, now);
      counts[row.dataset.view] += 1;
      counts.all += 1;
      const found = !needle || row.dataset.site.toLowerCase().includes(needle);
      const inView = found && (wanted.view === "all" || row.dataset.view === wanted.view);
      if (inView) for (const tag of tags) states[tag] += 1;
      const fits = inView && (!wanted.show || tags.has(wanted.show));
      row.hidden = !fits;
      visible += fits;
    }
    for (const button of views) {
      button.setAttribute("aria-pressed", String(button.dataset.view === wanted.view));
      button.querySelector("b").textContent = counts[button.dataset.view].toLocaleString("en");
    }
    for (const button of chips) {
      button.setAttribute("aria-pressed", String(button.dataset.show === wanted.show));
      button.querySelector("b").textContent = states[button.dataset.show].toLocaleString("en");
    }
    const all = counts.all === 1 ? "1 site" : `${counts.all.toLocaleString("en")} sites`;
    byId("count").textContent = visible === counts.all ? all : `${visible.toLocaleString("en")} of ${all}`;
    byId("none").hidden = visible > 0 || counts.all === 0;
    document.title = states.look && !needle && wanted.view === "all" ? `(${states.look}) ${title}` : title;
  }

  function apply() {
    search.value = wanted.q;
    sorter.sort(wanted.sort, wanted.dir === "down");
    show();
  }

  function want(change) {
    wanted = { ...wanted, ...change };
    write();
    show();
  }

  /* Ages go on while the page stays open */

  function age(time, now) {
    const gone = Math.max(0, now - time);
    if (gone < 90) return "just now";
    if (gone < 5400) return `${Math.round(gone / 60)} min ago`;
    if (gone < 2 * DAY) return `${Math.floor(gone / 3600)} h ago`;
    return `${Math.floor(gone / DAY)} days ago`;
  }

  function small(cell) {
    return cell.querySelector("small") || cell.appendChild(document.createElement("small"));
  }

  function tick() {
    const now = seconds();
    for (const row of table.tBodies[0].rows) {
      const cell = row.cells[0];
      if (cell.dataset.v !== undefined) {
        const time = Number(cell.dataset.v);
        small(cell).textContent = age(time, now);
        cell.classList.toggle("green", now - time <= DAY);
      }
      if (row.dataset.since !== undefined) {
        const name = row.cells[1];
        const long = now - Number(row.dataset.since) > DAY;
        name.classList.toggle("yellow", long);
        name.classList.toggle("green", !long);
        const state = name.querySelector(".state");
        if (long) state.textContent = state.textContent.replace(/^running(?! for over)/, "running for over 24 h");
      }
    }
    const built = byId("built");
    const time = Number(built.dataset.t);
    if (time) {
      built.textContent = `${new Date(time * 1000).toISOString().slice(0, 16).replace("T", " ")} UTC, ${age(time, now)}`;
    }
  }

  /* News: the same page is asked for again. From file:// nothing can be asked, so there a reload is offered by age. */

  async function refresh() {
    if (document.hidden || !location.protocol.startsWith("http")) return;
    try {
      const answer = await fetch(location.pathname, { cache: "no-cache" });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), "text/html");
      const built = page.getElementById("built");
      const body = page.querySelector("#sites tbody");
      if (!built || !body || built.dataset.t === byId("built").dataset.t) return;
      const focus = document.activeElement;
      const row = focus?.closest("tbody tr")?.dataset.site;
      const link = row === undefined ? -1 : [...focus.closest("tr").querySelectorAll("a")].indexOf(focus);
      byId("built").dataset.t = built.dataset.t;
      table.tBodies[0].replaceWith(document.adoptNode(body));
      sorter.sort(wanted.sort, wanted.dir === "down");
      tick();
      show();
      if (link >= 0) {
        const again = [...table.tBodies[0].rows].find((other) => other.dataset.site === row);
        again?.querySelectorAll("a")[link]?.focus({ preventScroll: true });
      }
    } catch {
      /* The server is away; the age of the page says so. */
    }
  }

  /* Wiring */

  const sorter = window.consistency.sortable(table, (order) =>
    want({ sort: order.key, dir: order.down ? "down" : "up" }),
  );
  for (const button of views) button.addEventListener("click", () => want({ view: button.dataset.view }));
  for (const button of chips) {
    button.disabled = false;
    button.addEventListener("click", () =>
      want({ show: wanted.show === button.dataset.show ? "" : button.dataset.show }),
    );
  }
  search.addEventListener("input", () => want({ q: search.value }));
  byId("reset").addEventListener("click", () => {
    want({ view: "all", show: "", q: "" });
    search.value = "";
    search.focus();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "/" && document.activeElement !== search && !event.ctrlKey && !event.metaKey && !event.altKey) {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === "Escape" && document.activeElement === search) {
      search.value = "";
      want({ q: "" });
    }
  });
  window.addEventListener("hashchange", () => {
    read();
    apply();
  });
  document.addEventListener("visibilitychange", refresh);
  /* A run that begins or ends is in the table in a moment. */
  document.addEventListener("consistency:runs", () => setTimeout(refresh, 2000));

  byId("views").hidden = false;
  byId("find").hidden = false;
  read();
  tick();
  apply();
  setInterval(() => {
    tick();
    show();
    refresh();
  }, REFRESH * 1000);
})();
