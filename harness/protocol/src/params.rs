//! Readers for the values of the protocol: hex, decimal strings, records.
//!
//! A missing or ill-typed param is an [`OpError`] of kind `invalid` that names it.

use crate::OpError;
use serde_json::{Map, Value, json};
use std::net::SocketAddr;

/// Params of one request, or one object inside them.
#[derive(Clone, Copy, Debug)]
pub struct Params<'a>(&'a Value);

type Result<T> = std::result::Result<T, OpError>;

fn ill_typed(name: &str, what: &str, got: &Value) -> OpError {
    let mut shown = got.to_string();
    if shown.len() > 60 {
        shown.truncate(
            (0..=60)
                .rev()
                .find(|&i| shown.is_char_boundary(i))
                .unwrap_or(0),
        );
        shown.push('…');
    }
    OpError::invalid(format!("param {name} is {shown}, not {what}"))
}

impl<'a> Params<'a> {
    /// Wraps the `params` of a request; anything but an object has no params.
    pub fn new(value: &'a Value) -> Self {
        Self(value)
    }

    /// The value under `name`; `null` counts as absent.
    pub fn get(self, name: &str) -> Option<&'a Value> {
        self.0.get(name).filter(|v| !v.is_null())
    }

    /// The value under `name`.
    ///
    /// # Errors
    /// When it is absent.
    pub fn need(self, name: &str) -> Result<&'a Value> {
        self.get(name)
            .ok_or_else(|| OpError::invalid(format!("param {name} is missing")))
    }

    /// A string.
    ///
    /// # Errors
    /// When it is absent or no string.
    pub fn str(self, name: &str) -> Result<&'a str> {
        let v = self.need(name)?;
        v.as_str().ok_or_else(|| ill_typed(name, "a string", v))
    }

    /// An address of this machine, `ADDRESS:PORT`.
    ///
    /// # Errors
    /// `invalid` when it is absent or no such text, `rejected` when it is another machine's.
    pub fn loopback(self, name: &str) -> Result<SocketAddr> {
        let text = self.str(name)?;
        let address: SocketAddr = text
            .parse()
            .map_err(|_| OpError::invalid(format!("param {name} is {text}, not address:port")))?;
        if address.ip().is_loopback() {
            Ok(address)
        } else {
            Err(OpError::rejected(format!("{name} {text} is not loopback")))
        }
    }

    /// Bytes in hex (either case is read).
    ///
    /// # Errors
    /// When it is absent or no hex string.
    pub fn hex(self, name: &str) -> Result<Vec<u8>> {
        let text = self.str(name)?;
        hex_bytes(text).ok_or_else(|| ill_typed(name, "hex", &self.0[name]))
    }

    /// Exactly `N` bytes in hex.
    ///
    /// # Errors
    /// When it is absent, no hex string, or of another length.
    pub fn array<const N: usize>(self, name: &str) -> Result<[u8; N]> {
        let bytes = self.hex(name)?;
        let got = bytes.len();
        bytes
            .try_into()
            .map_err(|_| OpError::invalid(format!("param {name} has {got} bytes, not {N}")))
    }

    /// A 64-bit number: a decimal string, whatever its value.
    ///
    /// # Errors
    /// When it is absent or not a decimal string below 2^64.
    pub fn u64(self, name: &str) -> Result<u64> {
        let v = self.need(name)?;
        decimal(v).ok_or_else(|| ill_typed(name, "a decimal string below 2^64", v))
    }

    /// A number of up to 32 bits: a JSON number.
    ///
    /// # Errors
    /// When it is absent or not a number below 2^32.
    pub fn u32(self, name: &str) -> Result<u32> {
        let v = self.need(name)?;
        v.as_u64()
            .and_then(|n| u32::try_from(n).ok())
            .ok_or_else(|| ill_typed(name, "a number below 2^32", v))
    }

    /// A number as a decimal string or, where it is small, as a JSON number.
    ///
    /// # Errors
    /// When it is absent or neither.
    pub fn number(self, name: &str) -> Result<u64> {
        match self.need(name)?.as_u64() {
            Some(n) => Ok(n),
            None => self.u64(name),
        }
    }

    /// A boolean.
    ///
    /// # Errors
    /// When it is absent or no boolean.
    pub fn bool(self, name: &str) -> Result<bool> {
        let v = self.need(name)?;
        v.as_bool()
            .ok_or_else(|| ill_typed(name, "true or false", v))
    }

    /// A list.
    ///
    /// # Errors
    /// When it is absent or no list.
    pub fn list(self, name: &str) -> Result<&'a [Value]> {
        let v = self.need(name)?;
        v.as_array()
            .map(Vec::as_slice)
            .ok_or_else(|| ill_typed(name, "a list", v))
    }

    /// An optional value: `params.maybe("now", Params::u64)`.
    ///
    /// # Errors
    /// When it is there and `read` refuses it.
    pub fn maybe<T>(self, name: &str, read: impl Fn(Self, &str) -> Result<T>) -> Result<Option<T>> {
        self.get(name).map(|_| read(self, name)).transpose()
    }

    /// Records, `[{"type": "8", "value": "03e8"}]`, in the order given.
    ///
    /// # Errors
    /// When it is absent or not a list of records.
    pub fn records(self, name: &str) -> Result<Vec<(u64, Vec<u8>)>> {
        self.list(name)?
            .iter()
            .map(|r| {
                let r = Params(r);
                Ok((r.u64("type")?, r.hex("value")?))
            })
            .collect()
    }
}

