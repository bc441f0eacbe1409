//! Receipts: what a recipient signs, in either algorithm.

use super::{Hash, padded, tagged};
use crate::bolt12::merkle;
use crate::keys::{Point, SECP, SecretKey, sha256};
use crate::rules::{self, Rules, Violation};
use bitcoin::secp256k1::Message as Digest;
use bitcoin::secp256k1::ecdsa::{RecoverableSignature, RecoveryId};
use std::fmt;
use zeroize::Zeroizing;

/// BIP 340 over a tagged hash.
pub const ALGORITHM_BIP340: u8 = 0;
/// What Lightning nodes offer as signing a message.
pub const ALGORITHM_SIGNED_MESSAGE: u8 = 1;
/// Tag of the digest of algorithm 0.
pub const RECEIPT_TAG: &str = "ln-ksp/0/receipt";

/// What Lightning nodes put before a message that they sign.
const NODE_PREFIX: &[u8] = b"Lightning Signed Message:";
/// Bytes before the signature.
const HEAD: usize = 50;

/// Half the order of the group, rounded down: the highest `s` of the lower kind.
const HALF_ORDER: [u8; 32] = [
    0x7f, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff,
    0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20, 0xa0,
];

fn signature_length(algorithm: u8) -> usize {
    match algorithm {
        ALGORITHM_SIGNED_MESSAGE => 65,
        _ => 64,
    }
}

fn known(algorithm: u8) -> bool {
    matches!(algorithm, ALGORITHM_BIP340 | ALGORITHM_SIGNED_MESSAGE)
}

/// What a receipt states.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Statement {
    /// Hash of the payment.
    pub payment_hash: Hash,
    /// What the recipient received, in msat.
    pub received_msat: u64,
    /// When it settled, in seconds since 1970, by its own clock.
    pub settled_time: u64,
}

/// What has to be signed for a receipt. It begins with the commitment, so it is a secret as that is.
#[derive(Clone, PartialEq, Eq)]
pub struct Message {
    /// Commitment and statement, 80 bytes.
    pub bytes: Zeroizing<[u8; 80]>,
    /// With algorithm 1: the text that a node's interface is given.
    pub text: Option<Zeroizing<String>>,
    /// The digest under the signature.
    pub digest: Hash,
}

impl fmt::Debug for Message {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Message")
            .field("digest", &self.digest)
            .finish_non_exhaustive()
    }
}

impl Statement {
    /// What `algorithm` signs for this statement under `commitment`. With the rule off, an unknown
    /// algorithm is 0.
    ///
    /// # Errors
    /// Keysend proof, receipt: the algorithm is 0 or 1.
    pub fn message(
        &self,
        rules: &Rules,
        algorithm: u8,
        commitment: &Hash,
    ) -> Result<Message, Violation> {
        rules.check(rules::KSP_WRITER_ALGORITHM, known(algorithm), || {
            format!("a receipt is signed with algorithm 0 or 1, not {algorithm}")
        })?;
        Ok(self.message_unchecked(rules, algorithm, commitment))
    }

    fn message_unchecked(&self, rules: &Rules, algorithm: u8, commitment: &Hash) -> Message {
        let wrong = |id, how| rules.mistaken(id, how);
        let mut bytes = Zeroizing::new([0; 80]);
        bytes[..32].copy_from_slice(commitment);
        bytes[32..64].copy_from_slice(&self.payment_hash);
        let mut amount = self.received_msat.to_be_bytes();
        if wrong(rules::KSP_DERIVED_RECEIPT_MESSAGE, "amount-little-endian") {
            amount.reverse();
        }
        let time = self.settled_time.to_be_bytes();
        let (first, second) = match wrong(rules::KSP_DERIVED_RECEIPT_MESSAGE, "time-before-amount")
        {
            true => (time, amount),
            false => (amount, time),
        };
        bytes[64..72].copy_from_slice(&first);
        bytes[72..].copy_from_slice(&second);
        if algorithm == ALGORITHM_SIGNED_MESSAGE {
            // Room for all of it, so that no outgrown copy stays behind.
            let mut text = Zeroizing::new(String::with_capacity(RECEIPT_TAG.len() + 161));
            text.push_str(RECEIPT_TAG);
            text.push(':');
            for byte in bytes.iter() {
                text.extend(
                    [byte >> 4, byte & 15].map(|n| char::from(b"0123456789abcdef"[usize::from(n)])),
                );
            }
            if wrong(rules::KSP_DERIVED_RECEIPT_SIGNED_MESSAGE, "upper-case") {
                text.make_ascii_uppercase();
            }
            let once = sha256(&[NODE_PREFIX, text.as_bytes()]);
            let digest = match wrong(rules::KSP_DERIVED_RECEIPT_SIGNED_MESSAGE, "hashed-once") {
                true => once,
                false => sha256(&[&once]),
            };
            return Message {
                bytes,
                text: Some(text),
                digest,
            };
        }
        Message {
            digest: match wrong(rules::KSP_DERIVED_RECEIPT_BIP340, "untagged") {
                true => sha256(&[&*bytes]),
                false => tagged(RECEIPT_TAG.as_bytes(), &[&*bytes]),
            },
            bytes,
            text: None,
        }
    }

