//! The formats that are written from a result file, from one that holds every outcome, every blame
//! and names that nobody should be able to use.

use crate::html::{self, Sentence, Sentences};
use crate::tests::{
    HOSTILE, check, everything, file, harmless, head, implementation, requirement, roles,
};
use crate::{badge, diff, junit, markdown};
use lnconform_engine::record::*;
use lnconform_engine::results::Counters;
use serde_json::{Value, json};
use std::path::Path;
use std::time::Duration;

/// A name that is markup.
const SCRIPT: &str = "<script>alert(1)</script>";
/// What would end a script element, begin a comment, and break a line of JavaScript.
const BREAKOUT: &str = "</script><!-- \u{2028}\u{2029}\u{202e} &lt; `|`";

/// Screens lie beside the other snapshots of the project.
macro_rules! screen {
    ($name:expr, $text:expr) => {
        insta::with_settings!({
            snapshot_path => "../../../../tests/snapshots/screens",
            prepend_module_to_snapshot => false,
            omit_expression => true,
        }, {
            insta::assert_snapshot!($name, $text);
        });
    };
}

fn sentences() -> Sentences<'static> {
    Box::new(|id| {
        Some(Sentence {
            requirement: requirement(id)?,
            sentence: Some("MUST NOT respond to the offer.".into()),
        })
    })
}

/// A conversation in which everything is `text`.
fn said(text: &str) -> Transcript {
    let line = json!({"at_ms": 7, "direction": "out", "peer": text, "message": text, text: text,
        "failure": {"name": text, "code": 16399}, "payload": [{"type": "2", "value": text}]});
    let lines = serde_json::from_value(json!([line])).unwrap();
    Transcript {
        role: text.into(),
        lines,
        left_out: 3,
    }
}

/// [`everything`], and what the views for the terminal have no use for.
fn sample() -> Vec<Record> {
    let mut records = everything();
    let end = records.pop().unwrap();
    if let Some(Record::Run(run)) = records.first_mut() {
        run.implementations
            .push(implementation(SCRIPT, BREAKOUT, None));
        run.specs.insert("bolt12".into(), "a3772650".into());
    }
    let live = |who: [&str; 2], outcome| Check {
        implementation: None,
        roles: Some(
            [("payer", who[0]), ("payee", who[1])]
                .map(|(r, i)| (r.into(), i.into()))
                .into(),
        ),
        lane: Lane::Cluster,
        cluster: Some("c1".into()),
        ..check("keysend/direct#paid", "", outcome)
    };
    let checks = [
        check("bolt12/offer/minimal", SCRIPT, Outcome::Passed),
        Check {
            message: Some(BREAKOUT.into()),
            want: Some(json!({BREAKOUT: BREAKOUT})),
            got: Some(json!({"x": [BREAKOUT, "```"]})),
            log_tail: Some(format!("one\n{BREAKOUT}\n```\n</pre>\n]]>\n")),
            evidence: vec![BREAKOUT.into()],
            blame: Some(Blame::Harness),
            requirements: vec![BREAKOUT.into()],
            cluster: Some(BREAKOUT.into()),
            transcripts: vec![said(BREAKOUT)],
            ..check(&format!("hostile/{BREAKOUT}"), SCRIPT, Outcome::Failed)
        },
        Check {
            expected: false,
            blame: Some(Blame::Environment),
            message: Some("bitcoind died".into()),
            ..check("keysend/lost", "lnd", Outcome::CouldNotRun)
        },
        Check {
            message: Some("no such dialect".into()),
            ..check("async/other", "reference", Outcome::NotApplicable)
        },
        Check {
            flaky: true,
            duration_us: 1_500_000,
            ..live(["lnd", "lnd"], Outcome::Passed)
        },
        Check {
            expected: true,
            flaky: true,
            attempt: 2,
            expectation: Some("tests/expectations/lnd.yaml:7".into()),
            message: Some("not settled".into()),
            ..live(["lnd", "lnd"], Outcome::Failed)
        },
        live([SCRIPT, "lnd"], Outcome::Unsupported),
        Check {
            simulation: true,
            ..check("keysend-proof/lock/made", "reference", Outcome::Passed)
        },
    ];
    records.extend(checks.map(|c| Record::Check(Box::new(c))));
    records.push(Record::Disagreement(Disagreement {
        id: BREAKOUT.into(),
        groups: vec![
            DisagreementGroup {
                implementations: vec![SCRIPT.into()],
                value: json!(BREAKOUT),
            },
            DisagreementGroup {
                implementations: vec!["lnd".into()],
                value: json!({"error": {}}),
            },
        ],
    }));
    records.push(Record::Phase(Phase {
        id: Some("keysend/direct".into()),
        cluster: Some("c1".into()),
        ..Phase::new("settle", Duration::from_millis(70))
    }));
    // The numbers of the end are those of the records.
    let mut counters = Counters::default();
    for record in &records {
        if let Record::Check(check) = record {
            counters.check(check);
        }
    }
    let notes = match end {
        Record::Summary(summary) => summary.notes,
        _ => vec![],
    };
    let code = counters.exit_code(2, false, false);
    records.push(Record::Summary(counters.summary(
        notes,
        code,
        Duration::from_millis(2345),
    )));
    records
}

