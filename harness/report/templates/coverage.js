"use strict";
// The filter over the statements. The rows stand in the page; what does not fit the choice is hidden.
// The choice is in the address (`#spec=…&state=…`), so that a link leads to it.
(() => {
  const at = (id) => document.getElementById(id);
  const fields = ["q", "state", "kind", "spec", "who"];
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
    const words = at("q").value.toLowerCase().split(/\s+/).filter(Boolean);
    const [state, kind, spec, who] = fields.slice(1).map((id) => at(id).value);
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
    const parts = fields.map((id) => [id, at(id).value.trim()]).filter(([, value]) => value);
    const hash = parts.map(([id, value]) => `${id}=${encodeURIComponent(value)}`).join("&");
    window.history.replaceState(null, "", hash ? `#${hash}` : location.pathname + location.search);
    draw();
  };
  const follow = (first) => {
    const raw = location.hash.slice(1);
    // A plain anchor is the browser's own affair.
    if (raw && !raw.includes("=") && !first) return;
    const asked = raw.includes("=") ? new URLSearchParams(raw.replaceAll("+", "%2B")) : new URLSearchParams();
    for (const id of fields) at(id).value = asked.get(id) ?? "";
    // A choice that the page does not have is none.
    for (const id of fields.slice(1)) if (at(id).selectedIndex < 0) at(id).value = "";
    draw();
    if (raw.includes("=") && !at("filter").contains(document.activeElement)) at("statements").scrollIntoView();
  };
  let waiting = 0;
  at("q").addEventListener("input", () => { clearTimeout(waiting); waiting = setTimeout(submit, 120); });
  for (const id of fields.slice(1)) at(id).addEventListener("change", submit);
  at("filter").addEventListener("submit", (event) => { event.preventDefault(); submit(); });
  at("reset").addEventListener("click", (event) => {
    event.preventDefault();
    for (const id of fields) at(id).value = "";
    submit();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey || event.target.matches?.("input, select")) return;
    event.preventDefault();
    at("q").focus();
    at("statements").scrollIntoView();
  });
  window.addEventListener("hashchange", () => follow(false));
  at("filter").hidden = false;
  follow(true);
  document.documentElement.dataset.ready = "1";
})();
