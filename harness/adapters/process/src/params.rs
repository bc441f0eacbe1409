//! Params that several operations, or several nodes, read alike.

use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Fail;
use lnconform_protocol::params::{Params, hex};
use std::net::SocketAddr;
use std::time::{Duration, Instant};

/// What a caller may choose of the onion of `keysend.send`, beside its custom records.
pub const KEYSEND_ONION: [&str; 8] = [
    "preimage",
    "payment_hash",
    "keysend_record",
    "final_cltv_delta",
    "payment_secret",
    "total_msat",
    "parts",
    "via",
];

/// The param `deadline_ms` (milliseconds from now), or its default.
///
/// # Errors
/// `invalid` where it is no number.
pub fn deadline(params: Params<'_>, default_ms: u32) -> Result<Instant, OpError> {
    let ms = params.maybe("deadline_ms", Params::u32)?;
    Ok(Instant::now() + Duration::from_millis(ms.unwrap_or(default_ms).into()))
}

/// A public key, 33 bytes, as lower-case hex; whether it is a point the node says.
///
/// # Errors
/// `invalid` where it is absent, no hex or of another length.
pub fn key(params: Params<'_>, name: &str) -> Result<String, OpError> {
    Ok(hex(params.array::<33>(name)?))
}

/// Refuses params that would change the meaning of the call and that `node` cannot follow. A param
/// with the value `false` asks for nothing.
///
/// # Errors
/// `unsupported`, with the first of them and `why`.
pub fn lacks(params: Params<'_>, node: &str, names: &[&str], why: &str) -> Result<(), Fail> {
    let asked = |name: &&&str| params.get(name).is_some_and(|v| v != false);
    match names.iter().find(asked) {
        None => Ok(()),
        Some(name) => Err(Fail::Unsupported(format!(
            "{node} has nothing for param {name}: {why}"
        ))),
    }
}

/// The params of `channel.open`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OpenChannel {
    /// The peer's public key, in hex.
    pub peer: String,
    /// Size of the channel.
    pub capacity_sat: u64,
    /// What the peer is given.
    pub push_msat: u64,
    /// Whether it is announced.
    pub announce: bool,
    /// Where the peer is; absent where it is connected already.
    pub address: Option<SocketAddr>,
    /// Until when.
    pub deadline: Instant,
}

impl OpenChannel {
    /// Reads them.
    ///
    /// # Errors
    /// `invalid` for what is missing or ill-typed, `rejected` for an address that is not loopback.
    pub fn read(params: Params<'_>) -> Result<Self, OpError> {
        Ok(Self {
            peer: key(params, "node_id")?,
            capacity_sat: params.number("capacity_sat")?,
            push_msat: params.maybe("push_msat", Params::number)?.unwrap_or(0),
            announce: params.maybe("announce", Params::bool)?.unwrap_or(false),
            address: params.maybe("address", Params::loopback)?,
            deadline: deadline(params, 20_000)?,
        })
    }

    /// What is left of the time; never less than a second, so that the node is asked.
    pub fn left(&self) -> Duration {
        self.deadline
            .saturating_duration_since(Instant::now())
            .max(Duration::from_secs(1))
    }
}

/// The message that `message.sign` and `message.verify` are about, for a `node` that signs
/// `lightning-signed-message` alone.
///
/// # Errors
/// `invalid` where it is missing or no hex; `unsupported` for another algorithm.
pub fn signed_message(params: Params<'_>, node: &str) -> Result<Vec<u8>, Fail> {
    let bytes = params.hex("message")?;
    match params.maybe("algorithm", Params::str)? {
        None | Some("lightning-signed-message") => Ok(bytes),
        Some(other) => Err(Fail::Unsupported(format!(
            "{node} signs lightning-signed-message, not {other}"
        ))),
    }
}

/// Random bytes of the system's.
///
/// # Errors
/// `internal` where it has none.
pub fn draw<const N: usize>() -> Result<[u8; N], OpError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|e| OpError::internal(format!("no random bytes: {e}")))?;
    Ok(bytes)
}

/// A label that nothing else of a node has.
///
/// # Errors
/// As [`draw`].
pub fn label() -> Result<String, OpError> {
    Ok(format!("lnconform-{}", hex(draw::<16>()?)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::KEY;
    use lnconform_protocol::ErrorKind;
    use serde_json::{Value, json};

    #[test]
    fn a_channel_is_read_with_its_defaults_and_opened_to_this_machine_only() {
        let params = json!({"node_id": KEY, "capacity_sat": "5"});
        let open = OpenChannel::read(Params::new(&params)).unwrap();
        assert_eq!(
            (&open.peer[..], open.capacity_sat, open.push_msat),
            (KEY, 5, 0)
        );
        assert!(!open.announce && open.address.is_none());
        for (name, value, kind) in [
            ("node_id", json!("02"), ErrorKind::Invalid),
            ("capacity_sat", json!("-1"), ErrorKind::Invalid),
            ("push_msat", json!(1.5), ErrorKind::Invalid),
            ("announce", json!("yes"), ErrorKind::Invalid),
            ("address", json!("nowhere"), ErrorKind::Invalid),
            ("address", json!("8.8.8.8:9735"), ErrorKind::Rejected),
            ("deadline_ms", json!("x"), ErrorKind::Invalid),
        ] {
            let mut params = params.clone();
            params[name] = value;
            let e = OpenChannel::read(Params::new(&params)).unwrap_err();
            assert_eq!(e.kind, kind, "{e:?}");
            assert!(e.message.contains(name), "{e:?}");
        }
        let params = json!({"node_id": KEY, "capacity_sat": "5", "deadline_ms": 0});
        let open = OpenChannel::read(Params::new(&params)).unwrap();
        assert_eq!(open.left(), Duration::from_secs(1));
    }

    #[test]
    fn what_a_node_cannot_follow_is_named_and_false_asks_for_nothing() {
        let refused = |params: Value| match lacks(
            Params::new(&params),
            "node",
            &["amp", "via"],
            "it has none",
        ) {
            Err(Fail::Unsupported(why)) => why,
            other => panic!("{other:?}"),
        };
        assert_eq!(
            refused(json!({"via": []})),
            "node has nothing for param via: it has none"
        );
        assert!(refused(json!({"amp": true})).contains("amp"));
        let none = json!({"amp": false, "other": 1});
        lacks(Params::new(&none), "node", &["amp", "via"], "").unwrap();
    }

    #[test]
    fn one_algorithm_of_signatures_is_known() {
        let read = |params: Value| signed_message(Params::new(&params), "node");
        assert_eq!(read(json!({"message": "6869"})).unwrap(), b"hi");
        let named = json!({"message": "6869", "algorithm": "lightning-signed-message"});
        assert_eq!(read(named).unwrap(), b"hi");
        let other = read(json!({"message": "6869", "algorithm": "bip340"}));
        assert!(matches!(other, Err(Fail::Unsupported(why)) if why.contains("bip340")));
        assert!(matches!(read(json!({})), Err(Fail::Error(e)) if e.kind == ErrorKind::Invalid));
    }

    #[test]
    fn labels_differ() {
        let (one, other) = (label().unwrap(), label().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.len(), "lnconform-".len() + 32);
    }
}