/// The file of [`sample`], with lines of a type that this version does not know.
fn sample_file() -> (tempfile::TempDir, std::path::PathBuf) {
    let (dir, path) = file(&sample());
    let text = std::fs::read_to_string(&path).unwrap();
    let at = text.trim_end().rfind('\n').unwrap() + 1;
    let more = concat!(
        "{\"type\":\"dialect\",\"name\":\"async/ldk\",\"title\":\"LDK's\",\"draft\":\"Async payments\",\"speakers\":[\"ldk-node\",\"<script>alert(1)</script>\"],\"passed\":3,\"failed\":1,\"numbers\":{\"held HTLCs\":\"52/53\"},\"source\":\"features.rs\"}\n",
        "{\"type\":\"weather\",\"sun\":true}\n",
    );
    std::fs::write(&path, format!("{}{more}{}", &text[..at], &text[at..])).unwrap();
    (dir, path)
}

fn page_of(paths: &[&Path]) -> String {
    let mut out = Vec::new();
    let _ = html::show(paths, &mut out, &sentences()).unwrap();
    String::from_utf8(out).unwrap()
}

/// The content of the element that begins with `open`.
fn inner<'t>(page: &'t str, open: &str, close: &str) -> &'t str {
    let from = page.find(open).unwrap() + open.len();
    let len = page[from..].find(close).unwrap();
    &page[from..from + len]
}

fn data_of(page: &str) -> Value {
    let text = inner(page, "id=\"data\">", "</script>");
    serde_json::from_str(text).unwrap()
}

#[test]
fn the_page_of_a_run() {
    let (_dir, path) = sample_file();
    let page = page_of(&[&path]);
    harmless(&page);
    // Our own three elements, whatever the names are.
    assert_eq!(page.matches("<script").count(), 3);
    assert_eq!(page.matches("</script").count(), 3);
    assert!(!page.contains("<!--") && !page.contains("<img"));
    assert!(!page.contains(['\u{2028}', '\u{2029}']));
    // It fetches nothing, and its policy forbids it to.
    for word in ["http:", "https:", "src=", "@import"] {
        assert!(!page.contains(word), "{word}");
    }
    let style = inner(&page, "<style>", "</style>");
    let scripts: Vec<&str> = page
        .split("<script>")
        .skip(1)
        .map(|s| s.split("</script>").next().unwrap())
        .collect();
    let policy = inner(&page, "Content-Security-Policy\" content=\"", "\">");
    assert!(
        policy.starts_with("default-src &#39;none&#39;;"),
        "{policy}"
    );
    for text in scripts.iter().chain([&style]) {
        use base64::Engine as _;
        use sha2::Digest as _;
        let hash =
            base64::engine::general_purpose::STANDARD.encode(sha2::Sha256::digest(text.as_bytes()));
        assert!(
            policy.contains(&hash.replace('+', "&#43;")) || policy.contains(&hash),
            "{policy} lacks {hash}"
        );
    }
    let data = data_of(&page);
    let mut shown = page.replace(style, "…").replace(policy, "…");
    for script in scripts {
        shown = shown.replace(script, "…");
    }
    let compact = inner(&shown, "id=\"data\">", "</script>").to_owned();
    let pretty = serde_json::to_string_pretty(&data).unwrap();
    screen!("report_page", shown.replace(&compact, "…"));
    // The page escapes what JSON need not; so these characters are seen here.
    screen!("report_page_data", pretty);
}

