/* The runs that go on now: their files are asked for every few seconds, as long as somebody looks at the page. From
   file:// nothing can be asked, and what the page was built with stays. Names and words come as text, and stay text. */
window.consistency = window.consistency || {};

window.consistency.live = (function () {
  "use strict";
  const EVERY = 5;
  const LONGEST = 30;
  const PATIENCE = 15;
  const QUIET = 60;
  const KIND = "dynamo-consistency run";
  const VERSION = 1;
  const NAME = /^[A-Za-z0-9_.%~-]{1,250}\.json$/;

  /* Asking */

  async function get(address) {
    const answer = await fetch(address, { cache: "no-store", signal: AbortSignal.timeout(PATIENCE * 1000) });
    if (answer.status === 404) return null;
    if (!answer.ok) throw new Error(answer.statusText);
    const clock = Date.parse(answer.headers.get("Date")) || Date.now();
    return { clock: clock / 1000, value: await answer.json() };
  }

  /* `show` is given the runs, null as long as there was no answer, and for how many seconds there has been none since.
     With `only` it is given that run alone, when it goes on. */
  function follow(up, only, show) {
    if (!location.protocol.startsWith("http")) return;
    const seconds = () => performance.now() / 1000;
    const seen = new Map();
    let runs = null;
    let failures = 0;
    let answered = seconds();
    let asking = false;
    let timer = 0;

    /* Clocks differ. A file that is seen to change is as old as that; of one that is not, the server's clock tells. */
    function age(name, written, clock) {
      const before = seen.get(name);
      if (!before || before.written !== written) {
        seen.set(name, { written, at: seconds(), age: before ? 0 : Math.max(0, clock - written) });
      }
      const known = seen.get(name);
      return known.age + seconds() - known.at;
    }

    async function one(name) {
      const found = await get(`${up}live/${encodeURIComponent(name)}`);
      if (found?.value?.kind !== KIND) return null;
      const run = { name, stem: name.slice(0, -".json".length), known: false, age: 0, says: found.value };
      if (found.value.version !== VERSION) return run;
      return { ...run, known: true, age: age(name, number(found.value.written) ?? 0, found.clock) };
    }

    async function ask() {
      if (document.hidden || asking) return;
      asking = true;
      try {
        const list = (await get(`${up}live/${encodeURIComponent("~running.json")}`))?.value;
        if (list?.version !== VERSION || !Array.isArray(list.running)) throw new Error("no list of runs");
        const names = list.running.filter((name) => typeof name === "string" && NAME.test(name));
        const wanted = names.filter((name) => !only || name === only);
        runs = (await Promise.all(wanted.map(one))).filter((run) => run !== null);
        for (const name of [...seen.keys()]) if (!wanted.includes(name)) seen.delete(name);
        failures = 0;
        answered = seconds();
      } catch {
        failures += 1;
      }
      asking = false;
      show(runs, failures ? seconds() - answered : 0);
    }

    function again() {
      clearTimeout(timer);
      timer = setTimeout(() => ask().finally(again), 1000 * Math.min(LONGEST, EVERY * 2 ** Math.min(failures, 5)));
    }

    document.addEventListener("visibilitychange", () => ask().finally(again));
    ask().finally(again);
  }

  /* What is read may be anything */

  function number(value) {
    return typeof value === "number" && Number.isFinite(value) ? value : null;
  }

  function text(value) {
    return typeof value === "string" ? value : "";
  }

  function list(value) {
    return Array.isArray(value) ? value.filter((entry) => entry && typeof entry === "object") : [];
  }

  /* Words */

  function count(value) {
    return number(value) === null ? "-" : Math.round(value).toLocaleString("en");
  }

  function counted(value, one, many) {
    return `${count(value)} ${value === 1 ? one : many}`;
  }

  function rate(value) {
    if (number(value) === null) return "-";
    return `${value > 0 && value < 10 ? value.toFixed(1) : count(value)}/s`;
  }

  function size(value) {
    let left = number(value);
    if (left === null) return "-";
    for (const unit of ["bytes", "kB", "MB", "GB", "TB"]) {
      if (left < 1000) return `${unit === "bytes" || left >= 100 ? Math.round(left) : left.toFixed(1)} ${unit}`;
      left /= 1000;
    }
    return `${left.toFixed(1)} PB`;
  }

  /* How long something has taken, and how much longer it may take: the more there is, the less the rest of it matters. */
  function taken(value) {
    const gone = Math.max(0, Math.floor(number(value) ?? 0));
    const [minutes, hours, days] = [Math.floor(gone / 60), Math.floor(gone / 3600), Math.floor(gone / 86400)];
    if (gone < 60) return `${gone} s`;
    if (gone < 3600) return `${minutes} min`;
    if (gone < 86400) return `${hours} h ${minutes % 60} min`;
    return `${days} d ${hours % 24} h`;
  }

  function left(value) {
    const seconds = number(value);
    if (seconds === null) return "";
    const minutes = seconds / 60;
    if (minutes < 1) return "under 1 min";
    if (minutes < 20) return `about ${Math.ceil(minutes)} min`;
    if (minutes < 90) return `about ${Math.ceil(minutes / 5) * 5} min`;
    if (minutes < 36 * 60) return `about ${Math.ceil(minutes / 30) / 2} h`;
    return `about ${Math.ceil(minutes / 1440)} days`;
  }

  function percent(value) {
    const share = number(value);
    return share === null ? "" : `${Math.floor(Math.min(1, Math.max(0, share)) * 100)} %`;
  }

  function moment(value) {
    const at = new Date((number(value) ?? NaN) * 1000);
    return Number.isNaN(at.getTime()) ? "-" : `${at.toISOString().slice(0, 16).replace("T", " ")} UTC`;
  }

  function isQuiet(run) {
    return run.age > QUIET;
  }

  return { follow, number, text, list, count, counted, rate, size, taken, left, percent, moment, isQuiet };
})();
