//! Redactions: what differs from run to run gets a stable name before it is compared.
//!
//! The rules are data (`tests/snapshots/redactions.yaml`):
//!
//! ```yaml
//! - {key: node_id, symbol: node_id}          # every field of that name
//! - {path: "channels/*/funding", symbol: txid}  # a glob over the path of a field
//! - {key: timestamp, with: "[time]"}         # always the same word
//! ```
//!
//! With `symbol`, the first value met becomes `[node_id#1]`, the next other one `[node_id#2]`;
//! equal values get equal symbols within one observation, also under another rule and inside
//! longer texts, so that "the payee of the event is the node that was paid" stays visible. Rules
//! hold for the cluster lane unless they say `lane: codec` or `lane: all`: what a codec answers
//! is the same in every run.

use crate::record::Lane;
use globset::{GlobBuilder, GlobMatcher};
use lnconform_yaml::Diagnostic;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use std::collections::BTreeMap;
use std::path::Path;

/// The rules in the binary.
const EMBEDDED: &str = include_str!("../../../tests/snapshots/redactions.yaml");

/// Values shorter than this (in bytes) are not looked for inside other texts.
const TELLING: usize = 16;

/// One rule as it stands in the file; strict.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RuleText {
    /// Name of a field, wherever it stands.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Glob over the path of a field, its parts joined by `/`, places in lists included.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub path: Option<String>,
    /// Numbered replacement: `node_id` gives `[node_id#1]`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub symbol: Option<String>,
    /// Fixed replacement.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub with: Option<String>,
    /// `cluster` where absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lane: Option<RuleLane>,
}

/// Where a rule holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum RuleLane {
    /// Stateless operations.
    Codec,
    /// Live nodes.
    Cluster,
    /// Both.
    All,
}

#[derive(Debug)]
enum Place {
    Key(String),
    Path(GlobMatcher),
}

#[derive(Clone, Debug)]
enum Replacement {
    Symbol(String),
    With(String),
}

#[derive(Debug)]
struct Rule {
    place: Place,
    replacement: Replacement,
    lane: RuleLane,
}

/// The rules of a snapshot store.
#[derive(Debug, Default)]
pub struct Redactions(Vec<Rule>);

impl Redactions {
    /// Reads the rules of a file.
    ///
    /// # Errors
    /// Every mistake, with its place.
    pub fn load(file: &Path) -> Result<Self, Vec<Diagnostic>> {
        let text = lnconform_yaml::read(file).map_err(|e| vec![e])?;
        Self::parse(file, &text)
    }

    /// The rules in the binary.
    ///
    /// # Errors
    /// As [`Redactions::load`]; a test keeps the embedded ones free of them.
    pub fn embedded() -> Result<Self, Vec<Diagnostic>> {
        Self::parse(Path::new("tests/snapshots/redactions.yaml"), EMBEDDED)
    }

    /// Reads rules from a text.
    ///
    /// # Errors
    /// As [`Redactions::load`].
    pub fn parse(file: &Path, text: &str) -> Result<Self, Vec<Diagnostic>> {
        let rules: Option<Vec<RuleText>> =
            lnconform_yaml::from_str(file, text).map_err(|e| vec![e])?;
        let mut good = Vec::new();
        let mut mistakes = Vec::new();
        for (i, rule) in rules.unwrap_or_default().into_iter().enumerate() {
            match Rule::of(rule) {
                Ok(rule) => good.push(rule),
                Err((message, help)) => mistakes.push(
                    Diagnostic::new(file, message)
                        .at(text, &[&i.to_string()])
                        .help(help),
                ),
            }
        }
        if mistakes.is_empty() {
            Ok(Self(good))
        } else {
            Err(mistakes)
        }
    }

