//! `--format html`: one file that needs no network.
//!
//! What does not depend on a choice of the reader (verdict, matrices, disagreements, times) is
//! written by a template that escapes; the list of checks is drawn by the page's own script from
//! compact JSON, some rows at a time, so that many thousands open at once. The page's policy
//! allows our style and our script by their hashes and nothing else, so that a name that got
//! through as markup would still do nothing.

pub mod coverage;
mod data;
mod diff;
mod page;
mod sequence;

pub use diff::show as show_diff;

use crate::terminal::{ReportError, Requirement};
use crate::text::clean;
use base64::Engine as _;
use lnconform_engine::results::ReadEnd;
use sha2::{Digest as _, Sha256};
use std::io::Write;
use std::path::Path;

/// The page's looks.
const STYLE: &str = include_str!("../../templates/report.css");
/// The behaviour of the page of a run.
const SCRIPT: &str = concat!(
    include_str!("../../templates/list.js"),
    include_str!("../../templates/report.js")
);
/// What every page does: the theme, which the reader may choose.
const THEME: &str = include_str!("../../templates/theme.js");

/// What a page tells about a requirement.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Sentence {
    /// Keyword, section, paraphrase.
    pub requirement: Requirement,
    /// The sentence of the text, where a checkout of it was given.
    pub sentence: Option<String>,
}

/// Looks a requirement up by its id.
pub type Sentences<'a> = Box<dyn Fn(&str) -> Option<Sentence> + 'a>;

/// Writes the page of a result file. Of several files, the one of the latest run is shown, and the
/// others are its history.
///
/// # Errors
/// A result file, the output.
pub fn show<P: AsRef<Path>, W: Write>(
    paths: &[P],
    mut out: W,
    sentences: &Sentences<'_>,
) -> Result<ReadEnd, ReportError> {
    let (model, end) = data::read(paths)?;
    let page = page::write(&model, sentences)?;
    out.write_all(page.as_bytes())?;
    out.flush()?;
    Ok(end)
}

/// What all pages have in common, see `templates/page.html`.
struct Frame {
    /// Our own style and scripts, by their hashes, and no network.
    policy: String,
    style: &'static str,
    scripts: Vec<&'static str>,
}

impl Frame {
    /// For a page that does `more` than its theme.
    fn new(more: &[&'static str]) -> Self {
        let hash = |text: &str| {
            let digest = Sha256::digest(text.as_bytes());
            let text = base64::engine::general_purpose::STANDARD.encode(digest);
            format!("'sha256-{text}'")
        };
        let scripts = [&[THEME], more].concat();
        let hashes: Vec<String> = scripts.iter().map(|s| hash(s)).collect();
        Self {
            policy: format!(
                "default-src 'none'; style-src {}; script-src {}; img-src data:; base-uri 'none'; form-action 'none'",
                hash(STYLE),
                hashes.join(" ")
            ),
            style: STYLE,
            scripts,
        }
    }
}

/// JSON that may stand in a `script` element of a page: nothing in it can end the element or begin
/// a comment, and its meaning is the same.
fn embedded(json: &str) -> String {
    let mut out = String::with_capacity(json.len() + json.len() / 32);
    for c in json.chars() {
        match c {
            '<' => out.push_str("\\u003c"),
            '>' => out.push_str("\\u003e"),
            '&' => out.push_str("\\u0026"),
            '\u{2028}' => out.push_str("\\u2028"),
            '\u{2029}' => out.push_str("\\u2029"),
            c => out.push(c),
        }
    }
    out
}

/// A line from outside, made safe; the template escapes it.
fn safe(text: &str) -> String {
    clean(text).into_owned()
}

/// Text as a part of a link's fragment.
fn encoded(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => {
                out.push(char::from(byte));
            }
            other => {
                use std::fmt::Write as _;
                let _ = write!(out, "%{other:02X}");
            }
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn json_in_a_script_element_means_the_same(text in prop_oneof![any::<String>(), "[</script>!\\-&\u{2028}]{0,20}"]) {
            let value = serde_json::json!({ text.clone(): [text] });
            let safe = embedded(&value.to_string());
            let ends = ['<', '>', '&', '\u{2028}', '\u{2029}'];
            prop_assert!(!safe.contains(ends));
            prop_assert_eq!(serde_json::from_str::<serde_json::Value>(&safe).unwrap(), value);
        }

        #[test]
        fn links_hold_any_text(text in any::<String>()) {
            let link = encoded(&text);
            prop_assert!(link.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.~/%".contains(&b)));
            let mut bytes = Vec::new();
            let mut rest = link.bytes();
            while let Some(byte) = rest.next() {
                bytes.push(match byte {
                    b'%' => {
                        let digits = [rest.next().unwrap(), rest.next().unwrap()];
                        u8::from_str_radix(std::str::from_utf8(&digits).unwrap(), 16).unwrap()
                    }
                    other => other,
                });
            }
            prop_assert_eq!(String::from_utf8(bytes).unwrap(), text);
        }
    }

    #[test]
    fn scripts_write_text_and_never_markup() {
        for script in [SCRIPT, THEME, coverage::SCRIPT] {
            for way in [
                "innerHTML",
                "outerHTML",
                "insertAdjacentHTML",
                "document.write",
                "eval(",
                "Function(",
                "</script",
            ] {
                assert!(!script.contains(way), "{way}");
            }
        }
        assert!(!STYLE.contains("</style") && !STYLE.contains("url("));
    }
}