#[test]
fn the_page_holds_every_check() {
    let (_dir, path) = sample_file();
    let data = data_of(&page_of(&[&path]));
    let texts = data["texts"].as_array().unwrap();
    let rows = data["rows"].as_array().unwrap();
    let at = |row: usize, field: usize| rows[row * 9 + field].as_i64().unwrap();
    let checks: Vec<Check> = sample()
        .into_iter()
        .filter_map(|r| match r {
            Record::Check(c) => Some(*c),
            _ => None,
        })
        .collect();
    assert_eq!(rows.len(), checks.len() * 9);
    for (i, check) in checks.iter().enumerate() {
        let case = &data["cases"][at(i, 0) as usize];
        let id = texts[case[0].as_u64().unwrap() as usize].as_str().unwrap();
        assert_eq!(id, crate::text::clean(&check.id));
        let who = data["who"][at(i, 1) as usize][0].as_str().unwrap();
        assert_eq!(who, crate::text::clean(&check.who()));
        assert_eq!(at(i, 3), i64::from(check.attempt));
        assert_eq!(at(i, 2) >= 64, check.flaky);
        let names: Vec<&str> = case[1]
            .as_array()
            .unwrap()
            .iter()
            .map(|r| {
                data["requirements"][r.as_u64().unwrap() as usize][0]
                    .as_str()
                    .unwrap()
            })
            .collect();
        let wanted: Vec<_> = check
            .requirements
            .iter()
            .map(|r| crate::text::clean(r))
            .collect();
        assert_eq!(names, wanted);
        let detail = usize::try_from(at(i, 6)).ok().map(|d| &data["details"][d]);
        assert_eq!(
            detail.and_then(|d| d["rerun"].as_str()).is_some(),
            check.rerun.is_some(),
            "{id}"
        );
    }
}

#[test]
fn earlier_runs_are_history_in_any_order() {
    let of = |day: &str, outcome, more: Vec<Check>| {
        let mut run = head(vec![implementation("ldk-0.2", day, None)]);
        if let Record::Run(run) = &mut run {
            run.started = format!("2026-11-{day}T12:00:00Z");
            run.run = format!("run-{day}");
        }
        let first = check("a/b", "ldk-0.2", outcome);
        let checks = std::iter::once(first)
            .chain(more)
            .map(|c| Record::Check(Box::new(c)));
        file(&std::iter::once(run).chain(checks).collect::<Vec<_>>())
    };
    let again = Check {
        attempt: 2,
        ..check("a/b", "ldk-0.2", Outcome::Passed)
    };
    let (_a, first) = of("01", Outcome::Unsupported, vec![]);
    let (_b, second) = of("02", Outcome::Failed, vec![again]);
    let (_c, third) = of(
        "03",
        Outcome::Passed,
        vec![check("a/new", "ldk-0.2", Outcome::Passed)],
    );
    let orders: [[&Path; 3]; 3] = [
        [&first, &second, &third],
        [&third, &first, &second],
        [&second, &third, &first],
    ];
    for order in orders {
        let page = page_of(&order);
        let data = data_of(&page);
        assert!(page.contains("run run-03"), "the latest is shown");
        let runs: Vec<&str> = data["history"]
            .as_array()
            .unwrap()
            .iter()
            .map(|h| h["run"].as_str().unwrap())
            .collect();
        assert_eq!(runs, ["run-01", "run-02"]);
        assert_eq!(data["history"][0]["versions"]["ldk-0.2"], "01");
        let past: Vec<&str> = data["past"]
            .as_array()
            .unwrap()
            .iter()
            .map(|p| {
                data["texts"][p.as_u64().unwrap() as usize]
                    .as_str()
                    .unwrap()
            })
            .collect();
        // Unsupported, then unexpected, the worst of two attempts; and one that was in neither.
        assert_eq!(past, ["41", "--"]);
    }
    let alone = data_of(&page_of(&[&third]));
    assert_eq!(
        (&alone["history"], &alone["past"]),
        (&json!([]), &json!([]))
    );
}

