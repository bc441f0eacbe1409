// Result files for the browser tests: one of everything, its predecessor, and a large one.

const SCRIPT = "<script>alert(1)</script>";
const BREAKOUT = "</script><script>alert(2)</script><!--\u2028\u202e<img src=x onerror=alert(3)>";

const head = (run, started, implementations) => ({
  type: "run", format: 1, run, harness: "0.1.0", vectors: "sha256:00",
  specs: { bolt12: "a3772650d8eb" }, implementations, seed: "42",
  machine: "linux x86_64, 2 cores", started, command: ["lnconform", "run"],
});
const implementation = (name, version) => ({ name, version, available: true });
const check = (id, who, outcome, more = {}) => ({
  type: "check", id, attempt: 1, ...(typeof who === "string" ? { implementation: who } : { roles: who }),
  lane: typeof who === "string" ? "codec" : "cluster", outcome, expected: true, warning: false, flaky: false,
  requirements: [], duration_us: 7, evidence: [], ...more,
});
const summary = (exit_code, notes = []) => ({
  type: "summary", counts: {}, unexpected: 1, stale: 0, exit_code, duration_ms: 2345, notes,
});
export const lines = (records) => records.map((r) => JSON.stringify(r) + "\n").join("");

const RULE = "bolt12/offer/reader/unknown-even-feature";
// What the payee of a payment heard and said: two messages of a handshake, then many payments.
const PAYER = "02".padEnd(66, "c");
const said = [{ at_ms: 1502, direction: "in", peer: PAYER, message: "init", features: "80".repeat(40), inbound: true }];
for (let n = 0; n < 30; n++) {
  said.push(
    { at_ms: 3401 + 60 * n, direction: "in", peer: PAYER, message: "update_add_htlc", htlc_id: n, amount_msat: "100000", payment_hash: "5c".repeat(32), cltv_expiry: 188,
      payload: [{ type: "2", value: "0186a0" }, { type: "4", value: "bc" }, { type: "5482373484", value: "6c".repeat(32) }] },
    { at_ms: 3420 + 60 * n, direction: "in", peer: PAYER, message: "commitment_signed", bytes: "ff".repeat(98) },
    { at_ms: 3449 + 60 * n, direction: "out", peer: PAYER, message: "update_fail_htlc", htlc_id: n,
      failure: { code: 16399, name: "incorrect_or_unknown_payment_details", data: "00000000000186a00000006c", hop: 0 } });
}
const pair = { payer: "ldk-node", payee: "lnd" };
const known = ["reference", "ldk-0.2", "lnd", "ldk-node"];