    /// Signs the statement. `aux` is BIP 340's auxiliary randomness, zeros by default; algorithm 1
    /// takes none. Answers the digest as well.
    ///
    /// # Errors
    /// As [`Statement::message`].
    pub fn sign(
        &self,
        rules: &Rules,
        algorithm: u8,
        commitment: &Hash,
        secret: &SecretKey,
        aux: Option<&[u8; 32]>,
    ) -> Result<(Receipt, Hash), Violation> {
        let digest = self.message(rules, algorithm, commitment)?.digest;
        let signature = if algorithm == ALGORITHM_SIGNED_MESSAGE {
            let signed = SECP.sign_ecdsa_recoverable(&Digest::from_digest(digest), secret);
            let (id, compact) = signed.serialize_compact();
            // The recovery id is 0 to 3.
            let header = 31 + id.to_i32().to_be_bytes()[3];
            [&[header][..], &compact].concat()
        } else {
            merkle::sign(&digest, secret, aux).to_vec()
        };
        let receipt = Receipt {
            version: 0,
            algorithm,
            statement: *self,
            signature,
        };
        Ok((receipt, digest))
    }
}

/// `ksp_receipt`: a statement that the recipient signed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Receipt {
    /// 0, unless the rule on it is off.
    pub version: u8,
    /// 0 or 1, unless the rule on it is off; every other number is then read as 0.
    pub algorithm: u8,
    /// What is stated.
    pub statement: Statement,
    /// 64 bytes of BIP 340, or 65 bytes: header, `r`, `s`.
    pub signature: Vec<u8>,
}

impl Receipt {
    /// Reads a receipt. With the rule on the length off, missing bytes count as zero and surplus
    /// bytes are dropped.
    ///
    /// # Errors
    /// Keysend proof, records: version, algorithm, length, header byte, lower `s`.
    pub fn decode(rules: &Rules, bytes: &[u8]) -> Result<Self, Violation> {
        let [version, algorithm] = padded(bytes);
        // What is too short to have a version or an algorithm fails by its length.
        rules.check(rules::KSP_RECEIPT_VERSION, version == 0, || {
            format!("the receipt has version {version}, not 0")
        })?;
        rules.check(rules::KSP_RECEIPT_ALGORITHM, known(algorithm), || {
            format!("the receipt has algorithm {algorithm}, not 0 or 1")
        })?;
        let length = HEAD + signature_length(algorithm);
        rules.check(rules::KSP_RECEIPT_LENGTH, bytes.len() == length, || {
            format!(
                "the receipt has {} bytes, not the {length} of algorithm {algorithm}",
                bytes.len()
            )
        })?;
        let bytes = &padded::<115>(bytes)[..length];
        let receipt = Self {
            version,
            algorithm,
            statement: Statement {
                payment_hash: padded(&bytes[2..]),
                received_msat: u64::from_be_bytes(padded(&bytes[34..])),
                settled_time: u64::from_be_bytes(padded(&bytes[42..])),
            },
            signature: bytes[HEAD..].to_vec(),
        };
        if let Some((header, low)) = receipt.form() {
            rules.check(
                rules::KSP_RECEIPT_HEADER,
                (31..=34).contains(&header),
                || format!("the signature's header byte is {header}, not 31 to 34"),
            )?;
            rules.check(rules::KSP_RECEIPT_LOW_S, low, || {
                "the signature's s is the higher of the two possible".into()
            })?;
        }
        Ok(receipt)
    }

    /// Puts a receipt together from a signature that a node made. With the rules off anything of
    /// the right length will do; surplus bytes are dropped.
    ///
    /// # Errors
    /// Keysend proof, receipt: the algorithm, and header byte and lower `s` of algorithm 1. Keysend
    /// proof, records: the length.
    pub fn assemble(
        rules: &Rules,
        algorithm: u8,
        statement: Statement,
        signature: &[u8],
    ) -> Result<Self, Violation> {
        rules.check(rules::KSP_WRITER_ALGORITHM, known(algorithm), || {
            format!("a receipt is written with algorithm 0 or 1, not {algorithm}")
        })?;
        let length = signature_length(algorithm);
        rules.check(rules::KSP_RECEIPT_LENGTH, signature.len() == length, || {
            format!(
                "the signature has {} bytes, not the {length} of algorithm {algorithm}",
                signature.len()
            )
        })?;
        let receipt = Self {
            version: 0,
            algorithm,
            statement,
            signature: padded::<65>(signature)[..length].to_vec(),
        };
        if let Some((header, low)) = receipt.form() {
            let right = (31..=34).contains(&header) && low;
            rules.check(rules::KSP_WRITER_SIGNED_MESSAGE, right, || {
                "the signed message needs a header byte of 31 to 34 and the lower s".into()
            })?;
        }
        Ok(receipt)
    }