#[test]
fn long_texts_are_cut_on_the_page() {
    let long = Check {
        got: Some(json!("é".repeat(100_000))),
        log_tail: Some("x\n".repeat(50_000)),
        ..check("a/long", "lnd", Outcome::Failed)
    };
    let (_dir, path) = file(&[head(vec![]), Record::Check(Box::new(long))]);
    let page = page_of(&[&path]);
    assert!(page.len() < 200_000, "{}", page.len());
    assert_eq!(
        page.matches("… cut; the whole is in the result file")
            .count(),
        2
    );
}

#[test]
fn who_paid_whom_is_a_table_on_the_page() {
    let (_dir, path) = file(&roles());
    let page = page_of(&[&path]);
    let part = inner(&page, "id=\"roles\"", "</section>");
    for text in [
        "✗</span> UNEXPECTED",
        "◆</span> known",
        "○</span> unsupported",
        "not allowed by the scenario",
    ] {
        assert!(part.contains(text), "{text}");
    }
    // The heading of a table tells its worst cell.
    assert!(part.contains("<span class=\"sign unexpected\">"), "{part}");
}

/// What a JUnit file may hold, after the strictest of the schemas in use (Jenkins' xUnit plugin,
/// junit-10): elements with their attributes and the elements below them.
const JUNIT: [(&str, &[&str], &[&str]); 8] = [
    (
        "testsuites",
        &["name", "tests", "failures", "errors", "time"],
        &["testsuite"],
    ),
    (
        "testsuite",
        &["name", "tests", "failures", "errors", "skipped", "time"],
        &["properties", "testcase", "system-out", "system-err"],
    ),
    (
        "testcase",
        &["name", "classname", "time"],
        &["skipped", "failure", "error", "system-out", "system-err"],
    ),
    ("properties", &[], &["property"]),
    ("property", &["name", "value"], &[]),
    ("skipped", &["message", "type"], &[]),
    ("failure", &["message", "type"], &[]),
    ("error", &["message", "type"], &[]),
];

/// An element while it is read.
#[derive(Default)]
struct Open {
    name: String,
    attributes: std::collections::BTreeMap<String, String>,
    /// Cases below it, and those among them that failed, erred and were skipped.
    counts: [u64; 4],
    verdicts: u64,
}

/// Holds a file against [`JUNIT`], its own counts, and the rule that a case has one verdict at most.
fn junit_fault(text: &str) -> Option<String> {
    use quick_xml::events::Event;
    let mut reader = quick_xml::Reader::from_str(text);
    let mut open: Vec<Open> = Vec::new();
    let mut roots = 0;
    let begin =
        |e: &quick_xml::events::BytesStart<'_>, open: &mut Vec<Open>| -> Result<(), String> {
            let name = String::from_utf8_lossy(e.name().as_ref()).into_owned();
            let below = open.last().map(|o| o.name.as_str());
            match below {
                None if name == "testsuites" => {}
                None => return Err(format!("the root is {name}")),
                Some(parent) => {
                    let allowed = JUNIT.iter().find(|(n, ..)| *n == parent).map(|(.., c)| *c);
                    if !allowed.is_some_and(|c| c.contains(&name.as_str())) {
                        return Err(format!("{name} in {parent}"));
                    }
                }
            }
            let mut element = Open {
                name: name.clone(),
                ..Open::default()
            };
            for attribute in e.attributes() {
                let attribute = attribute.map_err(|e| e.to_string())?;
                let key = String::from_utf8_lossy(attribute.key.as_ref()).into_owned();
                let known = JUNIT.iter().find(|(n, ..)| *n == name).map(|(_, a, _)| *a);
                if known.is_some_and(|a| !a.contains(&key.as_str())) || known.is_none() {
                    return Err(format!("{name} has no {key}"));
                }
                let value = String::from_utf8_lossy(&attribute.value).into_owned();
                element.attributes.insert(key, value);
            }
            if ["testsuite", "testcase"].contains(&name.as_str())
                && !element.attributes.contains_key("name")
            {
                return Err(format!("a {name} without a name"));
            }
            open.push(element);
            Ok(())
        };
    let end = |open: &mut Vec<Open>| -> Result<(), String> {
        let Some(done) = open.pop() else {
            return Err("an end too many".into());
        };
        let number = |key: &str| {
            done.attributes
                .get(key)
                .map(|v| v.parse::<u64>().map_err(|_| format!("{key}={v}")))
        };
        if done.name.starts_with("testsuite") {
            for (place, key) in ["tests", "failures", "errors", "skipped"]
                .into_iter()
                .enumerate()
            {
                match number(key).transpose()? {
                    Some(told) if told != done.counts[place] => {
                        return Err(format!(
                            "{} tells {told} {key}, there are {}",
                            done.name, done.counts[place]
                        ));
                    }
                    None if key != "skipped" => {
                        return Err(format!("{} tells no {key}", done.name));
                    }
                    _ => {}
                }
            }
        }
        if done.name == "testcase" && done.verdicts > 1 {
            return Err("a case with two verdicts".into());
        }
        if let Some(above) = open.last_mut() {
            let mut counts = done.counts;
            match done.name.as_str() {
                "testcase" => counts[0] += 1,
                "failure" => counts[1] += 1,
                "error" => counts[2] += 1,
                "skipped" => counts[3] += 1,
                _ => {}
            }
            above.verdicts +=
                u64::from(["failure", "error", "skipped"].contains(&done.name.as_str()));
            for (sum, n) in above.counts.iter_mut().zip(counts) {
                *sum += n;
            }
        }
        Ok(())
    };
    loop {
        let done = match reader.read_event() {
            Err(e) => Err(e.to_string()),
            Ok(Event::Eof) => {
                return (roots != 1 || !open.is_empty()).then(|| format!("{roots} roots"));
            }
            Ok(Event::Start(e)) => {
                roots += usize::from(open.is_empty());
                begin(&e, &mut open)
            }
            Ok(Event::Empty(e)) => begin(&e, &mut open).and_then(|()| end(&mut open)),
            Ok(Event::End(_)) => end(&mut open),
            Ok(_) => Ok(()),
        };
        if let Err(fault) = done {
            return Some(fault);
        }
    }
}