    /// Replaces what the rules of that lane name, and puts the fields of objects in order.
    pub fn apply(&self, lane: Lane, value: &Value) -> Value {
        let mut value = sorted(value);
        let rules: Vec<&Rule> = self
            .0
            .iter()
            .filter(|r| match r.lane {
                RuleLane::All => true,
                RuleLane::Codec => lane == Lane::Codec,
                RuleLane::Cluster => lane == Lane::Cluster,
            })
            .collect();
        if rules.is_empty() {
            return value;
        }
        let mut symbols = Symbols::default();
        replace(&rules, &mut String::new(), None, &mut value, &mut symbols);
        symbols.spread(&mut value);
        value
    }
}

impl Rule {
    fn of(text: RuleText) -> Result<Self, (String, &'static str)> {
        let place = match (text.key, text.path) {
            (Some(key), None) => Place::Key(key),
            (None, Some(path)) => {
                let glob = GlobBuilder::new(&path)
                    .literal_separator(true)
                    .build()
                    .map_err(|e| {
                        (
                            format!("`{path}` is not a glob: {}", e.kind()),
                            "write `[` as `[[]`",
                        )
                    })?;
                Place::Path(glob.compile_matcher())
            }
            _ => {
                return Err((
                    "a redaction needs either `key` or `path`".into(),
                    "write `key: node_id`, or `path: channels/*/funding`",
                ));
            }
        };
        let replacement = match (text.symbol, text.with) {
            (Some(symbol), None) => Replacement::Symbol(symbol),
            (None, Some(with)) => Replacement::With(with),
            _ => {
                return Err((
                    "a redaction needs either `symbol` or `with`".into(),
                    "write `symbol: node_id`, or `with: \"[time]\"`",
                ));
            }
        };
        Ok(Self {
            place,
            replacement,
            lane: text.lane.unwrap_or(RuleLane::Cluster),
        })
    }

    fn names(&self, path: &str, key: Option<&str>) -> bool {
        match &self.place {
            Place::Key(name) => key == Some(name.as_str()),
            Place::Path(glob) => glob.is_match(path),
        }
    }
}

/// Walks the value; `key` is the field a scalar belongs to, through lists.
fn replace(
    rules: &[&Rule],
    path: &mut String,
    key: Option<&str>,
    value: &mut Value,
    symbols: &mut Symbols,
) {
    let length = path.len();
    match value {
        Value::Object(fields) => {
            for (name, field) in fields.iter_mut() {
                push(path, name);
                replace(rules, path, Some(name), field, symbols);
                path.truncate(length);
            }
        }
        Value::Array(items) => {
            for (i, item) in items.iter_mut().enumerate() {
                push(path, &i.to_string());
                replace(rules, path, key, item, symbols);
                path.truncate(length);
            }
        }
        Value::String(_) | Value::Number(_) => {
            if let Some(rule) = rules.iter().find(|r| r.names(path, key)) {
                let plain = match &*value {
                    Value::String(text) => text.clone(),
                    other => other.to_string(),
                };
                // Empty bytes name nothing and are the same in every run.
                if !plain.is_empty() {
                    *value = Value::String(symbols.name(&plain, &rule.replacement));
                }
            }
        }
        Value::Null | Value::Bool(_) => {}
    }
}

fn push(path: &mut String, part: &str) {
    if !path.is_empty() {
        path.push('/');
    }
    path.push_str(part);
}

/// The names given within one observation.
#[derive(Default)]
struct Symbols {
    names: BTreeMap<String, String>,
    next: BTreeMap<String, u32>,
}

impl Symbols {
    fn name(&mut self, value: &str, replacement: &Replacement) -> String {
        let class = match replacement {
            Replacement::With(with) => return with.clone(),
            Replacement::Symbol(class) => class,
        };
        if let Some(name) = self.names.get(value) {
            return name.clone();
        }
        let number = self.next.entry(class.clone()).or_default();
        *number += 1;
        let name = format!("[{class}#{number}]");
        self.names.insert(value.to_owned(), name.clone());
        name
    }

    /// Puts the names also where a redacted value stands inside another text, longest first.
    fn spread(&self, value: &mut Value) {
        let mut telling: Vec<(&String, &String)> = self
            .names
            .iter()
            .filter(|(v, _)| v.len() >= TELLING)
            .collect();
        telling.sort_by_key(|(v, _)| std::cmp::Reverse(v.len()));
        if !telling.is_empty() {
            spread(&telling, value);
        }
    }
}

