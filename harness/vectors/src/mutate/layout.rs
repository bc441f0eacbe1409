//! Records of fixed layout, such as those of a keysend proof, in hex.

use super::{FieldCodec, bytes_of};
use lnconform_protocol::params::{hex, hex_bytes};
use serde_json::{Map, Value, json};

/// How a field of a layout is shown.
#[derive(Clone, Copy)]
enum Shown {
    /// A number of one byte.
    Number,
    /// A number of four bytes.
    Word,
    /// Eight bytes as a decimal string.
    Decimal,
    /// So many bytes.
    Bytes(usize),
    /// All bytes that are left.
    Rest,
}

use Shown::{Bytes, Decimal, Number, Rest, Word};

/// A record whose fields have fixed places.
pub struct Layout {
    name: &'static str,
    lengths: &'static [usize],
    fields: &'static [(&'static str, Shown)],
}

/// The request of a keysend proof, and of a tunnelled AMP payment, which has the same layout.
pub const REQUEST: Layout = Layout {
    name: "proof request",
    lengths: &[114],
    fields: &[
        ("version", Number),
        ("flags", Number),
        ("nonce", Bytes(32)),
        ("payment_time", Decimal),
        ("amount_msat", Decimal),
        ("payer_key", Bytes(32)),
        ("terms_hash", Bytes(32)),
    ],
};

/// The receipt of a keysend proof, in either algorithm.
pub const RECEIPT: Layout = Layout {
    name: "proof receipt",
    lengths: &[114, 115],
    fields: &[
        ("version", Number),
        ("algorithm", Number),
        ("payment_hash", Bytes(32)),
        ("received_msat", Decimal),
        ("settled_time", Decimal),
        ("signature", Rest),
    ],
};

/// The receipt of a tunnelled AMP payment.
pub const AMP_RECEIPT: Layout = Layout {
    name: "AMP receipt",
    lengths: &[177],
    fields: &[
        ("version", Number),
        ("set_id", Bytes(32)),
        ("root_hash", Bytes(32)),
        ("set_digest", Bytes(32)),
        ("received_msat", Decimal),
        ("settled_time", Decimal),
        ("signature", Rest),
    ],
};

/// The assignment of a pool's entry to a payment.
pub const ASSIGNMENT: Layout = Layout {
    name: "assignment",
    lengths: &[101],
    fields: &[
        ("version", Number),
        ("root", Bytes(32)),
        ("index", Word),
        ("signature", Rest),
    ],
};

/// The header of a pool of payment hashes.
pub const POOL_HEADER: Layout = Layout {
    name: "pool header",
    lengths: &[175],
    fields: &[
        ("version", Number),
        ("chain_hash", Bytes(32)),
        ("recipient_id", Bytes(33)),
        ("payment_addr", Bytes(32)),
        ("lsp_id", Bytes(33)),
        ("expiry", Decimal),
        ("count", Word),
        ("root", Bytes(32)),
    ],
};

