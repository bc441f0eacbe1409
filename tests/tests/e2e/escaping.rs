//! What comes from an adapter does nothing on a screen, in a workflow or on a page.

use crate::{bigsize, place, running, screen};

/// What must not be seen: an escape, another control character, an invisible one that turns text
/// around.
fn dangerous(text: &str) -> Option<char> {
    text.chars()
        .find(|c| (c.is_control() && *c != '\n') || *c == '\u{202e}')
}

#[test]
fn a_hostile_adapter_shows_and_does_nothing() {
    let mut place = place();
    place.write("v/mine/short.yaml", &crate::READ.replace("fd00fd", "fd00"));
    place.env("GITHUB_STEP_SUMMARY", place.path("summary.md"));
    let hostile = bigsize("hostile", "hostile");
    let args = running(&hostile, &["--seed", "7"]);
    let pretty = place.run(&args).code(1);
    let github = place
        .run(&[&args[..], &["--format", "github"]].concat())
        .code(1);
    let json = place
        .run(&[&args[..], &["--format", "json"]].concat())
        .code(1);
    let report = place.run(&["report", ".lnconform/last.jsonl"]).code(0);
    let page = place.read("summary.md");
    let written = |format: &str| {
        let file = format!("out.{format}");
        let args = [
            "report",
            ".lnconform/last.jsonl",
            "--format",
            format,
            "-o",
            &file,
        ];
        let _ = place.run(&args).code(0);
        place.read(&file)
    };
    let [html, junit, markdown, badge] = ["html", "junit", "markdown", "badge"].map(written);
    // Our own elements and no others.
    assert_eq!(html.matches("<script").count(), 3, "{html}");
    assert!(!junit.contains("<script") && !markdown.contains("<script"));
    let explain = place
        .run(&["explain", "mine/short", "--vectors", "v"])
        .code(0);
    let check = place.run(&["adapter", "check", hostile.split_once('=').unwrap().1]);
    let seen = [
        ("pretty", &pretty.stdout),
        ("github", &github.stdout),
        ("json", &json.stdout),
        ("report", &report.stdout),
        ("page", &page),
        ("html", &html),
        ("junit", &junit),
        ("markdown", &markdown),
        ("badge", &badge),
        ("explain", &explain.stdout),
        ("check", &check.stdout),
        ("errors", &pretty.stderr),
    ];
    for (what, text) in seen {
        assert_eq!(dangerous(text), None, "{what}: {text:?}");
    }
    let _ = json.json();
    // A workflow command begins a line, or `##[` stands in it; ours are those of our own.
    for line in pretty
        .stdout
        .lines()
        .chain(github.stdout.lines())
        .chain(explain.stdout.lines())
    {
        assert!(!line.contains("##["), "{line}");
        let line = line.trim_start();
        assert!(
            !line.starts_with("::") || line.starts_with("::error file=v/mine/"),
            "{line}"
        );
    }
    assert!(
        !page.contains("<script") && !page.contains("\n::"),
        "{page}"
    );
    assert!(page.contains("&lt;script&gt;"), "{page}");
    // The answers themselves are in the result file, as JSON.
    assert!(
        place
            .last("check")
            .iter()
            .any(|c| c["got"].to_string().contains("<script>"))
    );
    screen!(
        "hostile_adapter",
        format!("{}\nthe page:\n{}", github.screen(), github.redacted(&page))
    );
}

#[test]
fn a_hostile_name_is_refused() {
    let place = place();
    for name in ["<script>", "\x1b[31mred", "a b", "a\nb", "../x", ""] {
        let adapter = bigsize(name, "right");
        let ran = place.run(&running(&adapter, &[])).code(2);
        assert_eq!(dangerous(&ran.stderr), None, "{:?}", ran.stderr);
    }
}

#[test]
fn hostile_vectors_and_results_are_shown_and_do_nothing() {
    let place = place();
    let bad = "\\u001b[31m<script>\\r::error::x";
    let text = format!("{}description2: \"{bad}\"\n", crate::READ);
    place.write(
        "v/mine/bad.yaml",
        &text.replace("description2", "\"\\e[31mkey\""),
    );
    let ran = place.run(&["list", "--vectors", "v"]).code(2);
    assert_eq!(dangerous(&ran.stderr), None, "{:?}", ran.stderr);
    std::fs::remove_file(place.path("v/mine/bad.yaml")).unwrap();
    let text = crate::READ.replace(
        "253 is read from its three bytes.",
        "\"\\e[31m<script>\\r\\n::error::x\"",
    );
    place.write("v/mine/said.yaml", &text);
    let ran = place
        .run(&["explain", "mine/said", "--vectors", "v"])
        .code(0);
    assert_eq!(dangerous(&ran.stdout), None, "{:?}", ran.stdout);
    let ran = place.run(&["explain", "\x1b[31m"]).code(2);
    assert_eq!(dangerous(&ran.stderr), None, "{:?}", ran.stderr);
}
