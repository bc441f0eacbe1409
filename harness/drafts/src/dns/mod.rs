//! bLIP 32: DNSSEC proofs of TXT records, asked for and given in onion messages.
//!
//! [`query`] and [`answer`] are the two messages, [`chain`] reads the records of a proof (RFC 9102,
//! section 3.3), and [`proof`] checks it down from a trust anchor.

pub mod chain;
pub mod message;
pub mod proof;
mod signature;

use std::fmt;

/// A domain name: its labels in lower case, without the root.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Name(Vec<Vec<u8>>);

/// Most bytes of a name on the wire (RFC 1035, 2.3.4).
const LONGEST_NAME: usize = 255;
/// Most bytes of a label (RFC 1035, 2.3.4).
const LONGEST_LABEL: usize = 63;

impl Name {
    /// The root, `.`.
    pub fn root() -> Self {
        Self::default()
    }

    /// Reads a name as people write it, with or without the dot at its end. No escapes. `None` where
    /// a label is empty or too long, or the whole.
    pub fn parse(text: &[u8]) -> Option<Self> {
        let text = text.strip_suffix(b".").unwrap_or(text);
        if text.is_empty() {
            return Some(Self::root());
        }
        let labels = text
            .split(|byte| *byte == b'.')
            .map(<[u8]>::to_ascii_lowercase);
        Self(labels.collect()).checked()
    }

    fn checked(self) -> Option<Self> {
        let fits = |label: &Vec<u8>| !label.is_empty() && label.len() <= LONGEST_LABEL;
        let length = self.0.iter().map(|label| label.len() + 1).sum::<usize>() + 1;
        (self.0.iter().all(fits) && length <= LONGEST_NAME).then_some(self)
    }

    /// Reads a name from the wire, uncompressed, and answers what follows it.
    pub fn read(mut bytes: &[u8]) -> Option<(Self, &[u8])> {
        let mut labels = Vec::new();
        loop {
            let (&length, rest) = bytes.split_first()?;
            if length == 0 {
                return Some((Self(labels).checked()?, rest));
            }
            // A pointer begins with two bits that no length has.
            let (label, rest) = rest.split_at_checked(usize::from(length))?;
            if label.len() > LONGEST_LABEL {
                return None;
            }
            labels.push(label.to_ascii_lowercase());
            bytes = rest;
        }
    }

    /// Its bytes on the wire, which are those that signatures are over (RFC 4034, 6.2).
    pub fn wire(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        for label in &self.0 {
            // At most 63, by construction.
            bytes.push(u8::try_from(label.len()).unwrap_or(u8::MAX));
            bytes.extend_from_slice(label);
        }
        bytes.push(0);
        bytes
    }

    /// How many labels it has; `*` at its front is none (RFC 4034, 3.1.3).
    pub fn labels(&self) -> usize {
        self.0.len() - usize::from(self.0.first().is_some_and(|label| label == b"*"))
    }

    /// Whether it is `zone` or lies below it.
    pub fn is_in(&self, zone: &Self) -> bool {
        self.0.ends_with(&zone.0)
    }

    /// The name with `from` at its end replaced by `to` (RFC 6672, 2.2); `None` where it does not
    /// lie below `from`, or becomes too long.
    pub fn moved(&self, from: &Self, to: &Self) -> Option<Self> {
        let front = self.0.strip_suffix(from.0.as_slice())?;
        let labels = [front, &to.0].concat();
        (!front.is_empty()).then_some(Self(labels))?.checked()
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for label in &self.0 {
            write!(f, "{}.", String::from_utf8_lossy(label))?;
        }
        if self.0.is_empty() {
            f.write_str(".")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests;
