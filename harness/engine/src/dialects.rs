//! Which checks of a run were in which dialect of a draft, and who speaks it.

use crate::filter::{FilterError, Filters};
use crate::plan::Participant;
use crate::record::{Check, Dialect, Outcome, Record};
use crate::results::Sink;
use lnconform_spec::Dialects;
use lnconform_vectors::case::{Body, Case};
use std::collections::HashMap;

/// Place of a dialect: its draft, and itself among those of the draft.
type Place = (usize, usize);

/// Counts the checks of each dialect.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    drafts: Vec<Vec<Dialect>>,
    /// Case id to the dialects that it is in.
    of: HashMap<String, Vec<Place>>,
    /// Drafts that a check was about.
    met: Vec<bool>,
}

impl Tally {
    /// A tally of the checks that `cases` make on `people`.
    ///
    /// A case is in the dialects that its `needs` or its param `dialect` name; one that names none of a
    /// draft is in the dialect whose longest glob matches.
    ///
    /// # Errors
    /// [`FilterError`] for a glob of the table that is none.
    pub fn new(
        table: &Dialects,
        cases: &[Case],
        people: &[Participant],
    ) -> Result<Self, FilterError> {
        let mut tally = Self::default();
        let mut globs: Vec<(usize, Place, Filters)> = Vec::new();
        for (draft, family) in table.families.iter().enumerate() {
            tally.met.push(false);
            let mut dialects = Vec::new();
            for (at, dialect) in family.dialects.iter().enumerate() {
                for glob in &dialect.checks {
                    globs.push((glob.len(), (draft, at), Filters::parse(&[glob])?));
                }
                let number = |item: &String| {
                    let number = dialect.numbers.get(item).cloned().unwrap_or_default();
                    (item.clone(), number.into())
                };
                let speaks = |p: &&Participant| p.dialects.contains(&dialect.name);
                dialects.push(Dialect {
                    name: dialect.name.clone(),
                    title: dialect.title.clone(),
                    draft: family.title.clone(),
                    speakers: people
                        .iter()
                        .filter(speaks)
                        .map(|p| p.name.clone())
                        .collect(),
                    passed: 0,
                    failed: 0,
                    numbers: family.items.iter().map(number).collect(),
                    source: dialect.source.clone(),
                });
            }
            tally.drafts.push(dialects);
        }
        globs.sort_by_key(|(length, ..)| std::cmp::Reverse(*length));
        for case in cases {
            let mut places = tally.named(case);
            for (_, place, glob) in &globs {
                let told = places.iter().any(|(draft, _)| *draft == place.0);
                if !told && glob.matches(&case.id) {
                    places.push(*place);
                }
            }
            if !places.is_empty() {
                tally.of.insert(case.id.clone(), places);
            }
        }
        Ok(tally)
    }

    /// The dialects that a case names.
    fn named(&self, case: &Case) -> Vec<Place> {
        let needs = case.needs.iter().map(|need| {
            need.split_once(':')
                .map_or(need.as_str(), |(_, need)| need.trim())
        });
        let param = match &case.body {
            Body::Codec(codec) => codec.input.get("dialect").and_then(|d| d.as_str()),
            Body::Scenario(_) => None,
        };
        let mut places = Vec::new();
        for name in needs.chain(param) {
            for (draft, dialects) in self.drafts.iter().enumerate() {
                let found = dialects.iter().position(|d| d.name == name);
                if let Some(at) = found
                    && !places.contains(&(draft, at))
                {
                    places.push((draft, at));
                }
            }
        }
        places
    }

    /// A line for each dialect of the drafts that a check was about.
    pub fn records(&self) -> impl Iterator<Item = Record> + '_ {
        let met = self.drafts.iter().zip(&self.met).filter(|(_, met)| **met);
        met.flat_map(|(dialects, _)| dialects.iter().cloned().map(Record::Dialect))
    }

    fn check(&mut self, check: &Check) {
        let case = check.id.split('#').next().unwrap_or_default();
        for (draft, at) in self.of.get(case).into_iter().flatten() {
            let dialect = &mut self.drafts[*draft][*at];
            match check.outcome {
                Outcome::Passed => dialect.passed += 1,
                Outcome::Failed => dialect.failed += 1,
                _ => continue,
            }
            self.met[*draft] = true;
        }
    }
}

