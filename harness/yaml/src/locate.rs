//! Finds the line and column of a key or value, from the YAML's own events.

use saphyr_parser::{Event, Parser, Span};
use std::collections::HashSet;

/// A position, both counted from 1, the column in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Place {
    /// Line.
    pub line: usize,
    /// Column.
    pub column: usize,
}

fn place(span: Span) -> Place {
    Place {
        line: span.start.line(),
        column: span.start.col() + 1,
    }
}

enum Frame {
    Map {
        key: Option<String>,
        seen: HashSet<String>,
    },
    List {
        index: usize,
    },
}

/// Walks the events and calls `visit` with the path to each value, the place of its key (of the
/// value itself in a list) and the place of the value. Stops when `visit` answers `true`, and
/// quietly at broken YAML, which the reader proper reports.
fn walk(text: &str, mut visit: impl FnMut(&[String], Place, Place, bool) -> bool) {
    let mut stack: Vec<Frame> = Vec::new();
    let mut path: Vec<String> = Vec::new();
    let mut key_place = Place { line: 1, column: 1 };
    for event in Parser::new_from_str(text) {
        let Ok((event, span)) = event else { return };
        let here = place(span);
        let (scalar, start) = match &event {
            Event::Scalar(value, ..) => (Some(value.as_ref()), None),
            Event::Alias(_) => (Some(""), None),
            Event::MappingStart(..) => (
                None,
                Some(Frame::Map {
                    key: None,
                    seen: HashSet::new(),
                }),
            ),
            Event::SequenceStart(..) => (None, Some(Frame::List { index: 0 })),
            Event::MappingEnd | Event::SequenceEnd => {
                stack.pop();
                close_value(&mut stack, &mut path);
                continue;
            }
            _ => continue,
        };
        // A scalar where a mapping waits for a key is that key.
        if let (
            Some(value),
            Some(Frame::Map {
                key: key @ None,
                seen,
            }),
        ) = (scalar, stack.last_mut())
        {
            let duplicate = !seen.insert(value.to_owned());
            *key = Some(value.to_owned());
            path.push(value.to_owned());
            key_place = here;
            if duplicate && visit(&path, key_place, here, true) {
                return;
            }
            continue;
        }
        if let Some(Frame::List { index }) = stack.last() {
            path.push(index.to_string());
            key_place = here;
        }
        if visit(&path, key_place, here, false) {
            return;
        }
        match start {
            Some(frame) => stack.push(frame),
            None => close_value(&mut stack, &mut path),
        }
    }
}

fn close_value(stack: &mut [Frame], path: &mut Vec<String>) {
    match stack.last_mut() {
        Some(Frame::Map { key, .. }) => {
            *key = None;
            path.pop();
        }
        Some(Frame::List { index }) => {
            *index += 1;
            path.pop();
        }
        None => {}
    }
}

fn find(text: &str, wanted: &[&str], of_key: bool) -> Option<Place> {
    let mut best: Option<(usize, Place)> = None;
    walk(text, |path, key, value, duplicate| {
        if duplicate || path.len() > wanted.len() || !path.iter().zip(wanted).all(|(a, b)| a == b) {
            return false;
        }
        if best.is_none_or(|(depth, _)| path.len() >= depth) {
            let at = if of_key && !path.is_empty() {
                key
            } else {
                value
            };
            best = Some((path.len(), at));
        }
        path.len() == wanted.len()
    });
    best.map(|(_, at)| at)
}

/// Where the value at `path` begins (`["steps", "2", "expect"]`), or its closest parent that is
/// there; `None` only where the text holds no value at all.
pub fn locate(text: &str, path: &[&str]) -> Option<Place> {
    find(text, path, false)
}

/// Where the key that ends `path` begins, or that of its closest parent.
pub fn locate_key(text: &str, path: &[&str]) -> Option<Place> {
    find(text, path, true)
}

/// Where each item of the list below the top-level key `list` begins, in their order; empty where
/// there is no such list. One walk for all, where [`locate`] takes one for each.
pub fn items(text: &str, list: &str) -> Vec<Place> {
    let mut places = Vec::new();
    let mut inside = false;
    walk(text, |path, _, value, duplicate| {
        let here = path.first().is_some_and(|key| key == list);
        if here && !duplicate && path.len() == 2 {
            places.push(value);
        }
        // Past the list there is nothing more to see.
        let past = inside && !here;
        inside = here;
        past
    });
    places
}

/// The first key that a mapping of `text` holds twice, with the place of the second.
pub fn duplicate_key(text: &str) -> Option<(String, Place)> {
    let mut found = None;
    walk(text, |path, key, _, duplicate| {
        if duplicate {
            found = path.last().cloned().map(|name| (name, key));
        }
        duplicate
    });
    found
}

/// The key `name` that is closest to `near` (before it, at it, or after it).
pub(crate) fn first_key(text: &str, name: &str, near: Option<Place>) -> Option<Place> {
    let mut best: Option<(usize, Place)> = None;
    walk(text, |path, key, _, _| {
        if path.last().is_some_and(|last| last == name) {
            let distance = near.map_or(0, |n| {
                n.line.abs_diff(key.line) * 1000 + n.column.abs_diff(key.column)
            });
            if best.is_none_or(|(d, _)| distance < d) {
                best = Some((distance, key));
            }
        }
        false
    });
    best.map(|(_, at)| at)
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const TEXT: &str = "a: 1\nb:\n  - x: 2\n    y: [3, {z: 4}]\n  - 5\n";

    #[test]
    fn values_keys_and_parents_are_found() {
        let at = |line, column| Some(Place { line, column });
        assert_eq!(locate(TEXT, &["a"]), at(1, 4));
        assert_eq!(locate_key(TEXT, &["b"]), at(2, 1));
        assert_eq!(locate(TEXT, &["b", "0", "y", "1", "z"]), at(4, 16));
        assert_eq!(locate_key(TEXT, &["b", "0", "y"]), at(4, 5));
        assert_eq!(locate(TEXT, &["b", "1"]), at(5, 5));
        assert_eq!(locate(TEXT, &["b", "0", "gone"]), locate(TEXT, &["b", "0"]));
        let places = [locate(TEXT, &["b", "0"]), locate(TEXT, &["b", "1"])];
        let listed: Vec<_> = items(TEXT, "b").into_iter().map(Some).collect();
        assert_eq!(listed, places);
        assert!(items(TEXT, "a").is_empty() && items(TEXT, "y").is_empty());
        assert_eq!(items("b: [1]\na: {b: [2]}\n", "b").len(), 1);
        assert_eq!(duplicate_key(TEXT), None);
        assert_eq!(
            duplicate_key("a: {b: 1, b: 2}"),
            Some((
                "b".into(),
                Place {
                    line: 1,
                    column: 11
                }
            ))
        );
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(text in "[a:{}\\[\\], \n\t\"'&*!|>-]{0,60}") {
            let _ = locate(&text, &["a", "0"]);
            let _ = duplicate_key(&text);
        }
    }
}
