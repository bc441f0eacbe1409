//! What stands in a file, before `extends`, `mutate` and `matrix` are worked out.
//!
//! One struct holds the keys of both forms, so that a misspelt key finds its neighbour and a key
//! of the other form is named as that.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::{Map, Value};
use std::collections::BTreeMap;

/// Keys that only a codec vector has.
pub const CODEC_KEYS: [&str; 4] = ["operation", "input", "expect", "resign"];
/// Keys that only a scenario vector has.
pub const SCENARIO_KEYS: [&str; 5] = ["topology", "roles", "steps", "options", "cluster"];

/// A vector file.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VectorFile {
    /// Version of the file format; 1, which is implied.
    #[serde(default)]
    pub format: Option<u32>,
    /// One sentence: what the case shows.
    pub description: String,
    /// Name and revision of the specification, such as `blip-0003` or `keysend-proof@0`.
    #[serde(default)]
    pub spec: Option<String>,
    /// Ids of the requirements that the case covers, at least one.
    #[serde(default)]
    pub covers: Vec<String>,
    /// Such as `slow`.
    #[serde(default)]
    pub tags: Option<Vec<String>>,
    /// Operations and dialects without which the case does not apply; in a scenario of every role,
    /// or of one as `ROLE: NAME`.
    #[serde(default)]
    pub needs: Option<Vec<String>>,
    /// Where the expectation comes from: `{text: SECTION}`, `{derived: {generator, version, seed}}`,
    /// `{upstream: {file, case}}` or `{draft-by-implementation: WHY}`.
    #[serde(default)]
    pub provenance: Option<Value>,
    /// Id of the vector whose input (or topology, roles and steps) is taken over.
    #[serde(default)]
    pub extends: Option<String>,
    /// Changes of the parent's input: dotted path to change.
    #[serde(default)]
    pub mutate: Option<Map<String, Value>>,
    /// Whether signatures inside the input are remade after the mutation.
    #[serde(default)]
    pub resign: bool,
    /// Axes that multiply the case: `implementation`, `roles`, `hops`, or a dotted path below
    /// `input` or `steps`.
    #[serde(default)]
    pub matrix: Option<Map<String, Value>>,
    /// The operation, such as `bolt12.offer.decode`.
    #[serde(default)]
    pub operation: Option<String>,
    /// Its params. With `extends`, these keys replace the parent's.
    #[serde(default)]
    pub input: Option<Map<String, Value>>,
    /// What must be answered: a result's fields (matchers allowed), `{error: {kind, rule, code,
    /// message}}`, `{one_of: [{because, …}]}`, `{observe: [paths]}`.
    #[serde(default, deserialize_with = "present")]
    pub expect: Option<Value>,
    /// Name of a file in `topologies/`, or a topology.
    #[serde(default)]
    pub topology: Option<Value>,
    /// Who may take a role: a name, a list of names, or `any`; `codec` makes one without a node, which
    /// every implementation's codec takes in turn.
    #[serde(default)]
    pub roles: Option<BTreeMap<String, Value>>,
    /// What is done, in order.
    #[serde(default)]
    pub steps: Option<Vec<StepFile>>,
    /// Role to options of its node, put over those of the topology.
    #[serde(default)]
    pub options: Option<BTreeMap<String, Map<String, Value>>>,
    /// Whether the scenario may run after others in one cluster; it may where the key is absent.
    #[serde(default)]
    pub cluster: Option<Sharing>,
}

/// Whether a scenario shares its cluster.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Sharing {
    /// It runs before or after others with the same topology and the same implementations.
    Shared,
    /// It has a cluster for itself, since it leaves behind what would disturb others.
    Own,
}

/// One step of a scenario.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StepFile {
    /// Names the check, as `ID#NAME`; the step's number where absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The role that does it; or `chain`, `codec` (an operation that needs no node) or `harness`.
    pub on: String,
    /// The operation.
    #[serde(rename = "do")]
    pub operation: String,
    /// Its params; `$payee.node_id` and the like are references.
    #[serde(default)]
    pub with: Map<String, Value>,
    /// What the probe does wrong on purpose in this step; `lnconform list --misbehaviours` has the
    /// names.
    #[serde(default)]
    pub misbehave: Option<String>,
    /// Name under which later steps know the result.
    #[serde(default)]
    pub bind: Option<String>,
    /// How long it may take: `15s`, `500ms`, `2m`.
    #[serde(default)]
    pub deadline: Option<String>,
    /// Repeats the step until the expectation holds or the deadline has passed.
    #[serde(default)]
    pub until: bool,
    /// What must be answered; as in a codec vector.
    #[serde(default, deserialize_with = "present")]
    pub expect: Option<Value>,
    /// Requirements that this step covers; those of the case where absent.
    #[serde(default)]
    pub covers: Vec<String>,
    /// Line in the file, counted from 1.
    #[serde(skip)]
    pub line: usize,
}

/// Tells `expect:` with nothing behind it from no `expect`.
fn present<'de, D: serde::Deserializer<'de>>(de: D) -> Result<Option<Value>, D::Error> {
    Value::deserialize(de).map(Some)
}

/// Reads `15s`, `500ms`, `2m`.
pub fn duration(text: &str) -> Option<std::time::Duration> {
    let digits = text.bytes().take_while(u8::is_ascii_digit).count();
    let (number, unit) = text.split_at(digits);
    let number: u64 = number.parse().ok()?;
    let ms = match unit {
        "ms" => number,
        "s" => number.checked_mul(1000)?,
        "m" => number.checked_mul(60_000)?,
        _ => return None,
    };
    (ms > 0 && ms <= 3_600_000).then(|| std::time::Duration::from_millis(ms))
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn deadlines_are_read_with_their_unit() {
        assert_eq!(duration("15s"), Some(Duration::from_secs(15)));
        assert_eq!(duration("500ms"), Some(Duration::from_millis(500)));
        assert_eq!(duration("2m"), Some(Duration::from_secs(120)));
        for wrong in [
            "",
            "15",
            "s",
            "15 s",
            "1h",
            "0s",
            "-1s",
            "1.5s",
            "61m",
            "99999999999999999999s",
        ] {
            assert_eq!(duration(wrong), None, "{wrong}");
        }
    }
}
