/* What goes on now: a row for each run beside the table of sites, a panel on the page of a site. Rows and panel keep
   their size while their numbers change; only which sites run is said aloud. */
(function () {
  "use strict";
  const live = window.consistency.live;
  const section = document.getElementById("running");
  const title = document.getElementById("running-title");
  const news = document.getElementById("running-news");
  const asked = document.getElementById("running-asked");

  function make(tag, name, ...inside) {
    const element = document.createElement(tag);
    if (name) element.className = name;
    element.append(...inside);
    return element;
  }

  function put(element, words, hint = "") {
    if (element.textContent !== words) element.textContent = words;
    if (element.title !== hint) element.title = hint;
  }

  /* What both show */

  function progressOf(run) {
    const share = live.number(run.says.share);
    const known = share !== null && !live.isQuiet(run);
    return { share: share ?? 0, known, words: known ? live.percent(share) : "" };
  }

  function phaseOf(run) {
    if (!run.known) return "running, and told of by another version of this program";
    const phase = live.text(run.says.phase);
    return live.isQuiet(run) ? `no sign for ${live.taken(run.age)}, last: ${phase}` : phase;
  }

  /* A note may begin with the phase, which stands before it. */
  function noteOf(run) {
    const [note, phase] = [live.text(run.says.note), live.text(run.says.phase)];
    return phase && note.startsWith(`${phase} `) ? note.slice(phase.length + 1) : note;
  }

  function farOf(run) {
    const { listed, expected, files, share, more_than_last: isMore } = run.says;
    if (!live.number(listed) && !live.number(files)) return "";
    const all = live.number(expected) !== null && live.number(share) !== null;
    const what = all
      ? `${live.count(listed)} of about ${live.count(expected)} directories`
      : live.counted(listed, "directory", "directories");
    const before = isMore === true ? `, ${live.count(expected)} last time` : "";
    return `${what}${before}, ${live.counted(files, "file", "files")}`;
  }

  function leftOf(run) {
    const says = run.says;
    if (!run.known || live.isQuiet(run)) return ["-", ""];
    if (says.more_than_last === true) return ["-", "more than last time"];
    const left = live.left(says.seconds_left);
    if (left) return [left, "until all is listed"];
    if (live.text(says.phase) !== "listing") return ["-", ""];
    return ["-", live.number(says.expected) === null ? "nothing to go by yet" : "not known yet"];
  }

  function doorsOf(run) {
    const doors = live.list(run.says.doors);
    if (!doors.length || live.isQuiet(run)) return ["", ""];
    const sum = (key) => doors.reduce((all, door) => all + (live.number(door[key]) ?? 0), 0);
    const slowest = Math.max(...doors.map((door) => live.number(door.latency) ?? 0));
    const many = doors.length > 1 ? `, ${doors.length} doors` : "";
    return [`${live.count(sum("in_flight"))} of ${live.count(sum("window"))} in flight`, `${milliseconds(slowest)} an answer${many}`];
  }

  function milliseconds(seconds) {
    return seconds >= 10 ? `${seconds.toFixed(0)} s` : `${live.count(seconds * 1000)} ms`;
  }

  function say(runs, silent) {
    const old = silent > 0;
    section.classList.toggle("old", old);
    const since = runs === null ? "the words are those of the page as it was built" : "these numbers are old";
    put(asked, old ? `No answer from the server for ${live.taken(silent)}: ${since}.` : "");
  }

  /* The table of sites: a row for each run */

  const rows = new Map();

  function rowOf(name) {
    const row = make("li");
    row.dataset.live = name;
    const bar = make("progress");
    bar.max = 1;
    const cells = {
      who: make("a", "who"),
      since: make("small"),
      phase: make("span", "phase"),
      note: make("span", "note"),
      percent: make("span", "percent"),
      bar,
      far: make("small"),
      left: make("span"),
      until: make("small"),
      rate: make("span"),
      unit: make("small"),
      doors: make("span"),
      latency: make("small"),
      failed: make("span"),
      reason: make("small"),
      words: make("div", "c-words"),
    };
    row.append(
      make("div", "c-who", cells.who, cells.since),
      cells.words,
      make("div", "c-far", make("div", "line", cells.phase, cells.note, cells.percent), bar, cells.far),
      make("div", "c-left", cells.left, cells.until),
      make("div", "c-rate", cells.rate, cells.unit),
      make("div", "c-doors", cells.doors, cells.latency),
      make("div", "c-failed", cells.failed, cells.reason),
    );
    return { row, cells };
  }

  function fill({ row, cells }, { site, stem, run, words }) {
    row.classList.toggle("in-words", !run?.known);
    row.classList.toggle("silent", Boolean(run) && live.isQuiet(run));
    put(cells.who, site, site);
    cells.who.href = `sites/${encodeURIComponent(`${stem}.html`)}`;
    if (!run?.known) {
      put(cells.since, "");
      put(cells.words, run ? "running; another version of this program tells of it" : words, words);
      return;
    }
    const says = run.says;
    const quiet = live.isQuiet(run);
    put(cells.words, "");
    put(cells.phase, phaseOf(run));
    const progress = progressOf(run);
    put(cells.since, `for ${live.taken(says.written - says.started)}`, `since ${live.moment(says.started)}`);
    put(cells.note, quiet ? "" : noteOf(run), live.text(says.note));
    put(cells.percent, progress.words);
    cells.bar.value = progress.share;
    cells.bar.classList.toggle("unknown", !progress.known);
    cells.bar.setAttribute("aria-label", `Listing of ${site}`);
    cells.bar.toggleAttribute("aria-hidden", !progress.known);
    put(cells.far, farOf(run));
    const [left, until] = leftOf(run);
    put(cells.left, left);
    put(cells.until, until);
    const speed = quiet ? "-" : live.rate(says.rate);
    put(cells.rate, speed);
    put(cells.unit, speed === "-" ? "" : "directories");
    const [doors, latency] = doorsOf(run);
    put(cells.doors, doors);
    put(cells.latency, latency);
    const failed = live.number(says.failed) ?? 0;
    const last = live.list(says.failures).at(-1);
    put(cells.failed, failed ? `${live.count(failed)} failed` : live.number(says.listed) ? "none failed" : "");
    cells.failed.classList.toggle("bad", failed > 0);
    const why = last ? live.text(last.detail) || live.text(last.reason) : "";
    put(cells.reason, failed && last ? live.text(last.reason) || why : "", last ? `${live.text(last.path)}: ${why}` : "");
  }

  /* Whoever runs, by name, so that nobody changes places: those with a file, and those of whom the table alone knows. A
     run that had a file is over, even where the table does not know that yet. */
  const over = new Set();

  function everyone(runs) {
    const found = new Map(
      runs.map((run) => [run.name, { stem: run.stem, site: live.text(run.says.site) || run.stem, run, words: "" }]),
    );
    for (const [name, { run }] of shown) if (run && !found.has(name)) over.add(name);
    const noted = new Set();
    for (const row of document.querySelectorAll("#sites tbody tr[data-status=running]")) {
      const name = row.dataset.live;
      noted.add(name);
      if (found.has(name) || over.has(name)) continue;
      const words = row.querySelector(".state").textContent;
      found.set(name, { stem: name.slice(0, -".json".length), site: row.dataset.site, run: null, words });
    }
    for (const name of [...over]) if (found.has(name) || !noted.has(name)) over.delete(name);
    const compare = new Intl.Collator("en", { numeric: true }).compare;
    return new Map([...found].sort(([, a], [, b]) => compare(a.site.toLowerCase(), b.site.toLowerCase())));
  }

  function tell(now) {
    const names = (these, those) => [...these].filter(([name]) => !those.has(name)).map(([, { site }]) => site);
    const [begun, ended] = [names(now, shown), names(shown, now)];
    if (!begun.length && !ended.length) return;
    const said = [
      begun.length ? `Running now: ${begun.join(", ")}.` : "",
      ended.length ? `No longer running: ${ended.join(", ")}.` : "",
    ];
    put(news, said.join(" ").trim());
    document.dispatchEvent(new Event("consistency:runs"));
  }

  let shown = new Map();
  let drawn = false;

  function showRows(runs, silent) {
    say(runs, silent);
    if (runs === null) return;
    const now = everyone(runs);
    if (drawn) tell(now);
    for (const name of [...rows.keys()]) if (!now.has(name)) rows.delete(name);
    for (const [name, entry] of now) {
      if (!rows.has(name)) rows.set(name, rowOf(name));
      fill(rows.get(name), entry);
    }
    const body = document.getElementById("running-rows");
    const wanted = [...now.keys()].map((name) => rows.get(name).row);
    if (wanted.length !== body.children.length || wanted.some((row, index) => row !== body.children[index])) {
      const focus = document.activeElement;
      body.replaceChildren(...wanted);
      if (body.contains(focus)) focus.focus({ preventScroll: true });
    }
    put(title, `Running now: ${live.counted(now.size, "site", "sites")}`);
    section.hidden = now.size === 0;
    shown = now;
    drawn = true;
  }

  /* The page of a site: a panel */

  const fields = new Map([...section.querySelectorAll("[data-f]")].map((element) => [element.dataset.f, element]));

  function set(key, words, hint = "") {
    put(fields.get(key), words, hint);
  }

  function showPanel(runs, silent) {
    say(runs, silent);
    if (runs === null) return;
    const [run] = runs;
    /* Where no file was seen, only the words of the build are known, and not that the run is over. */
    section.classList.toggle("in-words", !run && !drawn);
    section.classList.toggle("over", !run && drawn);
    document.getElementById("running-over").hidden = Boolean(run) || !drawn;
    if (!run) {
      if (drawn) {
        put(news, "The run is over.");
        put(title, title.textContent.replace("Running now: run", "Run").replace("Running now", "The last run"));
      }
      return;
    }
    section.classList.toggle("silent", live.isQuiet(run) || !run.known);
    section.hidden = false;
    drawn = true;
    set("phase", phaseOf(run));
    if (run.known) fillPanel(run);
  }

  function fillPanel(run) {
    const says = run.says;
    const quiet = live.isQuiet(run);
    const progress = progressOf(run);
    const bar = fields.get("bar");
    bar.value = progress.share;
    bar.classList.toggle("unknown", !progress.known);
    bar.toggleAttribute("aria-hidden", !progress.known);
    set("percent", progress.words);
    set("far", farOf(run));
    set("note", noteOf(run));
    const [left, until] = leftOf(run);
    set("left", left);
    set("until", until);
    set("rate", quiet ? "-" : live.rate(says.rate));
    set("listed", live.count(says.listed));
    const others = [
      [says.resumed, "resumed"],
      [says.taken_over, "taken over"],
      [says.ignored, "ignored"],
    ].filter(([value]) => live.number(value));
    set("others", others.map(([value, what]) => `${live.count(value)} ${what}`).join(", "));
    set("failed", live.count(says.failed));
    fields.get("failed").classList.toggle("bad", live.number(says.failed) > 0);
    set("files", live.count(says.files));
    set("bytes", live.size(says.bytes));
    set("queued", live.count(says.queued));
    set("in_flight", `${live.count(says.in_flight)} in flight`);
    set("requests", live.count(says.requests));
    set("taken", live.taken(says.written - says.started));
    set("started", `since ${live.moment(says.started).slice("2026-".length)}`, live.moment(says.started));
    const number = live.number(says.run);
    put(title, number === null ? "Running now" : `Running now: run ${number}`);
    fillDoors(live.list(says.doors));
    fillFailures(live.list(says.failures));
  }

  function fillDoors(doors) {
    const body = fields.get("doors");
    const lines = doors.map((door) => {
      const cells = [
        live.text(door.door),
        `${live.count(door.in_flight)} of ${live.count(door.window)}`,
        live.count(door.connections),
        milliseconds(live.number(door.latency) ?? 0),
      ];
      return make("tr", "", ...cells.map((words, index) => {
        const cell = make(index ? "td" : "th", "", words);
        if (!index) cell.scope = "row";
        return cell;
      }));
    });
    replace(body, lines);
    document.getElementById("no-doors").hidden = lines.length > 0;
  }

  function fillFailures(failures) {
    const lines = failures.reverse().map((failure) => {
      const reason = live.text(failure.reason);
      const detail = live.text(failure.detail);
      return make("li", "", make("code", "", live.text(failure.path)), " ", make("small", "", detail || reason));
    });
    replace(fields.get("failures"), lines);
    document.getElementById("no-failures").hidden = lines.length > 0;
  }

  /* What is the same stays: somebody may be about to copy it. */
  function replace(body, lines) {
    const words = (elements) => [...elements].map((element) => element.innerHTML).join("\n");
    if (words(lines) !== words(body.children)) body.replaceChildren(...lines);
  }

  if (document.body.classList.contains("index")) live.follow("", null, showRows);
  else live.follow("../", section.dataset.live, showPanel);
})();