fn spread(telling: &[(&String, &String)], value: &mut Value) {
    match value {
        Value::Object(fields) => fields.values_mut().for_each(|v| spread(telling, v)),
        Value::Array(items) => items.iter_mut().for_each(|v| spread(telling, v)),
        Value::String(text) => {
            for (what, name) in telling {
                if text.contains(what.as_str()) {
                    *text = text.replace(what.as_str(), name);
                }
            }
        }
        _ => {}
    }
}

/// The same value with the fields of every object in the order of their names.
pub fn sorted(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let mut names: Vec<&String> = fields.keys().collect();
            names.sort();
            names
                .into_iter()
                .map(|n| (n.clone(), sorted(&fields[n])))
                .collect()
        }
        Value::Array(items) => items.iter().map(sorted).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn rules(text: &str) -> Redactions {
        Redactions::parse(Path::new("r.yaml"), text).unwrap()
    }

    const A: &str = "02aaaaaaaaaaaaaaaaaaaaaaaa";
    const B: &str = "03bbbbbbbbbbbbbbbbbbbbbbbb";

    #[test]
    fn equal_values_get_equal_symbols_also_inside_texts() {
        let r = rules(
            "- {key: node_id, symbol: node_id}\n- {path: peers/*, symbol: peer}\n- {key: at, with: '[time]'}\n",
        );
        let seen = json!({
            "peers": [B, A], "node_id": A, "at": 17, "text": format!("no route to {B}"), "fee": 3,
        });
        assert_eq!(
            r.apply(Lane::Cluster, &seen),
            json!({
                "at": "[time]", "fee": 3, "node_id": "[node_id#1]",
                "peers": ["[peer#1]", "[node_id#1]"], "text": "no route to [peer#1]",
            })
        );
        assert_eq!(r.apply(Lane::Codec, &seen), sorted(&seen));
    }

    #[test]
    fn a_key_reaches_into_lists_and_empty_bytes_stay() {
        let r = rules("- {key: preimages, symbol: p, lane: all}");
        let seen = json!({"preimages": ["aa", "", "bb", "aa"]});
        let want = json!({"preimages": ["[p#1]", "", "[p#2]", "[p#1]"]});
        assert_eq!(r.apply(Lane::Codec, &seen), want);
    }

    #[test]
    fn mistakes_are_placed() {
        let fault =
            |text: &str| Redactions::parse(Path::new("r.yaml"), text).unwrap_err()[0].to_string();
        let ok = "- {key: a, symbol: a}\n";
        assert!(
            fault(&format!("{ok}- {{symbol: b}}\n")).starts_with("r.yaml:2:3: a redaction needs")
        );
        assert!(fault(&format!("{ok}- {{key: b}}\n")).starts_with("r.yaml:2:3: a redaction needs"));
        assert!(fault(&format!("{ok}- {{kee: b}}\n")).contains("did you mean `key`?"));
        assert!(fault("- {path: 'a[', with: x}\n").contains("not a glob"));
    }

    #[test]
    fn the_embedded_rules_are_good() {
        let rules = Redactions::embedded().unwrap();
        let seen = json!({"node_id": A, "amount_msat": "1000"});
        let want = json!({"amount_msat": "1000", "node_id": "[node_id#1]"});
        assert_eq!(rules.apply(Lane::Cluster, &seen), want);
    }

    proptest! {
        /// What is redacted depends on which values are equal, and on nothing else of them.
        #[test]
        fn other_keys_give_the_same_observation(picks in prop::collection::vec(0usize..4, 1..8), salt in 0u32..1000) {
            let r = rules("- {key: id, symbol: id}");
            let seen = |salt: u32| {
                let items: Vec<Value> = picks.iter().map(|p| json!({"id": format!("{:064x}", (p + 1) as u64 * 7919 + u64::from(salt) * 31)})).collect();
                r.apply(Lane::Cluster, &Value::Array(items))
            };
            prop_assert_eq!(seen(salt), seen(salt + 1));
        }
    }
}