fn decimal(value: &Value) -> Option<u64> {
    let text = value.as_str()?;
    // `parse` alone would take a leading plus.
    text.bytes()
        .all(|b| b.is_ascii_digit())
        .then(|| text.parse().ok())
        .flatten()
}

fn nibble(b: u8) -> Option<u8> {
    char::from(b)
        .to_digit(16)
        .and_then(|d| u8::try_from(d).ok())
}

/// Bytes of a hex string; `None` when it is not one.
pub fn hex_bytes(text: &str) -> Option<Vec<u8>> {
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    if !rest.is_empty() {
        return None;
    }
    pairs
        .iter()
        .map(|[h, l]| Some(nibble(*h)? << 4 | nibble(*l)?))
        .collect()
}

/// Lowercase hex.
pub fn hex(bytes: impl AsRef<[u8]>) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let bytes = bytes.as_ref();
    let mut text = String::with_capacity(bytes.len() * 2);
    for b in bytes {
        text.push(char::from(DIGITS[usize::from(b >> 4)]));
        text.push(char::from(DIGITS[usize::from(b & 15)]));
    }
    text
}

/// Records in the protocol's form, in the order given.
pub fn records<'a>(records: impl IntoIterator<Item = (u64, &'a [u8])>) -> Value {
    records
        .into_iter()
        .map(|(kind, value)| json!({"type": kind.to_string(), "value": hex(value)}))
        .collect()
}

/// Builds a result object and leaves absent fields out.
#[derive(Debug, Default)]
pub struct ResultObject(Map<String, Value>);

impl ResultObject {
    /// An empty object.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Value>) -> Self {
        self.0.insert(name.into(), value.into());
        self
    }

    /// Adds a field if there is a value.
    #[must_use]
    pub fn maybe(self, name: &str, value: Option<impl Into<Value>>) -> Self {
        match value {
            Some(v) => self.with(name, v),
            None => self,
        }
    }

    /// The finished object.
    pub fn done(self) -> Value {
        Value::Object(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_read_as_the_protocol_writes_them() {
        let v = json!({"n": "18446744073709551615", "s": 4294967295u32, "h": "00ff", "null": null,
            "r": [{"type": "8", "value": "03e8"}]});
        let p = Params::new(&v);
        assert_eq!(p.u64("n").unwrap(), u64::MAX);
        assert_eq!(p.u32("s").unwrap(), u32::MAX);
        assert_eq!(p.array::<2>("h").unwrap(), [0, 255]);
        assert_eq!(p.records("r").unwrap(), vec![(8, vec![3, 0xe8])]);
        assert!(p.get("null").is_none());
        assert_eq!(hex([0, 255]), "00ff");
    }

    #[test]
    fn ill_typed_values_are_named() {
        let v = json!({"n": 5, "plus": "+5", "big": "18446744073709551616", "odd": "0", "x": "zz", "s": 4294967296u64});
        let p = Params::new(&v);
        for name in ["n", "plus", "big", "gone"] {
            assert!(p.u64(name).unwrap_err().message.contains(name));
        }
        for name in ["odd", "x"] {
            assert!(p.hex(name).unwrap_err().message.contains("hex"));
        }
        assert!(p.u32("s").is_err());
        assert!(p.array::<2>("big").is_err());
    }
}