fn junit_of(records: &[Record]) -> String {
    let (_dir, path) = file(records);
    let mut out = Vec::new();
    let _ = junit::show(&path, &mut out).unwrap();
    String::from_utf8(out).unwrap()
}

#[test]
fn junit_is_what_its_readers_know() {
    let text = junit_of(&sample());
    harmless(&text);
    assert_eq!(junit_fault(&text), None);
    assert!(!text.contains("<script"));
    screen!("report_junit", text);
}

#[test]
fn the_check_of_junit_finds_faults() {
    let case = "<testcase name=\"a\"/>";
    let of = |inner: &str, counts: &str| {
        format!(
            "<testsuites name=\"x\" {counts}><testsuite name=\"y\" {counts}>{inner}</testsuite></testsuites>"
        )
    };
    let one = "tests=\"1\" failures=\"0\" errors=\"0\"";
    assert_eq!(junit_fault(&of(case, one)), None);
    let failed = "<testcase name=\"a\"><failure message=\"m\" type=\"t\">d</failure></testcase>";
    let twice = "<testcase name=\"a\"><failure message=\"m\" type=\"t\"/><skipped/></testcase>";
    for (text, fault) in [
        (of(failed, one), "tells 0 failures"),
        (
            of(twice, "tests=\"1\" failures=\"1\" errors=\"0\""),
            "two verdicts",
        ),
        (of("", one), "tells 1 tests"),
        (of("<testcase/>", one), "without a name"),
        (
            of("<testcase name=\"a\" flaky=\"x\"/>", one),
            "has no flaky",
        ),
        (of("<flakyFailure/>", one), "flakyFailure in testsuite"),
        ("<testsuite/>".to_owned(), "the root is"),
        ("<testsuites>".to_owned(), "roots"),
        (of("<testcase name=\"a\">", one), "mismatch"),
    ] {
        let found = junit_fault(&text).unwrap_or_default();
        assert!(
            found.contains(fault) || fault == "mismatch" && !found.is_empty(),
            "{fault}: {found}"
        );
    }
}

/// A run of one check, with the end that the engine would give it.
fn run_of(check: Check, stale: u64) -> (u8, Vec<Record>) {
    let mut counters = Counters::default();
    counters.check(&check);
    let code = counters.exit_code(stale, false, false);
    let notes = (0..stale).map(|i| format!("x.yaml:{i}: stale")).collect();
    let end = counters.summary(notes, code, Duration::ZERO);
    (
        code,
        vec![
            head(vec![]),
            Record::Check(Box::new(check)),
            Record::Summary(end),
        ],
    )
}

