//! What people read: every link leads somewhere, every command is one, and what an adapter is asked is
//! on the page about adapters.

use crate::features::refused;
use lnconform_tests::{Place, python, repository};
use serde_json::Value;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

fn pages(folder: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap_or_else(|e| panic!("{}: {e}", folder.display())) {
        let path = entry.unwrap().path();
        if path.is_dir() {
            pages(&path, found);
        } else if path.extension().is_some_and(|e| e == "md") {
            found.push(path);
        }
    }
}

/// The lines that are text, numbered from 1: what is between fences is none.
fn prose(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut fenced = false;
    text.lines().enumerate().filter_map(move |(at, line)| {
        let fence = line.trim_start().starts_with("```");
        fenced ^= fence;
        (!fenced && !fence).then_some((at + 1, line))
    })
}

/// The anchor that GitHub and mdBook give a heading.
fn anchor(heading: &str) -> String {
    let kept = heading.trim().to_lowercase();
    let kept = kept
        .chars()
        .filter(|c| c.is_alphanumeric() || " -_".contains(*c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

fn anchors(text: &str) -> BTreeSet<String> {
    let mut seen: BTreeMap<String, usize> = BTreeMap::new();
    prose(text)
        .filter_map(|(_, line)| line.strip_prefix('#'))
        .map(|line| {
            let name = anchor(line.trim_start_matches('#'));
            let before = seen.entry(name.clone()).or_default();
            *before += 1;
            match *before {
                1 => name,
                more => format!("{name}-{}", more - 1),
            }
        })
        .collect()
}

/// The targets of the links of a line: `[words](target)`, outside of code.
fn links(line: &str) -> Vec<&str> {
    let outside = line.split('`').step_by(2);
    outside
        .flat_map(|part| part.split("](").skip(1))
        .filter_map(|rest| rest.split(')').next())
        .collect()
}

#[test]
fn every_link_leads_somewhere() {
    let mut all = vec![repository("README.md"), repository("SECURITY.md")];
    for folder in ["docs", "specs/drafts", "tests/expectations"] {
        pages(&repository(folder), &mut all);
    }
    assert!(all.len() > 8);
    let mut wrong = Vec::new();
    let mut seen = 0;
    for page in &all {
        let text = std::fs::read_to_string(page).unwrap();
        for (line, words) in prose(&text) {
            for link in links(words).into_iter().filter(|l| !l.contains("://")) {
                seen += 1;
                let (file, section) = link.split_once('#').unwrap_or((link, ""));
                let target = match file {
                    "" => page.clone(),
                    file => page.parent().unwrap().join(file),
                };
                let there = match section {
                    "" => target.exists(),
                    section => std::fs::read_to_string(&target)
                        .is_ok_and(|text| anchors(&text).contains(section)),
                };
                if !there {
                    wrong.push(format!("{}:{line}: {link}", page.display()));
                }
            }
        }
    }
    assert!(seen > 15, "{seen}");
    assert!(wrong.is_empty(), "{wrong:#?}");
}

/// What the build of the site ends with: a link to a file or a place that is not there fails it, and a
/// choice in the address of a report, which its own script reads, is no place.
#[test]
fn the_site_has_its_links_checked() {
    let place = Place::new();
    let check = |page: &str| {
        place
            .write("site/a.html", page)
            .write("site/b.html", "<h1 id=here>B</h1>");
        let script = repository("docs/site/links.py");
        let args = [script.to_str().unwrap(), "site"];
        place.finish(place.within(Path::new(python()), &args), &[], "")
    };
    let good = r##"<a href="b.html#here">b</a><a href="b.html#show=all&who=lnd">c</a><a href="https://x.org/none">d</a>"##;
    assert_eq!(
        check(good).code(0).stdout.trim(),
        "2 pages, 2 links, 0 broken"
    );
    for bad in ["c.html", "b.html#there", "#there"] {
        let told = check(&format!("<a href=\"{bad}\">x</a>")).code(1).stdout;
        assert!(told.contains(&format!("a.html: {bad}")), "{told}");
    }
    let nothing = check("no link at all");
    assert_eq!(nothing.code, Some(1), "{}", nothing.screen());
}

#[test]
fn links_and_anchors_are_found() {
    assert_eq!(
        links("[a](b.md) and `[c](d)` and [e](#f-g)"),
        ["b.md", "#f-g"]
    );
    let text = "# One, two\n```\n# no heading\n```\n## One two\n### `code` x\n";
    let expected = ["one-two", "one-two-1", "code-x"].map(str::to_owned);
    assert_eq!(anchors(text), expected.into());
}

/// The commands between the fences of a page, without what a comment or a redirection adds.
fn typed(text: &str) -> Vec<&str> {
    let inside = text.split("```").skip(1).step_by(2);
    inside
        .flat_map(str::lines)
        .map(|line| line.strip_prefix("$ ").unwrap_or(line))
        .filter(|line| {
            // The first line of a run's screen begins with the version.
            let after = line.strip_prefix("lnconform ");
            after.is_some_and(|rest| rest.starts_with(|c: char| c.is_ascii_lowercase()))
        })
        .map(|line| {
            let ends = ["  #", " # ", " > "].iter().filter_map(|e| line.find(e));
            line[..ends.min().unwrap_or(line.len())].trim_end()
        })
        .collect()
}

#[test]
fn every_command_of_a_page_is_one() {
    let mut all = vec![repository("README.md")];
    pages(&repository("docs"), &mut all);
    let mut seen = 0;
    for page in all {
        let text = std::fs::read_to_string(&page).unwrap();
        for command in typed(&text) {
            seen += 1;
            let wrong = refused(command);
            assert!(wrong.is_none(), "{}: {command}: {wrong:?}", page.display());
        }
    }
    assert!(seen > 50, "{seen}");
}

/// Somebody who writes an adapter, or a scenario, finds each operation that is answered here.
#[test]
fn every_operation_that_an_adapter_lists_is_on_a_page() {
    let adapter = std::fs::read_to_string(repository("docs/adapter.md")).unwrap();
    let probe = std::fs::read_to_string(repository("docs/probe.md")).unwrap();
    let hello = "{\"id\":1,\"op\":\"hello\",\"params\":{\"protocol\":1,\"harness\":\"x\"}}\n";
    let place = Place::new();
    for name in ["reference", "ldk-0.2", "ldk-0.3", "ldk-node", "probe"] {
        let answer = place.run_with(&["adapter", name], hello).code(0).json();
        let listed = answer["result"]["operations"].as_array().unwrap();
        assert!(listed.len() > 5, "{name}: {answer}");
        for op in listed.iter().filter_map(Value::as_str) {
            let told = format!("`{op}`");
            // The reference plays in these what no Lightning node can do yet, as the page says.
            let own = op.starts_with("simulation.");
            let there = adapter.contains(&told) || (name == "probe" && probe.contains(&told));
            assert!(own || there, "no page names {op}, which {name} lists");
        }
    }
}

/// What a vector gives, and what it demands, is in the row of its operation, unless the row says whose
/// params or fields it has.
#[test]
fn every_param_and_field_of_a_vector_is_on_the_page() {
    const REFERS: [&str; 13] = [
        "the same",
        "as `",
        "as there",
        "above",
        "below",
        "derived from",
        "the request;",
        "the invoice;",
        "the fields of",
        "the fields that",
        "the named fields",
        "the same fields",
        "by their names in BOLT 12",
    ];
    let page = std::fs::read_to_string(repository("docs/adapter.md")).unwrap();
    let mut rows: BTreeMap<&str, [&str; 2]> = BTreeMap::new();
    for row in page.lines().filter(|line| line.starts_with("| `")) {
        let cells: Vec<&str> = row.trim_matches('|').split(" | ").collect();
        let &[names, params, result] = cells.as_slice() else {
            continue;
        };
        let named = names.split('`').skip(1).step_by(2);
        rows.extend(named.map(|name| (name, [params, result])));
    }
    let place = Place::new();
    let _ = place.run(&["export", "**", "-o", "all.json"]).code(0);
    let vectors: Vec<Value> = serde_json::from_str(&place.read("all.json")).unwrap();
    let mut missing = BTreeSet::new();
    let mut seen = BTreeSet::new();
    for vector in &vectors {
        let op = vector["operation"].as_str().unwrap();
        if op.starts_with("simulation.") {
            continue;
        }
        let Some([params, result]) = rows.get(op) else {
            missing.insert(format!("no row for {op}"));
            continue;
        };
        seen.insert(op);
        let alternatives = vector["any_of"].as_array().into_iter().flatten();
        let demanded = alternatives.map(|one| &one["expected"]);
        let demanded = demanded.chain([&vector["expected"]]).map(|e| (e, result));
        for (object, cell) in demanded.chain([(&vector["input"], params)]) {
            if REFERS.iter().any(|words| cell.contains(words)) {
                continue;
            }
            let names = object.as_object().into_iter().flat_map(|o| o.keys());
            let untold = names.filter(|name| !cell.contains(&format!("`{name}`")));
            missing.extend(untold.map(|name| format!("{op}: {name}")));
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
    assert!(seen.len() > 80, "{}", seen.len());
}

/// The blocks of YAML on a page.
fn yaml_blocks(page: &str) -> Vec<String> {
    let text = std::fs::read_to_string(repository(page)).unwrap();
    let rest = text.split("```yaml\n").skip(1);
    rest.filter_map(|rest| rest.split("```").next().map(str::to_owned))
        .collect()
}

#[test]
fn the_vectors_on_the_page_are_vectors() {
    let place = Place::new();
    let blocks = yaml_blocks("docs/vectors.md");
    let names = ["bolt01/bigsize/one-byte-high", "page/negative", "page/live"];
    for (name, block) in names.iter().zip(&blocks) {
        place.write(&format!("v/{name}.yaml"), block);
    }
    let run = [&["run"], &names[..2], &["--vectors", "v"]].concat();
    let run = [&run[..], &["--adapter", "reference"]].concat();
    let ran = place.run(&run).code(0);
    assert!(ran.stdout.contains("2 checks in"), "{}", ran.screen());
    let list = ["list", "page/live", "--lane", "cluster", "--vectors", "v"];
    let listed = place.run(&list).code(0);
    assert!(listed.stdout.contains("page/live#2"), "{}", listed.screen());
}

#[test]
fn the_ledger_on_the_page_is_read_and_foretells() {
    let place = Place::new();
    let [ledger] = &yaml_blocks("docs/results.md")[..] else {
        panic!("one ledger is shown");
    };
    // Of the named checks, and of somebody who answers all of them wrongly in the way that is foretold.
    place.write("ledger.yaml", ledger).write(
        "accepts.py",
        "import json, sys\n\
         who = {'name': 'mynode', 'version': '0.2.9', 'language': 'Python', 'source': ''}\n\
         hello = {'implementation': who, 'protocol': 1, 'operations': ['bolt12.offer.decode'], 'dialects': []}\n\
         for line in sys.stdin:\n\
         \x20   asked = json.loads(line)\n\
         \x20   result = {'hello': hello, 'bolt12.offer.decode': {'records': []}}.get(asked['op'], {})\n\
         \x20   print(json.dumps({'id': asked['id'], 'result': result}), flush=True)\n\
         \x20   if asked['op'] == 'shutdown':\n\
         \x20       break\n",
    );
    let adapter = format!("mynode={} -I -S accepts.py", python());
    let run = ["run", "bolt12/encoding/padding-*", "--adapter", &adapter];
    let _ = place.run(&run).code(1);
    let known = [&run[..], &["--expectations", "ledger.yaml"]].concat();
    let ran = place.run(&known).code(0);
    assert!(ran.stdout.contains("known"), "{}", ran.screen());
}
