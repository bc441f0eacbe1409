//! JSON Schemas of the files, generated from the types; `vectors/schema/` holds their copies.

use crate::case::Topology;
use crate::file::{CODEC_KEYS, SCENARIO_KEYS, VectorFile};
use schemars::schema_for;
use serde_json::{Value, json};

/// A codec vector.
pub fn vector() -> Value {
    form("lnconform codec vector", &SCENARIO_KEYS)
}

/// A scenario vector.
pub fn scenario() -> Value {
    form("lnconform scenario vector", &CODEC_KEYS)
}

/// A file of `topologies/`.
pub fn topology() -> Value {
    let mut schema = schema_for!(Topology).to_value();
    schema["title"] = json!("lnconform topology");
    schema
}

/// Both forms are one struct; each schema leaves the other's keys out.
fn form(title: &str, without: &[&str]) -> Value {
    let mut schema = schema_for!(VectorFile).to_value();
    schema["title"] = json!(title);
    schema["description"] = json!("One YAML file, one case.");
    if let Some(properties) = schema["properties"].as_object_mut() {
        properties.retain(|key, _| !without.contains(&key.as_str()));
    }
    if without.contains(&"steps") {
        // Nothing else refers to the definition of a step.
        if let Some(root) = schema.as_object_mut() {
            root.shift_remove("$defs");
        }
    }
    schema
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::path::Path;

    #[test]
    fn the_copies_are_current() {
        let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../vectors/schema");
        for (name, schema) in [
            ("vector", vector()),
            ("scenario", scenario()),
            ("topology", topology()),
        ] {
            let path = folder.join(format!("{name}.json"));
            let want = format!("{}\n", serde_json::to_string_pretty(&schema).unwrap());
            if std::env::var_os("UPDATE_SCHEMA").is_some() {
                std::fs::write(&path, &want).unwrap();
            }
            let copy = std::fs::read_to_string(&path).unwrap_or_default();
            assert!(
                copy == want,
                "vectors/schema/{name}.json is not current; run this test with UPDATE_SCHEMA=1"
            );
        }
    }

    #[test]
    fn each_form_has_its_own_keys() {
        assert!(vector()["properties"].get("steps").is_none());
        assert!(vector()["properties"].get("operation").is_some());
        assert!(scenario()["properties"].get("operation").is_none());
        assert!(scenario()["properties"].get("steps").is_some());
        assert_eq!(scenario()["additionalProperties"], false);
        assert_eq!(
            topology()["properties"]["channels"]["items"]["$ref"],
            "#/$defs/TopologyChannel"
        );
    }
}