#[test]
fn junit_is_red_exactly_where_the_exit_code_is() {
    let outcomes = [
        Outcome::Passed,
        Outcome::Failed,
        Outcome::Unsupported,
        Outcome::NotApplicable,
        Outcome::CouldNotRun,
    ];
    let mut codes = std::collections::BTreeSet::new();
    for outcome in outcomes {
        for (expected, warning, stale) in [
            (true, false, 0),
            (false, false, 0),
            (true, true, 0),
            (true, false, 1),
        ] {
            let blame = (!expected).then_some(Blame::Implementation);
            let check = Check {
                expected,
                warning,
                blame,
                ..check("a/b", "lnd", outcome)
            };
            let (code, records) = run_of(check, stale);
            let text = junit_of(&records);
            assert_eq!(junit_fault(&text), None, "{text}");
            let red = text.contains("<failure") || text.contains("<error");
            assert_eq!(
                red,
                code != 0,
                "{outcome} {expected} {warning} {stale}: {code}\n{text}"
            );
            codes.insert(code);
        }
    }
    // Nothing passed or failed is red as well, and so is a run without an end.
    assert!(
        codes.contains(&0) && codes.contains(&1) && codes.contains(&3) && codes.contains(&4),
        "{codes:?}"
    );
    let text = junit_of(&[head(vec![])]);
    assert!(
        text.contains("<error") && text.contains("ended before its end"),
        "{text}"
    );
}

#[test]
fn a_page_in_markdown() {
    let (_dir, path) = sample_file();
    let mut out = Vec::new();
    let _ = markdown::show(&path, &mut out, &requirement).unwrap();
    let text = String::from_utf8(out).unwrap();
    harmless(&text);
    only_our_markup(&text);
    screen!("report_markdown", text);
}

/// Every `<` begins an element of ours.
fn only_our_markup(text: &str) {
    for (at, _) in text.match_indices('<') {
        let ours = [
            "<code>",
            "</code>",
            "<pre>\n",
            "</pre>\n",
            "<br>",
            "<details><summary>",
            "<summary>",
            "</summary>",
            "</details>",
        ];
        assert!(
            ours.iter().any(|tag| text[at..].starts_with(tag)),
            "{}",
            &text[at..].chars().take(60).collect::<String>()
        );
    }
    assert!(text.contains("&lt;script&gt;"), "{text}");
    // As many cells in each row as its table has.
    let mut width = 0;
    for line in text.lines() {
        let cells = line.matches('|').count();
        if line.starts_with('|') {
            assert!(width == 0 || cells == width, "{line}");
            width = cells;
        } else {
            width = 0;
        }
    }
}

#[test]
fn the_step_summary_has_only_our_markup() {
    let (dir, path) = sample_file();
    let page = dir.path().join("summary.md");
    let _ = crate::github::show(&path, Vec::new(), Some(page.clone())).unwrap();
    only_our_markup(&std::fs::read_to_string(&page).unwrap());
}

#[test]
fn a_badge_tells_the_end_in_words() {
    let of = |records: &[Record]| -> Value {
        let (_dir, path) = file(records);
        let mut out = Vec::new();
        let _ = badge::show(&path, None, &mut out).unwrap();
        serde_json::from_slice(&out).unwrap()
    };
    let one = |outcome, expected, stale| {
        let check = Check {
            expected,
            blame: (!expected).then_some(Blame::Implementation),
            ..check("a/b", SCRIPT, outcome)
        };
        of(&run_of(check, stale).1)
    };
    let badges = [
        one(Outcome::Passed, true, 0),
        one(Outcome::Failed, true, 0),
        one(Outcome::Failed, false, 0),
        one(Outcome::Passed, true, 2),
        one(Outcome::Unsupported, true, 0),
        of(&[head(vec![])]),
        of(&sample()),
    ];
    for badge in &badges {
        assert_eq!(badge["schemaVersion"], 1);
        assert_eq!(badge["isError"], badge["color"] == "red");
    }
    let lines: Vec<String> = badges.iter().map(Value::to_string).collect();
    screen!("report_badge", lines.join("\n"));
}