    /// Header byte of a signed message, and whether its `s` is the lower one.
    fn form(&self) -> Option<(u8, bool)> {
        match (self.algorithm, self.signature.as_slice()) {
            (ALGORITHM_SIGNED_MESSAGE, [header, rest @ ..]) => {
                let s: [u8; 32] = padded(rest.get(32..).unwrap_or_default());
                Some((*header, s <= HALF_ORDER))
            }
            _ => None,
        }
    }

    /// The receipt's bytes.
    pub fn encode(&self) -> Vec<u8> {
        let mut bytes = vec![self.version, self.algorithm];
        bytes.extend_from_slice(&self.statement.payment_hash);
        bytes.extend_from_slice(&self.statement.received_msat.to_be_bytes());
        bytes.extend_from_slice(&self.statement.settled_time.to_be_bytes());
        bytes.extend_from_slice(&self.signature);
        bytes
    }

    /// Whether `recipient_id` signed the statement under `commitment`.
    ///
    /// Algorithm 0 has only the x coordinate of the id; algorithm 1 recovers the whole key.
    pub fn is_signed_by(&self, rules: &Rules, recipient_id: &Point, commitment: &Hash) -> bool {
        let digest = self
            .statement
            .message_unchecked(rules, self.algorithm, commitment)
            .digest;
        match (self.algorithm, self.signature.as_slice()) {
            (ALGORITHM_SIGNED_MESSAGE, [header, compact @ ..]) => {
                recover(*header, compact, digest).is_some_and(|key| key == *recipient_id)
            }
            (ALGORITHM_SIGNED_MESSAGE, []) => false,
            (_, signature) => <&[u8; 64]>::try_from(signature)
                .is_ok_and(|s| merkle::verify(&digest, &padded(&recipient_id[1..]), s)),
        }
    }

    /// The rule that demands a signature of this receipt's algorithm.
    fn signature_rule(&self) -> &'static str {
        match self.algorithm {
            ALGORITHM_SIGNED_MESSAGE => rules::KSP_SIGNATURE_MESSAGE,
            _ => rules::KSP_SIGNATURE_BIP340,
        }
    }

    /// Checks the signature, as a verifier does.
    ///
    /// # Errors
    /// Keysend proof, verifier: the signature rule of the algorithm.
    pub fn check_signature(
        &self,
        rules: &Rules,
        recipient_id: &Point,
        commitment: &Hash,
    ) -> Result<(), Violation> {
        rules.check(
            self.signature_rule(),
            self.is_signed_by(rules, recipient_id, commitment),
            || {
                format!(
                    "the receipt was not signed by the recipient id for this request \
                     (algorithm {})",
                    self.algorithm
                )
            },
        )
    }
}

fn recover(header: u8, compact: &[u8], digest: Hash) -> Option<Point> {
    // 27 to 30 say the same for a key that is written out in full.
    let id = RecoveryId::from_i32(i32::from(header.wrapping_sub(27) & 3)).ok()?;
    let signature = RecoverableSignature::from_compact(compact, id).ok()?;
    let key = SECP
        .recover_ecdsa(&Digest::from_digest(digest), &signature)
        .ok()?;
    Some(key.serialize())
}

const ZBASE32: &[u8; 32] = b"ybndrfg8ejkmcpqxot1uwisza345h769";

/// Bytes in zbase32, as nodes print signed messages.
pub fn zbase32_encode(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len().div_ceil(5) * 8);
    let (mut bits, mut have) = (0_u32, 0);
    for byte in bytes {
        bits = bits << 8 | u32::from(*byte);
        have += 8;
        while have >= 5 {
            have -= 5;
            text.push(char::from(ZBASE32[(bits >> have & 31) as usize]));
        }
        bits &= (1 << have) - 1;
    }
    if have > 0 {
        text.push(char::from(ZBASE32[(bits << (5 - have) & 31) as usize]));
    }
    text
}

/// Bytes from zbase32; `None` for another character, for 5 bits or more left over, and for bits
/// left over that are not zero.
pub fn zbase32_decode(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len() * 5 / 8);
    let (mut bits, mut have) = (0_u32, 0);
    for c in text.bytes() {
        let value = ZBASE32.iter().position(|&known| known == c)?;
        bits = bits << 5 | u32::try_from(value).ok()?;
        have += 5;
        if have >= 8 {
            have -= 8;
            bytes.push((bits >> have & 0xff) as u8);
            bits &= (1 << have) - 1;
        }
    }
    (have < 5 && bits == 0).then_some(bytes)
}
