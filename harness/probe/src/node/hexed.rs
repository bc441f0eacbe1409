//! Bytes of the state file in hex.
//!
//! The file is written some ten times for each HTLC. As lists of numbers, which is what serde makes of
//! them, hashes and packets were nearly half of what the probe had to do.

use serde::de::{Error, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};
use std::fmt;
use std::marker::PhantomData;

/// Bytes that are written down as a string of hex digits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Hexed<T>(pub T);

impl<T: AsRef<[u8]>> Serialize for Hexed<T> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serialize(&self.0, serializer)
    }
}

impl<'de, T: TryFrom<Vec<u8>>> Deserialize<'de> for Hexed<T> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserialize(deserializer).map(Self)
    }
}

/// Writes a field, for `#[serde(with = …)]`.
///
/// # Errors
/// The serializer's.
pub fn serialize<T: AsRef<[u8]>, S: Serializer>(
    bytes: &T,
    serializer: S,
) -> Result<S::Ok, S::Error> {
    serializer.serialize_str(&lnconform_protocol::params::hex(bytes))
}

/// Reads a field, for `#[serde(with = …)]`.
///
/// # Errors
/// It is no hex, or of another length than the field.
pub fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<T, D::Error> {
    struct Digits<T>(PhantomData<T>);
    impl<T: TryFrom<Vec<u8>>> Visitor<'_> for Digits<T> {
        type Value = T;

        fn expecting(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
            out.write_str("a string of hex digits of the field's length")
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<T, E> {
            let bytes = lnconform_protocol::params::hex_bytes(text);
            let value = bytes.and_then(|bytes| T::try_from(bytes).ok());
            value.ok_or_else(|| E::invalid_value(serde::de::Unexpected::Str(text), &self))
        }
    }
    deserializer.deserialize_str(Digits(PhantomData))
}

/// The same for a list of them.
pub mod list {
    use super::Hexed;
    use serde::{Deserialize, Deserializer, Serializer};

    /// Writes a field, for `#[serde(with = …)]`.
    ///
    /// # Errors
    /// The serializer's.
    pub fn serialize<T: AsRef<[u8]>, S: Serializer>(
        all: &[T],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(all.iter().map(Hexed))
    }

    /// Reads a field, for `#[serde(with = …)]`.
    ///
    /// # Errors
    /// One of them is no hex, or of another length.
    pub fn deserialize<'de, T: TryFrom<Vec<u8>>, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<T>, D::Error> {
        let all = Vec::<Hexed<T>>::deserialize(deserializer)?;
        Ok(all.into_iter().map(|one| one.0).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, PartialEq, Serialize, Deserialize)]
    struct Fields {
        #[serde(with = "super")]
        any: Vec<u8>,
        #[serde(with = "super::list")]
        keys: Vec<[u8; 2]>,
        one: Option<Hexed<[u8; 2]>>,
    }

    #[test]
    fn fields_are_strings_and_come_back() {
        let fields = Fields {
            any: vec![0, 255],
            keys: vec![[1, 2], [3, 4]],
            one: Some(Hexed([5, 6])),
        };
        let text = serde_json::to_string(&fields).unwrap();
        assert_eq!(
            text,
            r#"{"any":"00ff","keys":["0102","0304"],"one":"0506"}"#
        );
        assert_eq!(serde_json::from_str::<Fields>(&text).unwrap(), fields);
        for wrong in [r#""01""#, r#""010203""#, r#""01gg""#, "[1,2]"] {
            let text = format!(r#"{{"any":"","keys":[{wrong}],"one":null}}"#);
            assert!(serde_json::from_str::<Fields>(&text).is_err(), "{wrong}");
        }
    }
}