impl Sink for Tally {
    fn record(&mut self, record: &Record) {
        if let Record::Check(check) = record {
            self.check(check);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::plan::tests::{case as case_of, participant};
    use crate::results::tests::check;
    use lnconform_drafts::async_payments::{Dialect as Async, Name};
    use lnconform_drafts::failure::{NODE, PERM, code};
    use lnconform_drafts::payload::{self, Dialect as Trampoline, kind};
    use lnconform_vectors::case::{Codec, Expect};

    fn table() -> Dialects {
        Dialects::open(None).unwrap()
    }

    fn case(id: &str) -> Case {
        let body = Codec {
            operation: "tlv.decode".into(),
            input: serde_json::json!({}),
            expect: Expect::Observe,
            implementations: vec![],
            observe: vec![],
        };
        case_of(id, Body::Codec(body))
    }

    fn lines(tally: &Tally) -> Vec<Dialect> {
        let lines = tally.records().map(|record| match record {
            Record::Dialect(dialect) => dialect,
            other => panic!("{other:?}"),
        });
        lines.collect()
    }

    #[test]
    fn checks_are_counted_in_the_dialect_that_they_name_or_match() {
        let mut named = case("async/live/of-the-draft");
        named.needs = vec!["payer: async/pr-1149".into()];
        let cases = [
            case("async/live/a"),
            named,
            case("trampoline/failure/decode-legacy-x"),
            case("bolt01/a"),
        ];
        let mut speaker = participant("owl", false);
        speaker.dialects.insert("async/ldk".into());
        let mut tally = Tally::new(&table(), &cases, &[speaker]).unwrap();
        assert_eq!(lines(&tally), []);
        let mut met = |id: &str, outcome| {
            tally.record(&Record::Check(Box::new(check(id, "owl", outcome))));
        };
        met("bolt01/a", Outcome::Failed);
        met("async/live/a#1", Outcome::Passed);
        met("async/live/a#2", Outcome::Failed);
        met("async/live/a#3", Outcome::Unsupported);
        met("async/live/of-the-draft#1", Outcome::Failed);
        met("trampoline/failure/decode-legacy-x", Outcome::Unsupported);
        let found = lines(&tally);
        let counts: Vec<_> = found
            .iter()
            .map(|d| (d.name.as_str(), d.passed, d.failed, d.speakers.len()))
            .collect();
        // Nothing passed or failed over trampolines, so that draft has no lines.
        assert_eq!(counts, [("async/pr-1149", 0, 1, 0), ("async/ldk", 1, 1, 1)]);
        let other = check("trampoline/failure/decode-legacy-x", "owl", Outcome::Passed);
        tally.record(&Record::Check(Box::new(other)));
        let legacy = lines(&tally)
            .into_iter()
            .find(|d| d.name == "trampoline/acinq-legacy");
        assert_eq!(legacy.map(|d| d.passed), Some(1));
    }

    fn numbers(name: &str) -> HashMap<String, String> {
        let found = table().families.into_iter().flat_map(|f| f.dialects);
        let dialect = found.into_iter().find(|d| d.name == name);
        dialect.unwrap().numbers.into_iter().collect()
    }

    /// The table says what the reference does, and every dialect of the reference is in it.
    #[test]
    fn the_numbers_are_those_of_the_reference() {
        for dialect in Async::ALL {
            let of = numbers(dialect.name());
            let even = dialect.hold_feature();
            let pair = format!("{even}/{}", even + 1);
            let message = |name: Name| {
                let number = name.number(dialect);
                number.map_or("no number given".to_owned(), |n| n.to_string())
            };
            let mut want = vec![
                ("feature bits of option_htlc_hold".to_owned(), pair),
                (
                    "hold_htlc (update_add_htlc)".into(),
                    dialect.hold_htlc().to_string(),
                ),
                (
                    "release_held_htlc_message_paths (revoke_and_ack)".into(),
                    dialect.release_paths().to_string(),
                ),
                (
                    "invoice_request (payload)".into(),
                    dialect.payload_invoice_request().to_string(),
                ),
                (
                    "sender_provided_payment_preimage (payload)".into(),
                    dialect.payload_preimage().to_string(),
                ),
                (
                    "static_invoice_message_paths (invoice)".into(),
                    dialect.invoice().message_paths().unwrap().to_string(),
                ),
                (
                    "static_invoice (onion message)".into(),
                    dialect.static_invoice().to_string(),
                ),
                (
                    "in front of each release path".into(),
                    match dialect.htlc_in_front() {
                        true => "its HTLC's id, 8 bytes".into(),
                        false => "nothing".into(),
                    },
                ),
                (
                    "in front of such a message's stream".into(),
                    match dialect.length_in_front() {
                        true => "its length, a BigSize".into(),
                        false => "nothing".into(),
                    },
                ),
            ];
            want.extend(
                Name::ALL.map(|name| (format!("{} (onion message)", name.as_str()), message(name))),
            );
            assert_eq!(of, want.into_iter().collect(), "{}", dialect.name());
        }
        let failure = |failure: u16| match failure {
            f if f & NODE == NODE => format!("NODE|{}", f & !NODE),
            f => format!("PERM|{}", f & !PERM),
        };
        let of = numbers(Trampoline::Pr836.name());
        for (item, want) in [
            ("inner onion (payload)", kind::TRAMPOLINE_ONION.to_string()),
            (
                "next trampoline (payload)",
                kind::OUTGOING_NODE_ID.to_string(),
            ),
            (
                "recipient's features (payload)",
                kind::RECIPIENT_FEATURES.to_string(),
            ),
            (
                "recipient's blinded paths (payload)",
                kind::RECIPIENT_PATHS.to_string(),
            ),
            (
                "failure: cannot be passed on",
                failure(code::TEMPORARY_TRAMPOLINE_FAILURE),
            ),
            (
                "failure: fee too low",
                failure(code::TRAMPOLINE_FEE_OR_EXPIRY_INSUFFICIENT),
            ),
            (
                "failure: expiry too soon",
                failure(code::TRAMPOLINE_FEE_OR_EXPIRY_INSUFFICIENT),
            ),
            (
                "failure: next trampoline unknown",
                failure(code::UNKNOWN_NEXT_TRAMPOLINE),
            ),
        ] {
            assert_eq!(of[item], want, "{item}");
        }
        for name in [Trampoline::AcinqLegacy.name(), "trampoline/electrum"] {
            let of = numbers(name);
            let number = |item: &str| of[item].split(' ').next().unwrap().to_owned();
            for (item, want) in [
                ("inner onion (payload)", kind::LEGACY_TRAMPOLINE_ONION),
                ("next trampoline (payload)", kind::LEGACY_OUTGOING_NODE_ID),
                ("recipient's features (payload)", kind::LEGACY_FEATURES),
                (
                    "recipient's routing hints (payload)",
                    kind::LEGACY_ROUTING_INFO,
                ),
            ] {
                assert_eq!(number(item), want.to_string(), "{name}: {item}");
            }
            for (item, known) in [
                ("failure: fee too low", "trampoline_fee_insufficient"),
                ("failure: expiry too soon", "trampoline_expiry_too_soon"),
            ] {
                let number: u16 = of[item].strip_prefix("NODE|").unwrap().parse().unwrap();
                let found = lnconform_drafts::failure::find(NODE | number);
                assert_eq!(found.map(|f| f.name), Some(known), "{name}");
            }
        }
        let paths = &numbers(Trampoline::AcinqLegacy.name())["recipient's blinded paths (payload)"];
        assert_eq!(*paths, kind::LEGACY_RECIPIENT_PATHS.to_string());
        let mini = &numbers(payload::Dialect::Mini.name())["mini-trampoline (payload)"];
        assert_eq!(*mini, kind::MINI_TRAMPOLINE.to_string());
    }
}
