// The list of checks and the view of one. Text is only ever set as text, never as markup. The address
// is `#show=…&who=…&in=…&q=…&check=…&on=…&attempt=…`.
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const CLASSES = ["passed", "unexpected", "known", "warned", "unsupported", "not-applicable", "not-run"];
  const WORDS = ["passed", "unexpected", "known", "warned", "unsupported", "n/a", "not run"];
  const SIGNS = ["✓", "✗", "◆", "▲", "○", "–", "□"];
  const OUTCOMES = ["passed", "failed", "unsupported", "not applicable", "could not run"];
  const KEYWORDS = ["", "MAY", "SHOULD", "MUST"];
  const LANES = ["codec", "cluster"];
  const STATES = ["as stored", "new", "changed", "drifted under another version"];
  const FIELDS = 9;
  const PAGE = 200;
  const text = (place) => (place < 0 ? "" : data.texts[place]);

  // Elements, without markup.
  const el = (tag, attributes, ...children) => {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(attributes ?? {})) {
      if (key === "on") for (const [event, f] of Object.entries(value)) node.addEventListener(event, f);
      else if (value !== null && value !== undefined) node.setAttribute(key, value);
    }
    node.append(...flat(children));
    return node;
  };
  const flat = (children) => children.flat(Infinity).filter((c) => c !== null && c !== undefined && c !== "");

  // A check is a number: its place in `rows`.
  const total = data.rows.length / FIELDS;
  const field = (i, n) => data.rows[i * FIELDS + n];
  const caseOf = (i) => data.cases[field(i, 0)];
  const check = (i) => {
    const c = caseOf(i);
    const code = field(i, 2);
    return {
      id: text(c[0]), requirements: c[1].map((r) => data.requirements[r]), keyword: KEYWORDS[c[2]],
      lane: LANES[c[3]], source: text(c[4]), simulation: c[5] === 1,
      who: data.who[field(i, 1)], outcome: OUTCOMES[code & 7], column: (code >> 3) & 7, flaky: code >= 64,
      attempt: field(i, 3), micros: field(i, 4), message: text(field(i, 5)),
      detail: field(i, 6) < 0 ? {} : data.details[field(i, 6)],
      observed: field(i, 7) < 0 ? null : text(field(i, 7)), state: STATES[field(i, 8)],
    };
  };
  const columnOf = (i) => (field(i, 2) >> 3) & 7;

  // What the choices of `show` let through.
  const SHOW = [
    ["odd", "what needs a look", (i) => [1, 2, 3].includes(columnOf(i)) || field(i, 2) >= 64],
    ["all", "everything", () => true],
    ...[1, 2, 3].map((c) => [CLASSES[c], WORDS[c], (i) => columnOf(i) === c]),
    ["flaky", "flaky", (i) => field(i, 2) >= 64],
    ...[0, 4, 6, 5].map((c) => [CLASSES[c], WORDS[c], (i) => columnOf(i) === c]),
  ];
  if (data.history.length) SHOW.push(["changed", "changed since the run before", (i) => {
    const line = text(data.past[i]);
    return line.at(-1) !== String(columnOf(i));
  }]);

  // ---- the address ----
  const NARROW = ["show", "who", "lane", "keyword", "in", "rule", "q"];
  let state = {};

  // ---- the filter ----
  const count = SHOW.map(([, , is]) => { let n = 0; for (let i = 0; i < total; i++) if (is(i)) n++; return n; });
  SHOW.forEach(([key, word], n) => at("show").append(el("option", { value: key }, `${word} (${count[n]})`)));
  const people = data.who.map((w) => w[0]);
  at("who").append(el("option", { value: "" }, "anybody"), ...[...people].sort().map((w) => el("option", { value: w }, w)));
  at("lane").append(el("option", { value: "" }, "both"), ...LANES.map((l) => el("option", { value: l }, l)));
  at("keyword").append(el("option", { value: "" }, "any"), ...["MUST", "SHOULD", "MAY"].map((k) => el("option", { value: k }, k)));

  // What a search looks into, made when the first search is made.
  let haystacks = null;
  const haystack = (i) => {
    haystacks ??= new Array(total);
    return haystacks[i] ??= (() => {
      const c = caseOf(i);
      const rules = c[1].map((r) => data.requirements[r][0]).join(" ");
      return `${text(c[0])} ${data.who[field(i, 1)][0]} ${rules} ${text(field(i, 5))}`.toLowerCase();
    })();
  };
  const below = (id, place) => id === place || (id.startsWith(place) && "/#?".includes(id[place.length]));

  let found = [];
  let shown = 0;
  const narrow = () => {
    const show = SHOW.find(([key]) => key === state.show) ?? SHOW[0];
    const who = state.who ? people.indexOf(state.who) : -1;
    const words = wordsOf(state.q ?? "");
    const place = (state.in ?? "").replace(/\/+$/, "");
    const rule = state.rule ? data.requirements.findIndex((r) => r[0] === state.rule) : -1;
    const lane = LANES.indexOf(state.lane), keyword = KEYWORDS.indexOf(state.keyword ?? "");
    found = [];
    for (let i = 0; i < total; i++) {
      if (!show[2](i)) continue;
      if (state.who && field(i, 1) !== who) continue;
      const c = caseOf(i);
      if (lane >= 0 && c[3] !== lane) continue;
      if (keyword > 0 && c[2] !== keyword) continue;
      if (state.rule && !c[1].includes(rule)) continue;
      if (place && !below(text(c[0]), place)) continue;
      if (words.length) { const hay = haystack(i); if (!words.every((w) => hay.includes(w))) continue; }
      found.push(i);
    }
    const rank = [3, 0, 1, 2, 4, 6, 5];
    found.sort((a, b) => rank[columnOf(a)] - rank[columnOf(b)] || a - b);
  };

  const stateView = (c) => el("span", { class: `state ${CLASSES[c.column]}` },
    el("span", { "aria-hidden": "true" }, SIGNS[c.column] + " "),
    c.column === 1 ? `unexpected: ${c.outcome}` : WORDS[c.column]);
  const link = (i) => {
    const c = check(i);
    return address({ ...Object.fromEntries(NARROW.map((k) => [k, state[k]])), check: c.id, on: c.who[0], attempt: c.attempt > 1 ? c.attempt : "" });
  };
  const row = (i) => {
    const c = check(i);
    return el("tr", { "data-row": i },
      el("td", {}, stateView(c), c.flaky ? el("span", { class: "faint" }, " flaky") : null),
      el("th", { scope: "row" }, el("a", { class: "id", href: link(i) }, c.id), c.attempt > 1 ? el("span", { class: "faint" }, ` attempt ${c.attempt}`) : null),
      el("td", {}, c.who[0]),
      el("td", {}, c.message.split("\n")[0].slice(0, 300)));
  };
  let body = null;
  const more = () => {
    const next = found.slice(shown, shown + PAGE);
    body.append(...next.map(row));
    shown += next.length;
    const left = found.length - shown;
    at("more").hidden = left === 0;
    at("more").textContent = `Show ${Math.min(PAGE, left)} more of ${left}`;
  };
  const draw = () => {
    narrow();
    shown = 0;
    at("found").textContent = found.length === total
      ? `All ${total} checks` : `${found.length} of ${total} checks`;
    if (found.length === 0) {
      at("list").replaceChildren(el("p", {}, "No check is like this."));
      at("more").hidden = true;
      return;
    }
    body = el("tbody");
    at("list").replaceChildren(el("table", {},
      el("caption", { class: "off" }, "Checks"),
      el("thead", {}, el("tr", {}, ["outcome", "check", "who", "why"].map((h) => el("th", { scope: "col" }, h)))),
      body));
    more();
  };
  at("more").addEventListener("click", () => {
    const first = shown;
    more();
    body.rows[first]?.querySelector("a")?.focus();
  });

  // ---- one check ----
  const dialog = at("check");
  let open = -1;
  const part = (heading, ...content) => [el("h3", {}, heading), ...content];
  const lines = (all) => el("pre", { tabindex: "0" }, all.map((line) => {
    const mark = line[0] === "-" ? "want" : line[0] === "+" ? "got" : null;
    return mark ? el("span", { class: mark }, line + "\n") : line + "\n";
  }));
  const fact = (name, ...value) => value.some((v) => v) ? [el("dt", {}, name), el("dd", {}, ...value)] : [];
  const took = (us) => us < 10000 ? `${us} µs` : us < 10000000 ? `${(us / 1000).toFixed(0)} ms` : `${(us / 1e6).toFixed(1)} s`;
  const requirement = ([id, keyword, section, paraphrase, sentence], c) => [
    el("p", {}, el("span", { class: "badge" }, keyword ?? c.keyword ?? ""), " ",
      el("a", { class: "id", href: address({ show: "all", rule: id }) }, id),
      section ? el("span", { class: "faint" }, ` ${section}`) : null),
    paraphrase ? el("p", {}, paraphrase) : null,
    sentence ? el("blockquote", {}, el("span", { class: "off" }, "The sentence: "), sentence) : null,
  ];
  const copy = (what) => el("button", { type: "button", on: { click: async (event) => {
    const button = event.currentTarget;
    try {
      await navigator.clipboard.writeText(what);
      button.textContent = "Copied";
    } catch {
      const range = document.createRange();
      range.selectNodeContents(button.previousElementSibling);
      getSelection().removeAllRanges();
      getSelection().addRange(range);
      button.textContent = "Selected";
    }
  } } }, "Copy");
  const others = (i) => {
    const id = caseOf(i)[0];
    const all = [];
    for (let j = 0; j < total; j++) if (j !== i && caseOf(j)[0] === id) all.push(j);
    if (!all.length) return [];
    const items = all.slice(0, 300).map((j) => {
      const c = check(j);
      return el("li", {}, stateView(c), " ", el("a", { href: link(j) }, c.who[0]), c.attempt > 1 ? ` attempt ${c.attempt}` : "",
        c.observed !== null && c.observed === check(i).observed ? el("span", { class: "faint" }, ", observed the same") : null);
    });
    return part("The same check elsewhere", el("ul", {}, items));
  };
  const history = (i, c) => {
    if (!data.history.length) return [];
    const line = text(data.past[i]);
    const name = c.who[1] === 0 ? c.who[0] : null;
    const items = data.history.map((run, n) => {
      const column = line[n] === "-" ? -1 : Number(line[n]);
      const version = name ? run.versions[name] : null;
      return el("li", {},
        column < 0 ? el("span", { class: "state" }, "· not in it") : el("span", { class: `state ${CLASSES[column]}` }, el("span", { "aria-hidden": "true" }, SIGNS[column] + " "), WORDS[column]),
        ` ${run.started}, run ${run.run}`, version ? el("span", { class: "faint" }, `, ${name} ${version}`) : null);
    }).reverse();
    return part("History", el("ol", { class: "history" }, el("li", {}, stateView(c), " this run"), items));
  };
  const view = (i) => {
    const c = check(i);
    const d = c.detail;
    const place = found.indexOf(i);
    const step = (by, sign, word) => {
      const to = place < 0 ? undefined : found[place + by];
      return el("button", { type: "button", "aria-label": `${word} check`, disabled: to === undefined ? "" : null, on: { click: () => go(to) } }, sign);
    };
    const pre = (content) => el("pre", { tabindex: "0" }, content);
    dialog.replaceChildren(...flat([
      el("header", {},
        el("h2", { id: "check-h", class: "id" }, c.id),
        el("div", { class: "buttons" }, step(-1, "←", "Previous"), step(1, "→", "Next"),
          el("button", { type: "button", id: "close", on: { click: () => shut() } }, "Close"))),
      el("p", {}, stateView(c), ` on ${c.who[0]}`, c.flaky ? ", flaky" : "", c.simulation ? ", simulation" : ""),
      c.message ? el("p", { class: "message" }, c.message.split("\n").map((l, n) => (n ? [el("br"), l] : l))) : null,
      c.requirements.length ? part(c.requirements.length > 1 ? "Requirements" : "Requirement", c.requirements.map((r) => requirement(r, c))) : null,
      d.diff?.length ? part("Wanted (−) and got (+)", lines(d.diff)) : null,
      d.want && !d.diff?.length ? part("Wanted", pre(d.want)) : null,
      d.got && !d.diff?.length ? part("Got", pre(d.got)) : null,
      d.diff?.length ? el("details", {}, el("summary", {}, "Both whole"), part("Wanted", pre(d.want)), part("Got", pre(d.got))) : null,
      d.moved ? part("Stored (−) and seen (+)", lines(d.moved)) : null,
      d.log ? part("The tail of the log", pre(d.log)) : null,
      d.sequence ? d.sequence.map((n) => (n < 0 ? el("p", { class: "faint" }, "The transcript is not drawn: the page holds too many. It is in the result file.")
        : at(`sequence-${n}`).content.cloneNode(true))) : null,
      d.rerun ? part("Run it again", el("div", { class: "again" }, pre(d.rerun), copy(d.rerun))) : null,
      c.observed !== null && !d.got ? el("details", {}, el("summary", {}, `What was observed (${c.state})`), pre(c.observed)) : null,
      part("Facts", el("dl", { class: "facts" },
        fact("who", c.who[2].join(", ")), fact("outcome", c.outcome), fact("blame", d.blame), fact("failed as", d.failure),
        fact("ledger entry", d.ledger), fact("vector", c.source), fact("lane", c.lane), fact("cluster", d.cluster),
        fact("attempt", String(c.attempt)), fact("took", took(c.micros)),
        fact("evidence", d.evidence ? el("ul", {}, d.evidence.map((p) => el("li", { class: "id" }, p))) : null))),
      history(i, c), others(i),
    ]));
    if (!dialog.open) dialog.showModal();
    dialog.scrollTop = 0;
    at("close").focus();
  };
  const go = (i) => { if (i !== undefined) location.hash = link(i); };
  const find = () => {
    for (let i = 0; i < total; i++) {
      const c = check(i);
      if (c.id === state.check && (!state.on || c.who[0] === state.on) && (!state.attempt || String(c.attempt) === state.attempt)) return i;
    }
    return -1;
  };
  // At once: the browser tells of a dialog's end only a while after it, when the address may have
  // moved on.
  const shut = () => {
    if (dialog.open) dialog.close();
    if (open < 0) return;
    const last = open;
    open = -1;
    if (state.check) {
      const rest = Object.fromEntries(NARROW.map((k) => [k, state[k]]).filter(([, v]) => v));
      history_replace(Object.keys(rest).length ? rest : { show: "odd" });
      list(false);
    }
    body?.querySelector(`tr[data-row="${last}"] a`)?.focus();
  };
  dialog.addEventListener("cancel", (event) => { event.preventDefault(); shut(); });
  // By whatever else closes it.
  dialog.addEventListener("close", shut);
  const history_replace = (to) => { window.history.replaceState(null, "", address(to)); state = to; };

  // ---- from the address to the page ----
  let drawn = null;
  const list = (scroll) => {
    at("show").value = SHOW.some(([k]) => k === state.show) ? state.show : "odd";
    at("who").value = people.includes(state.who) ? state.who : "";
    at("lane").value = state.lane ?? "";
    at("keyword").value = state.keyword ?? "";
    if (document.activeElement !== at("in")) at("in").value = state.in ?? "";
    if (document.activeElement !== at("rule")) at("rule").value = state.rule ?? "";
    if (document.activeElement !== at("q")) at("q").value = state.q ?? "";
    const key = address(Object.fromEntries(NARROW.map((k) => [k, state[k]])));
    if (key !== drawn) {
      drawn = key;
      draw();
      if (scroll) { at("checks").scrollIntoView(); at("checks-h").focus({ preventScroll: true }); }
    }
  };
  const follow = () => {
    state = asked();
    list(asks() && !state.check && !typing());
    const to = state.check ? find() : -1;
    if (to >= 0) view(open = to);
    else shut();
  };

  // ---- from the form to the address ----
  bind({
    typed: ["q", "in", "rule"],
    chosen: ["show", "who", "lane", "keyword"],
    submit: () => {
      const to = NARROW.map((id) => [id, at(id).value.trim()]);
      history_replace(Object.fromEntries(to.filter(([, v]) => v)));
      list(false);
    },
    follow,
    // A search goes through everything, unless something is chosen.
    onType: () => {
      if ((at("q").value || at("rule").value) && at("show").value === "odd") at("show").value = "all";
    },
    onClear: () => { at("show").value = "odd"; },
  });

  // ---- keys ----
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const into = event.target;
    const writes = into.matches?.("input, select, textarea");
    if (dialog.open) {
      const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (by && !into.matches?.("pre, .scroll")) { event.preventDefault(); const place = found.indexOf(open); if (place >= 0) go(found[place + by]); }
      return;
    }
    const down = { ArrowDown: 1, ArrowUp: -1 }[event.key];
    if (!down || (writes && into !== at("q"))) return;
    const here = into.closest?.("#list tr[data-row]");
    if (!here && into !== at("q")) return;
    const to = here ? (down > 0 ? here.nextElementSibling : here.previousElementSibling) : body?.rows[0];
    if (to) { event.preventDefault(); to.querySelector("a").focus(); }
    else if (here && down < 0) { event.preventDefault(); at("q").focus(); }
    else if (here && !at("more").hidden) { event.preventDefault(); at("more").focus(); }
  });

  // ---- by requirement ----
  // A table for each specification, made when it is opened.
  const LIVE = "live nodes";
  const rules = () => {
    const specs = new Map();
    data.requirements.forEach((r, n) => {
      const spec = r[2]?.split(", ")[0] ?? r[0].split("/")[0];
      if (!specs.has(spec)) specs.set(spec, []);
      specs.get(spec).push(n);
    });
    if (!specs.size) return;
    // For each requirement and column, checks by what came of them.
    const cells = data.requirements.map(() => new Map());
    for (let i = 0; i < total; i++) {
      const [name, live] = data.who[field(i, 1)];
      const column = live ? LIVE : name;
      for (const r of caseOf(i)[1]) {
        if (!cells[r].has(column)) cells[r].set(column, new Array(CLASSES.length).fill(0));
        cells[r].get(column)[columnOf(i)]++;
      }
    }
    const SEVERITY = [1, 2, 3, 0, 4, 6, 5];
    const worst = (counts) => SEVERITY.find((c) => counts[c]);
    const cell = (r, column) => {
      const counts = cells[r].get(column);
      if (!counts) return el("td", { class: "none" });
      const href = address({ show: "all", ...(column === LIVE ? { lane: "cluster" } : { who: column }), rule: data.requirements[r][0] });
      return el("td", { class: CLASSES[worst(counts)] }, el("a", { href }, SEVERITY.filter((c) => counts[c]).map((c) =>
        el("span", { class: "mark" }, el("span", { "aria-hidden": "true" }, SIGNS[c] + " "), `${counts[c]}`, el("span", { class: "off" }, ` ${WORDS[c]} `)))));
    };
    const table = (spec, list) => {
      const columns = [...data.who.filter((w) => w[1] === 0).map((w) => w[0]), LIVE].filter((c) => list.some((r) => cells[r].has(c)));
      return el("div", { class: "scroll", role: "region", "aria-label": `Requirements of ${spec}, a table`, tabindex: "0" },
        el("table", { class: "matrix" }, el("caption", { class: "off" }, `Requirements of ${spec}`),
          el("thead", {}, el("tr", {}, ["requirement", ...columns].map((c) => el("th", { scope: "col" }, c)))),
          el("tbody", {}, list.map((r) => {
            const [id, keyword, , paraphrase] = data.requirements[r];
            return el("tr", {}, el("th", { scope: "row" }, keyword ? el("span", { class: "badge" }, keyword) : null, " ",
              el("a", { class: "id", href: address({ show: "all", rule: id }) }, id), paraphrase ? el("div", { class: "faint" }, paraphrase) : null),
              columns.map((c) => cell(r, c)));
          }))));
    };
    for (const [spec, list] of [...specs].sort(([a], [b]) => (a < b ? -1 : 1))) {
      const bad = list.filter((r) => [...cells[r].values()].some((counts) => counts[1])).length;
      const known = list.filter((r) => [...cells[r].values()].some((counts) => counts[2] || counts[3])).length;
      const details = el("details", {}, el("summary", {}, `${spec} `, el("span", { class: "faint" }, list.length === 1 ? "1 requirement" : `${list.length} requirements`),
        bad ? el("span", { class: "unexpected" }, ` ✗ ${bad} unexpected`) : null, known ? el("span", { class: "known" }, ` ◆ ${known} known or warned`) : null));
      details.addEventListener("toggle", () => { if (details.open && !details.querySelector("table")) details.append(table(spec, list)); });
      at("rule-tables").append(details);
    }
    document.querySelectorAll(".needs-script").forEach((e) => { e.hidden = false; });
  };

  // ---- folding ----
  const sections = at("sections");
  if (sections) {
    const fold = (folded) => {
      sections.classList.toggle("folded", folded);
      at("unfold").textContent = folded ? "Unfold the sections" : "Fold the sections";
      at("unfold").setAttribute("aria-expanded", String(!folded));
    };
    at("unfold").addEventListener("click", () => fold(!sections.classList.contains("folded")));
    if (sections.querySelector(".part")) {
      sections.querySelector(".tools").hidden = false;
      fold(sections.querySelectorAll(".part").length > 30);
    }
  }

  rules();
  follow();
  performance.mark("ready");
  document.documentElement.dataset.ready = "1";
})();