#[test]
fn a_badge_of_one_implementation_counts_its_own_checks() {
    let (_dir, path) = file(&sample());
    let of = |name: &str| -> Result<Value, String> {
        let mut out = Vec::new();
        let end = badge::show(&path, Some(name), &mut out);
        let _ = end.map_err(|e| e.to_string())?;
        Ok(serde_json::from_slice(&out).unwrap())
    };
    let own = |name: &str, is: fn(&Check) -> bool| {
        let checks = sample().into_iter().filter_map(|r| match r {
            Record::Check(check) => Some(*check),
            _ => None,
        });
        let roles = |c: &Check| c.roles.iter().flatten().any(|(_, who)| who == name);
        checks
            .filter(|c| c.implementation.as_deref() == Some(name) || roles(c))
            .filter(is)
            .count()
    };
    for name in ["lnd", "reference", SCRIPT] {
        let badge = of(name).unwrap();
        assert_eq!(badge["label"], format!("lnconform: {name}"));
        let passed = own(name, |c| c.outcome == Outcome::Passed);
        let message = badge["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("{passed} ")), "{message}");
        let wrong = own(name, |c| !c.expected && c.outcome != Outcome::CouldNotRun);
        assert_eq!(badge["color"] == "red", wrong > 0, "{badge}");
    }
    let nobody = of("owl\u{1b}").unwrap_err();
    assert!(
        nobody.starts_with("no check of the result file ran on `owl\\u{1b}`; there is "),
        "{nobody}"
    );
    assert!(
        nobody.contains("lnd, ") && nobody.contains("reference"),
        "{nobody}"
    );
}

#[test]
fn a_difference_as_markdown_and_as_a_page() {
    let (_a, old) = file(&everything());
    let mut records = sample();
    records.retain(|r| !matches!(r, Record::Check(c) if c.id == "bolt12/offer/mended" || c.id == "payer-proof/minimal"));
    for record in &mut records {
        match record {
            Record::Run(run) => run.implementations[0].version = "0.2.0".into(),
            Record::Observation(o) => o.value = json!(2),
            Record::Check(c) if c.id == "bolt12/offer/minimal" && c.who() == "ldk-0.2" => {
                c.outcome = Outcome::Failed;
                c.expected = false;
                c.message = Some(HOSTILE.into());
            }
            _ => {}
        }
    }
    let (_b, new) = file(&records);
    let diff = diff::compare(&old, &new).unwrap();
    assert!(diff.new_trouble() > 0);
    let mut out = Vec::new();
    markdown::show_diff(&diff, &mut out).unwrap();
    let text = String::from_utf8(out).unwrap();
    harmless(&text);
    only_our_markup(&text);
    screen!("diff_markdown", text);
    let mut out = Vec::new();
    html::show_diff(&diff, &mut out).unwrap();
    let page = String::from_utf8(out).unwrap();
    harmless(&page);
    assert_eq!(page.matches("<script").count(), 1);
    let (style, policy) = (
        inner(&page, "<style>", "</style>"),
        inner(&page, "Content-Security-Policy\" content=\"", "\">"),
    );
    let script = inner(&page, "<script>", "</script>");
    screen!(
        "diff_page",
        page.replace(style, "…")
            .replace(script, "…")
            .replace(policy, "…")
    );
    // Nothing to tell is told as well.
    let none = diff::compare(&new, &new).unwrap();
    let mut out = Vec::new();
    html::show_diff(&none, &mut out).unwrap();
    assert!(
        String::from_utf8(out)
            .unwrap()
            .contains("nothing is newly unexpected")
    );
}

#[test]
fn a_full_output_is_the_outputs_fault() {
    struct Full;
    impl std::io::Write for Full {
        fn write(&mut self, _: &[u8]) -> std::io::Result<usize> {
            Err(std::io::ErrorKind::StorageFull.into())
        }
        fn flush(&mut self) -> std::io::Result<()> {
            Ok(())
        }
    }
    let (_dir, path) = sample_file();
    for fault in [
        html::show(&[&path], Full, &sentences()).unwrap_err(),
        junit::show(&path, Full).unwrap_err(),
        markdown::show(&path, Full, &requirement).unwrap_err(),
        badge::show(&path, None, Full).unwrap_err(),
    ] {
        assert!(fault.to_string().contains("--output PATH"), "{fault}");
    }
}
