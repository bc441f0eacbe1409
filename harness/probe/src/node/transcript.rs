//! What was said, in the clear: a JSON line for each message of either direction.

use crate::node::env::lock;
use bitcoin::secp256k1::PublicKey;
use serde_json::{Map, Value, json};
use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::sync::Mutex;
use std::time::Instant;

/// Who said it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Direction {
    /// The peer.
    In,
    /// The probe.
    Out,
}

/// The file of one node.
pub struct Transcript {
    file: Mutex<File>,
    path: PathBuf,
    started: Instant,
}

impl Transcript {
    /// Appends to the file at `path`.
    ///
    /// # Errors
    /// What the system says.
    pub fn open(path: &Path) -> io::Result<Self> {
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        Ok(Self {
            file: Mutex::new(file),
            path: path.to_owned(),
            started: Instant::now(),
        })
    }

    /// Everything that was noted so far, before a restart too.
    ///
    /// # Errors
    /// What the system says.
    pub fn lines(&self) -> io::Result<Vec<Value>> {
        // Nobody may be in the middle of a line.
        let _file = lock(&self.file);
        let text = std::fs::read_to_string(&self.path)?;
        // One that a killed process has not finished says nothing.
        let lines = text
            .lines()
            .filter_map(|line| serde_json::from_str(line).ok());
        Ok(lines.collect())
    }

    /// Notes a message: its name in the specification's form, and what is worth knowing of it.
    pub fn note(&self, direction: Direction, peer: PublicKey, message: &str, fields: Value) {
        let mut line = Map::new();
        let at = u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX);
        line.insert("at_ms".into(), json!(at));
        line.insert(
            "direction".into(),
            json!(match direction {
                Direction::In => "in",
                Direction::Out => "out",
            }),
        );
        line.insert("peer".into(), json!(peer.to_string()));
        line.insert("message".into(), json!(message));
        if let Value::Object(fields) = fields {
            line.extend(fields);
        }
        let text = format!("{}\n", Value::Object(line));
        // A full disk must not stop the node.
        let _ = lock(&self.file).write_all(text.as_bytes());
    }
}

/// `SendChannelReestablish` as `channel_reestablish`: the name that the specification has for it.
pub fn spelled(name: &str) -> String {
    let name = name.strip_prefix("Send").unwrap_or(name);
    let mut text = String::new();
    for (at, letter) in name.char_indices() {
        if letter.is_ascii_uppercase() {
            if at > 0 && !name[..at].ends_with(|c: char| c.is_ascii_uppercase()) {
                text.push('_');
            }
            text.push(letter.to_ascii_lowercase());
        } else {
            text.push(letter);
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_appended_in_order() {
        let dir = tempfile::tempdir().unwrap();
        let transcript = Transcript::open(&dir.path().join("transcript.jsonl")).unwrap();
        let peer: PublicKey = "0279be667ef9dcbbac55a06295ce870b07029bfcdb2dce28d959f2815b16f81798"
            .parse()
            .unwrap();
        transcript.note(Direction::Out, peer, "init", json!({"features": "02"}));
        transcript.note(Direction::In, peer, "error", json!({"data": "no"}));
        let text = std::fs::read_to_string(dir.path().join("transcript.jsonl")).unwrap();
        let lines: Vec<Value> = text
            .lines()
            .map(|line| serde_json::from_str(line).unwrap())
            .collect();
        assert_eq!(lines.len(), 2);
        assert_eq!(
            (&lines[0]["message"], &lines[0]["features"]),
            (&json!("init"), &json!("02"))
        );
        assert_eq!(
            (&lines[1]["direction"], &lines[1]["data"]),
            (&json!("in"), &json!("no"))
        );
    }

    #[test]
    fn names_are_those_of_the_specification() {
        for (ours, theirs) in [
            ("SendChannelReestablish", "channel_reestablish"),
            ("SendRevokeAndACK", "revoke_and_ack"),
            ("BroadcastChannelUpdate", "broadcast_channel_update"),
        ] {
            assert_eq!(spelled(ours), theirs);
        }
    }
}
