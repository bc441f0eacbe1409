use super::*;
use lnconform_protocol::{OpError, Unsupported};
use lnconform_vectors::case::ErrorPattern;
use serde_json::json;

/// A stand-in for the reference. An input is a list of the rules that it breaks, in the order in
/// which they are looked at.
#[derive(Default)]
struct Broken;

fn broken(input: &Value) -> Vec<String> {
    serde_json::from_value(input["breaks"].clone()).unwrap()
}

impl Mutable for Broken {
    fn trace(&mut self, asks: &[(&str, &Value)]) -> Vec<Result<Vec<String>, TraceError>> {
        let trace = |(op, input): &(&str, &Value)| match *op {
            "lacking" => Err(TraceError::Unsupported("no such operation".into())),
            _ => Ok(broken(input)
                .first()
                .map(|r| without(r))
                .into_iter()
                .collect()),
        };
        asks.iter().map(trace).collect()
    }

    fn ask(&mut self, asks: &[(&str, &Value, &[String])]) -> Result<Vec<Answer>, MutantsError> {
        let answer = |(op, input, off): &(&str, &Value, &[String])| {
            if *op == "lacking" {
                return Answer::Unsupported(Unsupported {
                    reason: "no such operation".into(),
                    issue: None,
                });
            }
            let refuses = broken(input)
                .into_iter()
                .find(|r| !off.contains(&without(r)));
            match refuses.as_deref() {
                None => Answer::Result(json!({})),
                Some("nameless") => Answer::Error(OpError::invalid("no rule")),
                Some(rule) => Answer::Error(OpError::invalid("refused").with_rule(rule)),
            }
        };
        Ok(asks.iter().map(answer).collect())
    }
}

fn case(id: &str, origin: Origin, covers: &[&str], breaks: &[&str]) -> Case {
    let ours = origin != Origin::Upstream;
    Case {
        id: id.into(),
        file: "f.json".into(),
        line: 1,
        description: format!("About {id}."),
        spec: None,
        covers: covers.iter().map(|c| (*c).to_owned()).collect(),
        tags: vec![],
        needs: vec![],
        provenance: None,
        origin,
        body: Body::Codec(Codec {
            operation: "read".into(),
            input: json!({ "breaks": breaks }),
            expect: Expect::Error(ErrorPattern {
                rule: covers.first().filter(|_| ours).map(|c| (*c).to_owned()),
                ..ErrorPattern::default()
            }),
            implementations: vec![],
            observe: vec![],
        }),
    }
}

fn upstream(id: &str, covers: &[&str], breaks: &[&str]) -> Case {
    case(&format!("upstream/{id}"), Origin::Upstream, covers, breaks)
}

fn audit(cases: &[Case]) -> Audit {
    let all: Vec<&Case> = cases.iter().collect();
    let theirs: Vec<&Case> = all
        .iter()
        .copied()
        .filter(|c| c.origin == Origin::Upstream)
        .collect();
    judge(&mut Broken, &theirs, &all).unwrap()
}

#[test]
fn a_case_reaches_its_rule_if_that_alone_refuses_it() {
    let audit = audit(&[
        upstream("right", &["a/b"], &["a/b"]),
        upstream("other", &["a/b"], &["a/c"]),
        upstream("first", &["a/b"], &["a/b", "a/c"]),
        upstream("behind", &["a/b"], &["a/c", "a/d", "a/b"]),
        upstream("unmapped", &[], &["a/c"]),
        upstream("either", &["a/b", "a/c"], &["a/c"]),
        upstream("unmapped-twice", &[], &["a/c", "a/d"]),
        upstream("accepted", &["a/b"], &[]),
        upstream("nameless", &["a/b"], &["a/b", "nameless"]),
    ]);
    let seen: Vec<_> = audit
        .cases
        .iter()
        .map(|c| {
            let id = c.id.trim_start_matches("upstream/");
            (id, c.reaches, c.isolates.join(" "), c.refusal())
        })
        .collect();
    let want = [
        ("right", true, "a/b", "a/b"),
        // It isolates a rule, and not its own.
        ("other", false, "a/c", "a/c"),
        ("first", false, "", "a/b, then a/c"),
        ("behind", false, "", "a/c, then a/d, then a/b"),
        ("unmapped", true, "a/c", "a/c"),
        ("either", true, "a/c", "a/c"),
        ("unmapped-twice", false, "", "a/c, then a/d"),
        ("accepted", false, "", "nothing: the reference accepts it"),
        ("nameless", false, "", "a/b, and then still refused"),
    ];
    let want =
        want.map(|(id, reaches, isolates, by)| (id, reaches, isolates.to_owned(), by.to_owned()));
    assert_eq!(seen, want);
    assert_eq!(audit.cases[5].rule, None);
    assert_eq!(audit.cases[1].named, "About upstream/other.");
}

