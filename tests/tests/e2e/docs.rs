//! What people read: every link leads somewhere.

use lnconform_tests::{Place, python, repository};
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