export const everything = [
  head("new", "2026-11-26T10:00:00Z", [...known.map((n) => implementation(n, "1.2.3")), implementation(SCRIPT, BREAKOUT),
    { name: "electrum", version: "", available: false, reason: "electrum is not installed: `lnconform install electrum` installs it" }]),
  check("bolt12/offer/minimal", "reference", "passed"),
  check("bolt12/offer/minimal", "ldk-0.2", "passed"),
  check("bolt12/offer/minimal", "lnd", "unsupported", { message: "lnd lacks bolt12.offer.decode" }),
  check("bolt12/offer/minimal", "electrum", "could-not-run", { message: "electrum is not installed" }),
  check("bolt12/offer/minimal", SCRIPT, "passed"),
  check("bolt12/offer/unknown-even", "ldk-0.2", "failed", {
    expected: false, blame: "implementation", requirements: [RULE], keyword: "MUST",
    message: "it was accepted; an error was expected", want: { error: { rule: RULE } }, got: { result: { offer_id: "ab".repeat(32) } },
    rerun: "lnconform run 'bolt12/offer/unknown-even' --adapter ldk-0.2", evidence: [".lnconform/evidence/1/stderr"],
    failure: { kind: "accepted", message: "it was accepted" }, source: "vectors/bolt12/offer/unknown-even.yaml:9",
  }),
  check("bolt12/offer/known", "ldk-0.2", "failed", {
    blame: "implementation", requirements: [RULE], keyword: "MUST", message: "known", expectation: "tests/expectations/ldk.yaml:3",
    want: { a: 1 }, got: { a: 2 }, rerun: "lnconform run 'bolt12/offer/known' --adapter ldk-0.2",
  }),
  check("bolt12/offer/known", "reference", "passed"),
  check("bolt12/encoding/case", "ldk-0.2", "failed", { warning: true, keyword: "SHOULD", message: "upper case" }),
  check("bolt12/encoding/case", "lnd", "not-applicable", { message: "lnd does not speak the dialect" }),
  check("bolt12/encoding/mended", "ldk-0.2", "passed", { expected: false, message: "passes, although the ledger expects it to fail" }),
  check("hostile/name", SCRIPT, "failed", {
    expected: false, blame: "harness", message: `one ${BREAKOUT}\ntwo`, want: { [BREAKOUT]: BREAKOUT }, got: { x: BREAKOUT },
    log_tail: `a line\n${BREAKOUT}\n`, rerun: `lnconform run '${BREAKOUT}'`, evidence: [BREAKOUT],
    transcripts: [{ role: BREAKOUT, lines: [{ message: BREAKOUT, peer: SCRIPT, [BREAKOUT]: BREAKOUT, failure: { name: SCRIPT }, payload: [{ type: SCRIPT, value: BREAKOUT }] }] }],
  }),
  check(`hostile/${BREAKOUT}`, "reference", "passed"),
  check("keysend/direct#paid", pair, "passed"),
  check("keysend/direct#paid", { payer: "lnd", payee: "ldk-node" }, "failed", {
    expected: false, flaky: true, attempt: 1, blame: "environment", message: "no deadline", log_tail: "12:00 opened\n12:01 closed\n",
    cluster: "c1", transcripts: [{ role: "payee", lines: said, left_out: 12 }],
  }),
  check("keysend/direct#paid", { payer: "lnd", payee: "ldk-node" }, "passed", { flaky: true, attempt: 2 }),
  { type: "observation", id: "bolt12/offer/minimal", implementation: "reference", value: { offer_id: "cd" }, snapshot: "same" },
  { type: "observation", id: "bolt12/offer/minimal", implementation: "ldk-0.2", value: { offer_id: "cd" }, snapshot: "changed", diff: "--- stored\n+++ seen\n@@ -1 +1 @@\n-offer_id: ab\n+offer_id: cd\n" },
  { type: "disagreement", id: "bolt12/offer/silent", groups: [{ implementations: ["reference", SCRIPT], value: { n: 1 } }, { implementations: ["lnd"], value: BREAKOUT }] },
  { type: "dialect", name: "async/ldk", title: "LDK's", draft: "Async payments", speakers: ["ldk-node", SCRIPT], passed: 3, failed: 1, numbers: { "held HTLCs, feature": "52/53", [BREAKOUT]: BREAKOUT }, source: "features.rs" },
  { type: "node", role: "payer", implementation: "lnd", version: "1.2.3", node_id: PAYER, started_ms: 410, log: "payer/adapter.log", cluster: "c1" },
  { type: "phase", name: "start", duration_ms: 410, cluster: "c1" },
  { type: "phase", name: "steps", duration_ms: 1200, cluster: "c1", id: "keysend/direct" },
  summary(1, ["tests/expectations/ldk.yaml:20: a/gone on ldk-0.2: no check has this id", "flaky: keysend/direct#paid passed 1 of 2 times"]),
];

export const before = [
  head("old", "2026-11-25T10:00:00Z", known.map((n) => implementation(n, "1.2.2"))),
  check("bolt12/offer/minimal", "reference", "passed"),
  check("bolt12/offer/unknown-even", "ldk-0.2", "passed"),
  check("bolt12/offer/known", "ldk-0.2", "failed", { expectation: "tests/expectations/ldk.yaml:3", message: "known" }),
  summary(0),
];

// 20,000 checks, as a full run has them.
export const many = [head("many", "2026-11-26T10:00:00Z", ["a", "b", "c", "d"].map((n) => implementation(n, "1")))];
for (let i = 0; i < 5000; i++) {
  for (const who of ["a", "b", "c", "d"]) {
    const id = `section-${i % 40}/part-${i % 7}/case-number-${i}`;
    const outcome = who === "d" ? "unsupported" : i % 50 === 0 && who === "c" ? "failed" : "passed";
    many.push(check(id, who, outcome, {
      requirements: [`spec/rule-${i % 700}`], keyword: "MUST",
      ...(outcome === "passed" ? {} : { message: `${who} says ${outcome} of ${i}`, source: `vectors/${id}.yaml:2` }),
      ...(outcome === "failed" ? { want: { n: i, data: "00".repeat(200) }, got: { n: i + 1, data: "00".repeat(200) }, expectation: "x.yaml:1" } : {}),
    }));
    if (outcome === "passed") many.push({ type: "observation", id, implementation: who, value: { n: i, data: "ab".repeat(150) }, snapshot: "same" });
  }
}
many.push(summary(0));

export { BREAKOUT, SCRIPT };