#[test]
fn only_cases_that_nothing_but_an_error_answers_are_judged() {
    let mut positive = upstream("positive", &["a/b"], &[]);
    let Body::Codec(codec) = &mut positive.body else {
        unreachable!("made above")
    };
    codec.expect = Expect::Result(json!({}));
    assert!(!is_negative(&positive));
    let mut lacking = upstream("lacking", &["a/b"], &["a/b"]);
    let Body::Codec(codec) = &mut lacking.body else {
        unreachable!("made above")
    };
    codec.operation = "lacking".into();
    let audit = audit(&[positive, lacking]);
    assert_eq!(audit.cases.len(), 1);
    let json = serde_json::to_value(&audit.cases[0]).unwrap();
    assert_eq!(json["unsupported"], "no such operation");
    assert_eq!(json["reaches"], false);
    assert_eq!(audit.missing().count(), 0);
}

#[test]
fn vectors_that_isolate_the_rule_are_named() {
    let ours =
        |id: &str, covers: &[&str], breaks: &[&str]| case(id, Origin::BuiltIn, covers, breaks);
    let audit = audit(&[
        upstream("missed", &["a/b"], &["a/c", "a/b"]),
        upstream("reached", &["a/b"], &["a/b"]),
        upstream("alone", &["a/e"], &["a/c"]),
        upstream("nothing", &[], &[]),
        ours("good", &["a/b"], &["a/b"]),
        ours("also-missed", &["a/b"], &["a/c", "a/b"]),
        ours("another", &["a/c"], &["a/c"]),
    ]);
    assert_eq!(audit.cases[0].instead, ["good"]);
    assert!(audit.cases[1].instead.is_empty());
    let near = super::tests::audit(&[
        upstream("bad path_key", &["a/b"], &["a/c", "a/b"]),
        ours("issuer-id", &["a/b"], &["a/b"]),
        ours("path-bad", &["a/b"], &["a/b"]),
        ours("path-key-bad", &["a/b"], &["a/b"]),
    ]);
    assert_eq!(
        near.cases[0].instead,
        ["path-key-bad", "path-bad", "issuer-id"]
    );
    insta::assert_snapshot!(audit.table(), @r"
    upstream/missed
      named       About upstream/missed.
      maps to     a/b
      refused by  a/c, then a/b
      instead     good

    upstream/alone
      named       About upstream/alone.
      maps to     a/e
      refused by  a/c
      instead     no vector here isolates that rule

    upstream/nothing
      named       About upstream/nothing.
      maps to     no requirement: its name tells none
      refused by  nothing: the reference accepts it

    4 negative cases: 1 reaching the named rule, 2 refused by another rule first, 1 accepted by the reference
    An implementation without the named rule passes those above all the same. Use the vectors behind
    `instead`, or repair the case so that its rule alone refuses it.
    ");
}

#[test]
fn a_chain_ends() {
    let many: Vec<String> = (0..100).map(|i| format!("a/{i}")).collect();
    let many: Vec<&str> = many.iter().map(String::as_str).collect();
    let long = audit(&[upstream("long", &[], &many)]);
    assert_eq!(long.cases[0].then.len(), CHAIN - 1);
    assert!(!long.cases[0].accepted);
}
