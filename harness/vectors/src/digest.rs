//! What a vector asserts, as a hash: so that a frozen set notices when one changes.
//!
//! The hash is over what decides whether an implementation passes, with parents, mutations and matrices
//! resolved: operation, input, expectation and needs; of a scenario topology, roles and steps. What is
//! written for people, tags, provenance and the requirements that it covers may be bettered.

use crate::case::{Body, Case, Expect, RoleChoice, Step};
use serde_json::{Map, Value, json};
use sha2::{Digest, Sha256};

/// Hex digits of a digest.
pub const DIGITS: usize = 16;

/// The digest of a case: [`DIGITS`] hex digits.
pub fn digest(case: &Case) -> String {
    let body = match &case.body {
        Body::Codec(codec) => json!({
            "operation": codec.operation,
            "input": codec.input,
            "expect": expect(&codec.expect),
            "implementations": codec.implementations,
        }),
        Body::Scenario(scenario) => {
            let roles: Map<String, Value> = scenario
                .roles
                .iter()
                .map(|(role, choice)| {
                    let choice = match choice {
                        RoleChoice::Any => json!("any"),
                        RoleChoice::Codec => json!("codec"),
                        RoleChoice::Of(names) => json!(names),
                    };
                    (role.clone(), choice)
                })
                .collect();
            let steps: Vec<Value> = scenario.steps.iter().map(step).collect();
            // A topology is read from YAML, so that it can be written.
            let topology = serde_json::to_value(&scenario.topology).unwrap_or_default();
            json!({"topology": topology, "roles": roles, "steps": steps})
        }
    };
    let whole = json!({"body": body, "needs": case.needs});
    let mut digits = hex::encode(Sha256::digest(sorted(&whole).to_string()));
    digits.truncate(DIGITS);
    digits
}

fn step(step: &Step) -> Value {
    json!({
        "name": step.name,
        "on": step.on,
        "do": step.operation,
        "with": step.with,
        "bind": step.bind,
        "deadline_ms": step.deadline.map(|d| d.as_millis().to_string()),
        "until": step.until,
        "expect": step.expect.as_ref().map(expect),
    })
}

fn expect(one: &Expect) -> Value {
    match one {
        Expect::Result(pattern) => json!({"result": pattern}),
        Expect::Error(error) => json!({"error": error}),
        Expect::OneOf(all) => {
            let all: Vec<Value> = all.iter().map(|a| expect(&a.expect)).collect();
            json!({"one_of": all})
        }
        Expect::Observe => json!("observe"),
    }
}

/// With the keys of every object in order.
fn sorted(value: &Value) -> Value {
    match value {
        Value::Array(list) => list.iter().map(sorted).collect(),
        Value::Object(map) => {
            let mut fields: Vec<(&String, &Value)> = map.iter().collect();
            fields.sort_by_key(|(key, _)| *key);
            let fields = fields.into_iter().map(|(k, v)| (k.clone(), sorted(v)));
            Value::Object(fields.collect())
        }
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::load::{Options, Root, Vectors};

    /// The digest of the only case of a file.
    fn of(text: &str) -> String {
        let dir = tempfile::tempdir().unwrap();
        std::fs::write(dir.path().join("one.yaml"), text).unwrap();
        let roots = [Root::Added(dir.path().into())];
        let set = Vectors::load(&roots, &[], &Options::default()).unwrap();
        digest(&set.cases[0])
    }

    const CODEC: &str = "description: A.\ncovers: [a/b]\noperation: bigsize.decode\n\
                         input: {bytes: \"00\", more: \"1\"}\nexpect: {value: \"0\"}\n";

    const SCENARIO: &str = "description: A.\ncovers: [a/b]\n\
        topology: {nodes: {payer: {funded_sat: 1000000}, payee: {}}, channels: [{from: payer, to: payee, capacity_sat: 100000}]}\n\
        steps:\n  - {on: payer, do: keysend.send, with: {to: $payee.node_id, amount_msat: \"1\"}, expect: {}}\n";

    #[test]
    fn what_is_written_for_people_may_change_and_nothing_else() {
        for (text, from, to) in [
            (CODEC, "description: A.", "description: B."),
            (CODEC, "[a/b]", "[a/b, a/c]"),
            (CODEC, "expect: ", "tags: [slow]\nexpect: "),
            (
                CODEC,
                "{bytes: \"00\", more: \"1\"}",
                "{more: \"1\", bytes: \"00\"}",
            ),
            (SCENARIO, "description: A.", "description: B."),
        ] {
            assert!(text.contains(from), "{from}");
            assert_eq!(of(text), of(&text.replace(from, to)), "{to}");
        }
        for (text, from, to) in [
            (CODEC, "bigsize.decode", "bigsize.encode"),
            (CODEC, "more: \"1\"", "more: \"2\""),
            (CODEC, "{value: \"0\"}", "{value: \"1\"}"),
            (CODEC, "{value: \"0\"}", "{error: {}}"),
            (CODEC, "expect: ", "needs: [a/b]\nexpect: "),
            (SCENARIO, "amount_msat: \"1\"", "amount_msat: \"2\""),
            (SCENARIO, "capacity_sat: 100000", "capacity_sat: 200000"),
            (SCENARIO, "expect: {}", "expect: {error: {}}"),
            (SCENARIO, "steps:", "roles: {payee: [lnd]}\nsteps:"),
        ] {
            assert!(text.contains(from), "{from}");
            assert_ne!(of(text), of(&text.replace(from, to)), "{to}");
        }
        assert_eq!(of(CODEC).len(), DIGITS);
    }
}
