//! Guesses: the name of a specification, whom a statement binds, and an id for it.

use crate::catalogue::{Catalogue, Keyword, Role};
use crate::text::Unit;
use std::collections::HashSet;

/// Words of an id, at most.
const WORDS: usize = 4;
/// Characters of them, at most.
const LONGEST: usize = 40;

/// Words that tell nothing apart.
const EMPTY: [&str; 62] = [
    "a",
    "an",
    "the",
    "must",
    "should",
    "may",
    "not",
    "is",
    "are",
    "be",
    "been",
    "was",
    "were",
    "it",
    "its",
    "this",
    "that",
    "these",
    "those",
    "of",
    "to",
    "in",
    "on",
    "at",
    "by",
    "for",
    "from",
    "with",
    "as",
    "and",
    "or",
    "if",
    "any",
    "all",
    "each",
    "has",
    "have",
    "does",
    "do",
    "will",
    "would",
    "can",
    "which",
    "who",
    "whose",
    "when",
    "then",
    "than",
    "set",
    "include",
    "use",
    "using",
    "otherwise",
    "there",
    "other",
    "into",
    "so",
    "such",
    "they",
    "their",
    "required",
    "recommended",
];

/// Who is meant by which word, in the order in which they are tried at one place.
const ROLES: [(&str, Role); 16] = [
    ("reader", Role::Reader),
    ("verifier", Role::Reader),
    ("writer", Role::Writer),
    ("creator", Role::Writer),
    ("sender", Role::Sender),
    ("sending", Role::Sender),
    ("payer", Role::Sender),
    ("origin", Role::Sender),
    ("initiator", Role::Sender),
    ("receiver", Role::Receiver),
    ("receiving", Role::Receiver),
    ("recipient", Role::Receiver),
    ("payee", Role::Receiver),
    ("responder", Role::Receiver),
    ("final", Role::Receiver),
    ("node", Role::Node),
];

/// `blip-0032` of `blips/blip-0032.md`, `bolt12` of `12-offer-encoding.md`.
pub(super) fn spec(path: &str) -> String {
    let file = path.rsplit('/').next().unwrap_or_default();
    let stem = file.rsplit_once('.').map_or(file, |(stem, _)| stem);
    let (number, rest) = stem.split_once('-').unwrap_or((stem, ""));
    if number.len() == 2 && number.bytes().all(|b| b.is_ascii_digit()) && !rest.is_empty() {
        return format!("bolt{number}");
    }
    let slug = words(stem, 8, 60);
    if slug.is_empty() {
        "draft".to_owned()
    } else {
        slug
    }
}

/// Whom a statement binds: by the sentence in front of its list, else by its own bullets.
pub(super) fn role(lead: &str, unit: &Unit) -> Role {
    let lead = Some(lead).filter(|text| text.trim_end().ends_with(':'));
    [lead.unwrap_or_default(), &unit.text, &unit.section]
        .iter()
        .find_map(|text| named(text))
        .unwrap_or(Role::Node)
}

/// The role that is named first.
fn named(text: &str) -> Option<Role> {
    let text = text.to_lowercase();
    let found = ROLES
        .iter()
        .filter_map(|(word, role)| Some((text.find(word)?, *role)));
    // `min_by_key` keeps the first of equals.
    found.min_by_key(|(place, _)| *place).map(|(_, role)| role)
}

/// Ids, each once.
pub(super) struct Ids {
    spec: String,
    taken: HashSet<String>,
}

impl Ids {
    pub(super) fn new(spec: &str, catalogue: &Catalogue) -> Self {
        Self {
            spec: id_part(spec),
            taken: catalogue.entries().map(|e| e.id.clone()).collect(),
        }
    }

    /// `SPEC/ROLE/WORDS`, with a number behind it where that is taken.
    pub(super) fn draw(&mut self, role: Role, unit: &Unit) -> String {
        let role = match role {
            Role::Reader => "reader",
            Role::Writer => "writer",
            Role::Sender => "sender",
            Role::Receiver => "receiver",
            Role::Node => "node",
        };
        let ban = matches!(unit.keyword, Some(Keyword::MustNot | Keyword::ShouldNot));
        let mut name = words(&unit.own, WORDS, LONGEST);
        if name.is_empty() {
            name = words(&unit.text, WORDS, LONGEST);
        }
        if name.is_empty() {
            name = "statement".to_owned();
        }
        if ban {
            name = format!("no-{name}");
        }
        let id = format!("{}/{role}/{name}", self.spec);
        let mut unique = id.clone();
        let mut number = 2;
        while !self.taken.insert(unique.clone()) {
            unique = format!("{id}-{number}");
            number += 1;
        }
        unique
    }
}

/// A name as ids allow it; a slash parts it.
fn id_part(name: &str) -> String {
    let parts = name.split('/').map(|part| words_of(part).join("-"));
    let parts: Vec<String> = parts.filter(|part| !part.is_empty()).collect();
    if parts.is_empty() {
        return "draft".to_owned();
    }
    parts.join("/")
}

/// The first telling words of a text, joined by `-`.
fn words(text: &str, most: usize, longest: usize) -> String {
    let mut name = String::new();
    let telling = words_of(text);
    let telling = telling.iter().filter(|w| !EMPTY.contains(&w.as_str()));
    for word in telling.take(most) {
        if !name.is_empty() && name.len() + 1 + word.len() > longest {
            break;
        }
        if !name.is_empty() {
            name.push('-');
        }
        name.push_str(&word[..word.len().min(longest)]);
    }
    name
}

/// Lower-case runs of ASCII letters and digits; `_` parts them, too.
fn words_of(text: &str) -> Vec<String> {
    text.to_lowercase()
        .split(|c: char| !c.is_ascii_alphanumeric())
        .filter(|word| !word.is_empty())
        .map(str::to_owned)
        .collect()
}
