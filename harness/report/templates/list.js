"use strict";
// What the pages with a list have in common; their own script follows in the same element. What is
// shown is in the address (`#show=…&q=…`), so that a link leads to it and the browser's own way back
// works.
const at = (id) => document.getElementById(id);
const address = (state) => {
  const parts = Object.entries(state).filter(([, v]) => v !== "" && v !== undefined && v !== null);
  return "#" + parts.map(([k, v]) => `${k}=${encodeURIComponent(v)}`).join("&");
};
// Whether the address asks for a part of the list, and for which. A plain anchor does not.
const asks = () => location.hash.includes("=");
const asked = () => (asks() ? Object.fromEntries(new URLSearchParams(location.hash.slice(1).replaceAll("+", "%2B"))) : {});
// Whether the reader is at the form.
const typing = () => at("filter").contains(document.activeElement);
// What a search looks for.
const wordsOf = (text) => text.toLowerCase().split(/\s+/).filter(Boolean);

// Ties form, keys and address to the list. `typed` are the ids of the fields that take text, `chosen`
// those of the others; `submit` shows what the form says, `follow` what the address says; `onType` and
// `onClear` come before a `submit`.
const bind = ({ typed, chosen, submit, follow, onType, onClear }) => {
  let waiting = 0;
  const now = () => { clearTimeout(waiting); submit(); };
  for (const id of typed) {
    at(id).addEventListener("input", () => { onType?.(); clearTimeout(waiting); waiting = setTimeout(submit, 120); });
  }
  for (const id of chosen) at(id).addEventListener("change", now);
  at("filter").addEventListener("submit", (event) => { event.preventDefault(); now(); });
  at("reset").addEventListener("click", (event) => {
    event.preventDefault();
    for (const id of [...typed, ...chosen]) at(id).value = "";
    onClear?.();
    now();
  });
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.target.matches?.("input, select, textarea") || document.querySelector("dialog[open]")) return;
    event.preventDefault();
    at("q").focus();
    at("filter").closest("section").scrollIntoView();
  });
  // A plain anchor is the browser's own affair.
  window.addEventListener("hashchange", () => { if (!location.hash || asks()) follow(); });
  at("filter").hidden = false;
};
