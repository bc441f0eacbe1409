// The filter over the statements. The rows stand in the page; what does not fit the choice is hidden.
(() => {
  const chosen = ["state", "kind", "spec", "who"];
  const fields = ["q", ...chosen];
  const groups = [...document.querySelectorAll(".group")].map((node) => ({
    node, spec: node.dataset.spec, kind: node.dataset.kind,
    rows: [...node.querySelectorAll("tbody tr")].map((row) => ({
      row, text: null, facts: row.dataset.facts.split(" "),
      who: [...row.querySelectorAll(".one")].map((one) => one.textContent),
    })),
  }));
  const total = groups.reduce((n, g) => n + g.rows.length, 0);
  const text = (r) => (r.text ??= r.row.textContent.toLowerCase());

  const draw = () => {
    const words = wordsOf(at("q").value);
    const [state, kind, spec, who] = chosen.map((id) => at(id).value);
    let found = 0;
    for (const g of groups) {
      const fits = (!kind || g.kind === kind) && (!spec || g.spec === spec);
      let here = 0;
      for (const r of g.rows) {
        const shown = fits && (!state || r.facts.includes(state)) && (!who || r.who.includes(who)) && words.every((w) => text(r).includes(w));
        r.row.hidden = !shown;
        here += shown ? 1 : 0;
      }
      g.node.hidden = here === 0;
      found += here;
    }
    at("found").textContent = found === total ? `${total} statements` : `${found} of ${total} statements`;
  };
  const submit = () => {
    const to = address(Object.fromEntries(fields.map((id) => [id, at(id).value.trim()])));
    window.history.replaceState(null, "", to === "#" ? location.pathname + location.search : to);
    draw();
  };
  const follow = () => {
    const state = asked();
    for (const id of fields) at(id).value = state[id] ?? "";
    // A choice that the page does not have is none.
    for (const id of chosen) if (at(id).selectedIndex < 0) at(id).value = "";
    draw();
    if (asks() && !typing()) at("statements").scrollIntoView();
  };
  bind({ typed: ["q"], chosen, submit, follow });
  follow();
  document.documentElement.dataset.ready = "1";
})();