impl FieldCodec for Layout {
    fn name(&self) -> &'static str {
        self.name
    }

    fn recognises(&self, text: &str) -> bool {
        hex_bytes(text).is_some_and(|bytes| self.lengths.contains(&bytes.len()))
    }

    // A TLV stream may have that length too; what it is asked for tells them apart.
    fn reaches(&self, text: &str, head: &str) -> bool {
        self.fields.iter().any(|(name, _)| *name == head) && self.recognises(text)
    }

    fn decode(&self, text: &str) -> Result<Value, String> {
        let bytes = bytes_of(text)?;
        let mut left = bytes.as_slice();
        let mut fields = Map::new();
        for (name, shown) in self.fields {
            let length = match shown {
                Number => 1,
                Word => 4,
                Decimal => 8,
                Bytes(n) => *n,
                Rest => left.len(),
            };
            let (field, rest) = left
                .split_at_checked(length)
                .ok_or_else(|| format!("it ends before `{name}`"))?;
            left = rest;
            let number = || field.iter().fold(0, |n, b| n << 8 | u64::from(*b));
            let value = match shown {
                Number | Word => json!(number()),
                Decimal => json!(number().to_string()),
                Bytes(_) | Rest => json!(hex(field)),
            };
            fields.insert((*name).to_owned(), value);
        }
        Ok(Value::Object(fields))
    }

    fn encode(&self, value: &Value) -> Result<String, String> {
        let mut bytes = Vec::new();
        for (name, shown) in self.fields {
            // A field that was dropped takes its bytes along.
            let Some(value) = value.get(name) else {
                continue;
            };
            let unfit = || format!("`{name}` cannot be written as it is");
            match shown {
                Number => bytes.push(
                    value
                        .as_u64()
                        .and_then(|n| u8::try_from(n).ok())
                        .ok_or_else(unfit)?,
                ),
                Word => bytes.extend(
                    value
                        .as_u64()
                        .and_then(|n| u32::try_from(n).ok())
                        .ok_or_else(unfit)?
                        .to_be_bytes(),
                ),
                Decimal => bytes.extend(
                    value
                        .as_str()
                        .and_then(|s| s.parse::<u64>().ok())
                        .ok_or_else(unfit)?
                        .to_be_bytes(),
                ),
                Bytes(_) | Rest => {
                    bytes.extend(value.as_str().and_then(hex_bytes).ok_or_else(unfit)?);
                }
            }
        }
        Ok(hex(bytes))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::mutate::{Change, Codecs, apply};

    fn mutate(field: &str, bytes: &[u8], inner: &str, change: Value) -> Result<String, String> {
        let mut input = json!({field: hex(bytes)});
        let change = Change::parse(&change).map_err(|(m, _)| m)?;
        apply(&mut input, &[field, inner], &change, &Codecs::standard())?;
        Ok(input[field].as_str().unwrap_or_default().to_owned())
    }

    #[test]
    fn each_field_is_where_the_layout_has_it() {
        let zero = [0; 114];
        let at = |place: usize, byte: u8| {
            let mut bytes = zero;
            bytes[place] = byte;
            Ok(hex(bytes))
        };
        let request = |inner, change| mutate("request", &zero, inner, change);
        assert_eq!(request("version", json!("+1")), at(0, 1));
        assert_eq!(request("flags", json!("+128")), at(1, 128));
        assert_eq!(request("nonce", json!({"flip": 0})), at(33, 1));
        assert_eq!(request("payment_time", json!("+1")), at(41, 1));
        assert_eq!(request("amount_msat", json!("+1")), at(49, 1));
        assert_eq!(request("payer_key", json!({"flip": 255})), at(50, 128));
        assert_eq!(request("terms_hash", json!("+1")), at(113, 1));
        let receipt = |inner, change| mutate("receipt", &zero, inner, change);
        assert_eq!(receipt("algorithm", json!(2)), at(1, 2));
        assert_eq!(receipt("payment_hash", json!("+1")), at(33, 1));
        assert_eq!(receipt("received_msat", json!("+1")), at(41, 1));
        assert_eq!(receipt("settled_time", json!("+1")), at(49, 1));
        assert_eq!(receipt("signature", json!({"flip": 511})), at(50, 128));
        assert_eq!(
            receipt("signature", json!({"truncate": 64})),
            Ok(hex(&zero[..50]))
        );
        assert_eq!(
            receipt("settled_time", json!({"drop": true})),
            Ok(hex(&zero[..106]))
        );
        assert!(mutate("receipt", &[0; 115], "signature", json!({"flip": 519})).is_ok());
    }

    #[test]
    fn those_of_a_tunnelled_payment_too() {
        let changed = |length, inner, change, place: usize, byte: u8| {
            let mut bytes = vec![0; length];
            let got = mutate("bytes", &bytes, inner, change);
            bytes[place] = byte;
            assert_eq!(got, Ok(hex(&bytes)), "{inner} of {length} bytes");
        };
        changed(177, "set_id", json!({"flip": 0}), 32, 1);
        changed(177, "root_hash", json!({"flip": 0}), 64, 1);
        changed(177, "set_digest", json!({"flip": 0}), 96, 1);
        changed(177, "received_msat", json!("+1"), 104, 1);
        changed(177, "settled_time", json!("+1"), 112, 1);
        changed(177, "signature", json!({"flip": 511}), 113, 128);
        changed(101, "root", json!({"flip": 0}), 32, 1);
        changed(101, "index", json!("+16777216"), 33, 1);
        changed(101, "signature", json!({"flip": 0}), 100, 1);
        changed(175, "chain_hash", json!({"flip": 0}), 32, 1);
        changed(175, "recipient_id", json!({"flip": 0}), 65, 1);
        changed(175, "payment_addr", json!({"flip": 0}), 97, 1);
        changed(175, "lsp_id", json!({"flip": 0}), 130, 1);
        changed(175, "expiry", json!("+1"), 138, 1);
        changed(175, "count", json!("+1"), 142, 1);
        changed(175, "root", json!({"flip": 0}), 174, 1);
        assert!(mutate("bytes", &[0; 101], "index", json!(4_294_967_296_u64)).is_err());
    }

    #[test]
    fn what_has_no_such_field_is_left_to_the_other_codecs() {
        // One record of type 1 with 112 bytes: 114 bytes in all.
        let mut stream = vec![1, 112];
        stream.resize(114, 0);
        let changed = mutate("request", &stream, "1", json!({"flip": 0})).unwrap();
        assert!(changed.starts_with("0170") && changed.ends_with("01"));
        assert!(mutate("request", &[0; 113], "nonce", json!({"flip": 0})).is_err());
        assert!(mutate("request", &[0; 114], "version", json!(256)).is_err());
    }
}
