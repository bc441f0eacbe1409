//! Result files in every format.

use crate::{bigsize, place, running, screen, screens};
use lnconform_tests::Place;
use serde_json::Value;

/// A place with the results of a right and of a lenient adapter.
fn measured() -> Place {
    let place = place();
    for (mode, file, code) in [("right", "right.jsonl", 0), ("lenient", "lenient.jsonl", 1)] {
        let who = bigsize("mine", mode);
        let args = running(&who, &["--results", file]);
        let _ = place.run(&args).code(code);
    }
    place
}

#[test]
fn a_result_file_in_every_format() {
    let place = measured();
    let of = |format: &str| {
        // On standard output and in a file, in a folder that is not there yet.
        let shown = place
            .run(&["report", "lenient.jsonl", "--format", format])
            .code(0);
        let file = format!("out/{format}/r");
        let quiet = place
            .run(&["report", "lenient.jsonl", "--format", format, "-o", &file])
            .code(0);
        assert_eq!((quiet.stdout.as_str(), quiet.stderr.as_str()), ("", ""));
        assert_eq!(place.read(&file), shown.stdout, "{format}");
        shown.stdout
    };
    let page = of("html");
    assert!(
        page.starts_with("<!doctype html>") && page.contains("exit code 1: 1 unexpected result"),
        "{page}"
    );
    // What the catalogue says of the requirement, and the command that runs the check again.
    assert!(page.contains("\"bolt01/bigsize/minimal\",\"MUST"), "{page}");
    assert!(page.contains("lnconform run 'mine/refused'"), "{page}");
    let junit = of("junit");
    assert!(
        junit.contains(
            "<testsuite name=\"mine\" tests=\"2\" skipped=\"0\" errors=\"0\" failures=\"1\""
        ),
        "{junit}"
    );
    let markdown = of("markdown");
    assert!(
        markdown.contains("### <code>mine/refused</code> on <code>mine</code>"),
        "{markdown}"
    );
    let badge: Value = serde_json::from_str(&of("badge")).unwrap();
    assert_eq!(badge["label"], "lnconform: mine");
    assert_eq!(badge["message"], "1 of 2 passed, 1 unexpected");
    let _ = of("pretty");
    let _ = of("json");
}

#[test]
fn an_earlier_run_is_history() {
    let place = measured();
    for order in [
        ["right.jsonl", "lenient.jsonl"],
        ["lenient.jsonl", "right.jsonl"],
    ] {
        let args = ["report", order[0], order[1], "--format", "html"];
        let page = place.run(&args).code(0).stdout;
        assert!(
            page.contains("exit code 1: 1 unexpected result"),
            "the later run is shown"
        );
        assert!(
            page.contains("Earlier runs") && page.contains("\"history\":[{"),
            "{page}"
        );
    }
}

#[test]
fn githubs_page_may_be_a_file() {
    let place = measured();
    place.write("page.md", "of yesterday");
    let ran = place
        .run(&[
            "report",
            "lenient.jsonl",
            "--format",
            "github",
            "-o",
            "page.md",
        ])
        .code(0);
    assert!(
        ran.stdout
            .starts_with("::error file=v/mine/refused.yaml,line="),
        "{}",
        ran.screen()
    );
    let page = place.read("page.md");
    assert!(
        page.starts_with("## lnconform\n") && page.contains("### Unexpected (1)"),
        "{page}"
    );
}

#[test]
fn a_difference_in_every_format() {
    let place = measured();
    for format in ["text", "markdown", "html"] {
        let args = [
            "diff",
            "right.jsonl",
            "lenient.jsonl",
            "--fail-on",
            "new",
            "--format",
            format,
        ];
        let shown = place.run(&args).code(1);
        assert!(
            shown.stdout.contains("newly unexpected"),
            "{}",
            shown.screen()
        );
        let quiet = place.run(&[&args[..], &["-o", "d"]].concat()).code(1);
        assert_eq!((quiet.stdout.as_str(), place.read("d")), ("", shown.stdout));
        let _ = place
            .run(&[
                "diff",
                "lenient.jsonl",
                "right.jsonl",
                "--fail-on",
                "new",
                "--format",
                format,
            ])
            .code(0);
    }
}

#[test]
fn mistakes_with_reports() {
    let place = measured();
    let all = [
        place.run(&["report"]).code(2),
        place
            .run(&["report", "right.jsonl", "lenient.jsonl"])
            .code(2),
        place
            .run(&[
                "report",
                "right.jsonl",
                "--format",
                "html",
                "-o",
                "right.jsonl",
            ])
            .code(2),
        place
            .run(&["report", "right.jsonl", "none.jsonl", "--format", "html"])
            .code(2),
        place
            .run(&[
                "report",
                "right.jsonl",
                "--format",
                "html",
                "--specs",
                "nowhere",
            ])
            .code(2),
        place
            .run(&["report", "right.jsonl", "--format", "markdown", "-o", "v"])
            .code(2),
        place
            .run(&[
                "diff",
                "right.jsonl",
                "lenient.jsonl",
                "-o",
                "./lenient.jsonl",
            ])
            .code(2),
        place
            .run(&["diff", "right.jsonl", "lenient.jsonl", "-o", "v"])
            .code(2),
    ];
    screen!("mistakes_with_reports", screens(&all));
    assert!(place.read("right.jsonl").starts_with("{\"type\":\"run\""));
}
