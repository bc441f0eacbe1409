//! One table of the rules that the reference enforces, and the switchboard that enforces them.

use std::fmt;

/// A rule that rejected something.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{message} ({rule})")]
pub struct Violation {
    /// Id of the requirement, such as `bolt01/tlv/order`.
    pub rule: &'static str,
    /// What was wrong with the input, as a lower-case fragment.
    pub message: String,
}

impl Violation {
    /// Whether the bytes alone are fine and time, policy or state refused them.
    pub fn is_contextual(&self) -> bool {
        find(self.rule).is_some_and(|r| r.contextual)
    }
}

/// One entry of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Id of the requirement.
    pub id: &'static str,
    /// Whether the rule depends on time, policy or state, and not on the bytes alone.
    pub contextual: bool,
    /// Whether the rule is a comparison whose boundary [`Rules::shift`] can move.
    pub bounded: bool,
}

/// Which way a boundary is moved.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Shift {
    /// The first value that is against the rule passes.
    Lax,
    /// The last value that keeps the rule is refused.
    Strict,
}

macro_rules! table {
    ($($(#[$doc:meta])* $name:ident = $id:literal $(, $flag:ident)*;)*) => {
        $($(#[$doc])* pub const $name: &str = $id;)*

        /// Every rule that the reference can reject with, in the order of the documents.
        pub const ALL: &[Rule] = &[$(rule($id, &[$(Flag::$flag),*])),*];
    };
}

enum Flag {
    Contextual,
    Bounded,
}

const fn rule(id: &'static str, flags: &[Flag]) -> Rule {
    let mut rule = Rule {
        id,
        contextual: false,
        bounded: false,
    };
    let mut at = 0;
    while at < flags.len() {
        match flags[at] {
            Flag::Contextual => rule.contextual = true,
            Flag::Bounded => rule.bounded = true,
        }
        at += 1;
    }
    rule
}

table! {
    /// BOLT 1, appendix A: the bytes end before the value is complete.
    BIGSIZE_TRUNCATED = "bolt01/bigsize/truncated";
    /// BOLT 1, appendix A: the shortest form that holds the value is the only one.
    BIGSIZE_MINIMAL = "bolt01/bigsize/minimal";

    /// BOLT 1, TLV format: the stream ends inside a type or a length.
    TLV_TRUNCATED = "bolt01/tlv/truncated";
    /// BOLT 1, TLV, receiver: a type or length in a longer form than needed.
    TLV_MINIMAL = "bolt01/tlv/minimal";
    /// BOLT 1, TLV, receiver: types increase strictly.
    TLV_ORDER = "bolt01/tlv/order", Bounded;
    /// BOLT 1, TLV, receiver: a length beyond the bytes that remain.
    TLV_LENGTH = "bolt01/tlv/length", Bounded;
    /// BOLT 1, TLV, receiver: an even type that the reader does not know.
    TLV_UNKNOWN_EVEN = "bolt01/tlv/unknown-even";
    /// BOLT 1, TLV, receiver: a known type's value has the length of its encoding.
    TLV_VALUE_LENGTH = "bolt01/tlv/value-length";
    /// BOLT 1, TLV, receiver: variable-length fields in a known value are minimal.
    TLV_VALUE_MINIMAL = "bolt01/tlv/value-minimal";
    /// BOLT 1, TLV, sender: records in strictly increasing order of type.
    TLV_SENDER_ORDER = "bolt01/tlv/sender/order", Bounded;
    /// BOLT 1, fundamental types: a point is a compressed point of the curve.
    TYPES_POINT = "bolt01/types/point";
    /// BOLT 1, fundamental types: the first byte of `sciddir_or_pubkey` is 0 to 3.
    TYPES_SCIDDIR_OR_PUBKEY = "bolt01/types/sciddir-or-pubkey";
    /// BOLT 1, fundamental types: a `utf8` array is valid UTF-8; a reader may refuse another.
    TYPES_UTF8 = "bolt01/types/utf8";
    /// BOLT 1, fundamental types: an amount is at most 21 million bitcoin.
    TYPES_AMOUNT_BOUND = "bolt01/types/amount-bound", Bounded;

    /// BOLT 4, packet structure: version, key, payloads and HMAC add up to the packet.
    ONION_LENGTH = "bolt04/onion/length", Bounded;
    /// BOLT 4, packet construction: the payloads of all hops fit into the packet.
    ONION_FITS = "bolt04/onion/fits", Bounded;
    /// BOLT 4, onion decryption: the version is 0.
    ONION_VERSION = "bolt04/onion/version";
    /// BOLT 4, onion decryption: the ephemeral key is a point.
    ONION_PUBLIC_KEY = "bolt04/onion/public-key";
    /// BOLT 4, onion decryption: the HMAC is that of payloads and associated data.
    ONION_HMAC = "bolt04/onion/hmac";
    /// BOLT 4, onion decryption: the payload's length is a well-formed BigSize.
    ONION_PAYLOAD_LENGTH = "bolt04/onion/payload-length";
    /// BOLT 4, onion decryption: payload lengths 0 and 1 are reserved.
    ONION_PAYLOAD_LENGTH_RESERVED = "bolt04/onion/payload-length-reserved", Bounded;
    /// BOLT 4, onion decryption: the payload lies inside what was decrypted.
    ONION_PAYLOAD_REMAINING = "bolt04/onion/payload-remaining", Bounded;
    /// BOLT 4, onion decryption: so does the next HMAC.
    ONION_NEXT_HMAC_REMAINING = "bolt04/onion/next-hmac-remaining", Bounded;
    /// BOLT 4, onion decryption: one hop takes no more than the payloads' size.
    ONION_OVERRUN = "bolt04/onion/overrun", Bounded;
    /// BOLT 4, route blinding: the data for the recipient decrypts.
    BLINDING_DECRYPT = "bolt04/blinding/decrypt";
    /// BOLT 4, route blinding: the data for the recipient has no unknown even type.
    BLINDING_UNKNOWN_EVEN = "bolt04/blinding/unknown-even";

    /// BOLT 12, encoding: a prefix, then `1`.
    ENCODING_SEPARATOR = "bolt12/encoding/separator";
    /// BOLT 12, encoding: the data is in the bech32 alphabet.
    ENCODING_CHARSET = "bolt12/encoding/charset";
    /// BOLT 12, encoding: all lower case or all upper case.
    ENCODING_CASE = "bolt12/encoding/case";
    /// BOLT 12, encoding: `+` and the white space after it join two bech32 characters.
    ENCODING_PLUS = "bolt12/encoding/plus";
    /// BOLT 12, encoding (bech32 style, so BIP 173): at most 4 bits are left over.
    ENCODING_PADDING = "bolt12/encoding/padding", Bounded;
    /// BOLT 12, encoding (bech32 style, so BIP 173): the bits left over are zero.
    ENCODING_PADDING_ZERO = "bolt12/encoding/padding-zero";

    /// BOLT 12, offers: the prefix is `lno`.
    OFFER_PREFIX = "bolt12/offer/prefix";
    /// BOLT 12, offer reader: types lie in the two ranges of offers.
    OFFER_TYPE_RANGE = "bolt12/offer/reader/type-range", Bounded;
    /// BOLT 12, offer reader: no unknown even feature.
    OFFER_FEATURES_UNKNOWN_EVEN = "bolt12/offer/reader/features-unknown-even";
    /// BOLT 12, offer reader: without chains, bitcoin must be acceptable.
    OFFER_CHAIN_BITCOIN = "bolt12/offer/reader/chain-bitcoin", Contextual;
    /// BOLT 12, offer reader: one of the chains must be acceptable.
    OFFER_CHAINS = "bolt12/offer/reader/chains", Contextual;
    /// BOLT 12, offers, rationale: chains that are present but hold no entry are invalid.
    OFFER_CHAINS_EMPTY = "bolt12/offer/chains-empty", Bounded;
    /// BOLT 12, offer reader: an amount needs a description.
    OFFER_AMOUNT_WITHOUT_DESCRIPTION = "bolt12/offer/reader/amount-without-description";
    /// BOLT 12, offer reader: an amount is above zero.
    OFFER_AMOUNT_ZERO = "bolt12/offer/reader/amount-zero", Bounded;
    /// BOLT 12, offer reader: a currency needs an amount.
    OFFER_CURRENCY_WITHOUT_AMOUNT = "bolt12/offer/reader/currency-without-amount";
    /// BOLT 12, offer reader: an issuer id or paths are there.
    OFFER_ISSUER_OR_PATHS = "bolt12/offer/reader/issuer-or-paths";
    /// BOLT 12, offer reader: no path is without hops.
    OFFER_PATH_HOPS = "bolt12/offer/reader/path-hops", Bounded;
    /// BOLT 12, offer reader: the time is not after the expiry.
    OFFER_EXPIRY = "bolt12/offer/reader/expiry", Contextual, Bounded;

    /// BOLT 12, offer writer: types lie in the two ranges of offers.
    OFFER_WRITER_TYPE_RANGE = "bolt12/offer/writer/type-range", Bounded;
    /// BOLT 12, offer writer: an amount is above zero.
    OFFER_WRITER_AMOUNT_POSITIVE = "bolt12/offer/writer/amount-positive", Bounded;
    /// BOLT 12, offer writer: an amount comes with a description.
    OFFER_WRITER_AMOUNT_DESCRIPTION = "bolt12/offer/writer/amount-description";
    /// BOLT 12, offer writer: no currency without an amount.
    OFFER_WRITER_NO_CURRENCY = "bolt12/offer/writer/no-currency";
    /// BOLT 12, offer writer: a currency is an ISO 4217 code of three letters.
    OFFER_WRITER_CURRENCY_CODE = "bolt12/offer/writer/currency-code";
    /// BOLT 12, offer writer: without paths there is an issuer id.
    OFFER_WRITER_ISSUER_ID = "bolt12/offer/writer/issuer-id";

    /// AMP, record: it is read from the type of its form alone, 14 for LND's.
    AMP_TYPE = "amp/record/type";
    /// AMP, record: 64 bytes at least.
    AMP_LENGTH_LEAST = "amp/record/length-least", Bounded;
    /// AMP, record: 68 bytes at most.
    AMP_LENGTH_MOST = "amp/record/length-most", Bounded;
    /// AMP, record: the truncated index has no leading zero byte.
    AMP_INDEX_MINIMAL = "amp/record/index-minimal";
    /// AMP, reconstruction: each child hash is the payment hash of its HTLC.
    AMP_PAYMENT_HASH = "amp/reconstruct/payment-hash";
    /// AMP, earlier forms: the record of pull request 658 has type 10.
    AMP_PR_658_TYPE = "amp/record/pr-658-type";
    /// AMP, earlier forms: the record of pull request 658 has 106 bytes.
    AMP_PR_658_LENGTH = "amp/record/pr-658-length";
    /// AMP, earlier forms: the index of pull request 658 fits into two bytes.
    AMP_PR_658_INDEX = "amp/child/pr-658-index", Bounded;
    /// AMP, earlier forms: the record of the 2021 draft has type 10.
    AMP_2021_TYPE = "amp/record/draft-2021-type";

    /// Keysend proof, records: a request has 114 bytes.
    KSP_REQUEST_LENGTH = "keysend-proof/record/request-length";
    /// Keysend proof, records: the version of a request is 0.
    KSP_REQUEST_VERSION = "keysend-proof/record/request-version";
    /// Keysend proof, records: no flag but bits 0 and 1.
    KSP_REQUEST_FLAGS = "keysend-proof/record/request-flags";
    /// Keysend proof, records: the version of a receipt is 0.
    KSP_RECEIPT_VERSION = "keysend-proof/record/receipt-version";
    /// Keysend proof, records: the algorithm is 0 or 1.
    KSP_RECEIPT_ALGORITHM = "keysend-proof/record/receipt-algorithm";
    /// Keysend proof, records: a receipt has the length of its algorithm.
    KSP_RECEIPT_LENGTH = "keysend-proof/record/receipt-length";
    /// Keysend proof, records: the header byte of a signed message is 31 to 34.
    KSP_RECEIPT_HEADER = "keysend-proof/record/receipt-header";
    /// Keysend proof, records: the lower of the two possible `s`.
    KSP_RECEIPT_LOW_S = "keysend-proof/record/receipt-low-s";
    /// Keysend proof, records: a reply has 33 bytes.
    KSP_REPLY_LENGTH = "keysend-proof/record/reply-length";
    /// Keysend proof, records: a reply is a point.
    KSP_REPLY_POINT = "keysend-proof/record/reply-point";
    /// Keysend proof, derivation: the recipient id is a point.
    KSP_RECIPIENT_ID = "keysend-proof/derivation/recipient-id";
    /// Keysend proof, payer: a request is written with version 0.
    KSP_PAYER_VERSION = "keysend-proof/payer/version";
    /// Keysend proof, payer: no flag but bits 0 and 1 is written.
    KSP_PAYER_FLAGS = "keysend-proof/payer/flags";
    /// Keysend proof, payer: the amount is above 0.
    KSP_PAYER_AMOUNT_POSITIVE = "keysend-proof/payer/amount-positive", Bounded;
    /// Keysend proof, payer: the payer key is an x-only key.
    KSP_PAYER_KEY = "keysend-proof/payer/key";
    /// Keysend proof, recipient: no receipt where none is wanted.
    KSP_RECIPIENT_RECEIPT_WANTED = "keysend-proof/recipient/receipt-wanted";
    /// Keysend proof, recipient: the keysend preimage opens the payment hash.
    KSP_RECIPIENT_PREIMAGE_HASH = "keysend-proof/recipient/preimage-hash";
    /// Keysend proof, recipient: a bound preimage is the derived one.
    KSP_RECIPIENT_PREIMAGE_BOUND = "keysend-proof/recipient/preimage-bound";
    /// Keysend proof, recipient: no less than the amount.
    KSP_RECIPIENT_AMOUNT_LEAST = "keysend-proof/recipient/amount-least", Contextual, Bounded;
    /// Keysend proof, recipient: no more than twice the amount.
    KSP_RECIPIENT_AMOUNT_MOST = "keysend-proof/recipient/amount-most", Contextual, Bounded;
    /// Keysend proof, recipient: not too far in the past.
    KSP_RECIPIENT_TIME_PAST = "keysend-proof/recipient/time-past", Contextual, Bounded;
    /// Keysend proof, recipient: not too far in the future.
    KSP_RECIPIENT_TIME_FUTURE = "keysend-proof/recipient/time-future", Contextual, Bounded;
    /// Keysend proof, recipient: one receipt a payment hash.
    KSP_RECIPIENT_SECOND_PAYMENT = "keysend-proof/recipient/second-payment", Contextual;
    /// Keysend proof, recipient: one receipt a commitment.
    KSP_RECIPIENT_ONE_RECEIPT = "keysend-proof/recipient/one-receipt", Contextual;
    /// Keysend proof, receipt: it is written with algorithm 0 or 1.
    KSP_WRITER_ALGORITHM = "keysend-proof/receipt/algorithm";
    /// Keysend proof, receipt: header and lower `s` of a signed message.
    KSP_WRITER_SIGNED_MESSAGE = "keysend-proof/receipt/signed-message-form";
    /// Keysend proof, claim: it is signed with the payer key's secret key.
    KSP_CLAIM_SIGN = "keysend-proof/claim/sign";
    /// Keysend proof, verifier: a receipt, or a bound preimage.
    KSP_NOTHING_PROVEN = "keysend-proof/verifier/nothing-proven";
    /// Keysend proof, verifier: no claim without a challenge.
    KSP_CLAIM_WITHOUT_CHALLENGE = "keysend-proof/verifier/claim-without-challenge";
    /// Keysend proof, verifier: no challenge without a claim.
    KSP_CHALLENGE_WITHOUT_CLAIM = "keysend-proof/verifier/challenge-without-claim";
    /// Keysend proof, verifier: the receipt names the bound payment hash.
    KSP_PAYMENT_HASH = "keysend-proof/verifier/payment-hash";
    /// Keysend proof, verifier: no less was received than the amount.
    KSP_AMOUNT = "keysend-proof/verifier/amount", Bounded;
    /// Keysend proof, verifier: the recipient signed, algorithm 0.
    KSP_SIGNATURE_BIP340 = "keysend-proof/verifier/signature";
    /// Keysend proof, verifier: the recipient signed, algorithm 1.
    KSP_SIGNATURE_MESSAGE = "keysend-proof/verifier/signature-message";
    /// Keysend proof, verifier: the payer key signed the claim.
    KSP_CLAIM = "keysend-proof/verifier/claim";
    /// Keysend proof, contradictory receipts: the recipient signed both.
    KSP_CONTRADICTION_SIGNATURES = "keysend-proof/verifier/contradiction-signatures";
    /// Keysend proof, contradictory receipts: they state different things.
    KSP_CONTRADICTION_DIFFERS = "keysend-proof/verifier/contradiction-differs";

    /// Keysend proof, point-lock form: a request is 114 bytes of version 0 with known flags.
    POINT_LOCK_REQUEST = "keysend-proof/point-lock/request";
    /// Keysend proof, point-lock pool: the header is 78 bytes.
    POINT_LOCK_POOL_LENGTH = "keysend-proof/point-lock/pool-length";
    /// Keysend proof, point-lock pool: its version is 0.
    POINT_LOCK_POOL_VERSION = "keysend-proof/point-lock/pool-version";
    /// Keysend proof, point-lock pool: the recipient signed the header.
    POINT_LOCK_POOL_SIGNATURE = "keysend-proof/point-lock/pool-signature";
    /// Keysend proof, point-lock pool: the header names the LSP that served it.
    POINT_LOCK_POOL_LSP = "keysend-proof/point-lock/pool-lsp", Contextual;
    /// Keysend proof, point-lock pool: a payer uses it up to its expiry.
    POINT_LOCK_POOL_EXPIRY = "keysend-proof/point-lock/pool-expiry", Contextual, Bounded;
    /// Keysend proof, point-lock pool: the index is below the count.
    POINT_LOCK_ENTRY_INDEX = "keysend-proof/point-lock/entry-index", Bounded;
    /// Keysend proof, point-lock pool: both nonces are points.
    POINT_LOCK_ENTRY_POINTS = "keysend-proof/point-lock/entry-points";
    /// Keysend proof, point-lock pool: the path leads from the entry to the root.
    POINT_LOCK_ENTRY_INCLUSION = "keysend-proof/point-lock/entry-inclusion";
    /// Keysend proof, point-lock recipient: the entry is one of its own.
    POINT_LOCK_ENTRY_KNOWN = "keysend-proof/point-lock/entry-known", Bounded;
    /// Keysend proof, point-lock recipient: it redeems up to the pool's expiry.
    POINT_LOCK_REDEEM_EXPIRY = "keysend-proof/point-lock/redeem-expiry", Contextual, Bounded;
    /// Keysend proof, point-lock recipient: the lock is that of entry, request and route.
    POINT_LOCK_LOCK = "keysend-proof/point-lock/lock";
    /// Keysend proof, point-lock recipient: what comes is no less than the request names.
    POINT_LOCK_AMOUNT = "keysend-proof/point-lock/amount", Contextual, Bounded;
    /// Keysend proof, point-lock recipient: nor more than twice that.
    POINT_LOCK_AMOUNT_EXCESS = "keysend-proof/point-lock/amount-excess", Contextual, Bounded;
    /// Keysend proof, point-lock recipient: the request's time is not too far in the past.
    POINT_LOCK_TIME_PAST = "keysend-proof/point-lock/time-past", Contextual, Bounded;
    /// Keysend proof, point-lock recipient: nor in the future.
    POINT_LOCK_TIME_FUTURE = "keysend-proof/point-lock/time-future", Contextual, Bounded;
    /// Keysend proof, point-lock recipient: an entry serves one payment.
    POINT_LOCK_ENTRY_UNUSED = "keysend-proof/point-lock/entry-unused", Contextual;
    /// Keysend proof, point-lock recipient: no scalar before a durable mark.
    POINT_LOCK_MARK = "keysend-proof/point-lock/mark-before-reveal", Contextual;
    /// Keysend proof, point-lock proof: what settles opens the lock that was offered.
    POINT_LOCK_ROUTE_SCALAR = "keysend-proof/point-lock/route-scalar";
    /// Keysend proof, point-lock proof: a proof is 64 bytes.
    POINT_LOCK_PROOF_LENGTH = "keysend-proof/point-lock/proof-length";
    /// Keysend proof, point-lock proof: it is the recipient's signature of the message.
    POINT_LOCK_PROOF_SIGNATURE = "keysend-proof/point-lock/proof-signature";
}

/// The entry of a rule; `None` when the reference has no rule of that id.
pub fn find(id: &str) -> Option<&'static Rule> {
    ALL.iter().find(|r| r.id == id)
}

/// Why a switch could not be set.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SwitchError {
    /// No rule has that id.
    #[error("the reference has no rule {0}; its rules are listed in drafts::rules::ALL")]
    Unknown(String),
    /// The rule compares nothing.
    #[error("rule {0} has no boundary that could be moved; switch it off instead")]
    Unbounded(String),
}

/// The rules in force: all of them, unless a mutant switched one off or moved its boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    off: Vec<&'static str>,
    shifted: Vec<(&'static str, Shift)>,
}

impl Rules {
    /// All rules.
    pub fn all() -> Self {
        Self::default()
    }

    /// Switches one rule off.
    ///
    /// # Errors
    /// [`SwitchError::Unknown`].
    pub fn without(mut self, id: &str) -> Result<Self, SwitchError> {
        let rule = find(id).ok_or_else(|| SwitchError::Unknown(id.to_owned()))?;
        self.off.push(rule.id);
        Ok(self)
    }

    /// Moves the boundary of one rule by one.
    ///
    /// # Errors
    /// [`SwitchError`].
    pub fn shift(mut self, id: &str, shift: Shift) -> Result<Self, SwitchError> {
        let rule = find(id).ok_or_else(|| SwitchError::Unknown(id.to_owned()))?;
        if !rule.bounded {
            return Err(SwitchError::Unbounded(id.to_owned()));
        }
        self.shifted.push((rule.id, shift));
        Ok(self)
    }

    /// Whether the rule is in force.
    pub fn enforces(&self, id: &str) -> bool {
        !self.off.contains(&id)
    }

    /// Checks one rule.
    ///
    /// # Errors
    /// A [`Violation`] of `id` when `condition` does not hold and the rule is in force.
    #[inline]
    pub fn check(
        &self,
        id: &'static str,
        condition: bool,
        message: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        if condition || !self.enforces(id) {
            return Ok(());
        }
        Err(Violation {
            rule: id,
            message: message(),
        })
    }

    /// Checks that `value` is `limit` at most.
    ///
    /// # Errors
    /// A [`Violation`] of `id` when it is more and the rule is in force.
    #[inline]
    pub fn at_most(
        &self,
        id: &'static str,
        value: u64,
        limit: u64,
        message: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        // Below 2^64 on both sides a shift of one fits into 128 bits.
        self.check(
            id,
            i128::from(value) <= i128::from(limit) + self.slack(id),
            message,
        )
    }

    /// Checks that `value` is `limit` at least.
    ///
    /// # Errors
    /// A [`Violation`] of `id` when it is less and the rule is in force.
    #[inline]
    pub fn at_least(
        &self,
        id: &'static str,
        value: u64,
        limit: u64,
        message: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        self.check(
            id,
            i128::from(value) >= i128::from(limit) - self.slack(id),
            message,
        )
    }

    fn slack(&self, id: &str) -> i128 {
        match self.shifted.iter().find(|(shifted, _)| *shifted == id) {
            None => 0,
            Some((_, Shift::Lax)) => 1,
            Some((_, Shift::Strict)) => -1,
        }
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if self.off.is_empty() && self.shifted.is_empty() {
            return f.write_str("all rules");
        }
        let off = self.off.iter().map(|id| format!("without {id}"));
        let shifted = self.shifted.iter().map(|(id, shift)| match shift {
            Shift::Lax => format!("{id} one too lax"),
            Shift::Strict => format!("{id} one too strict"),
        });
        f.write_str(&off.chain(shifted).collect::<Vec<_>>().join(", "))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ids_are_unique_slugs() {
        for (i, rule) in ALL.iter().enumerate() {
            assert!(
                ALL[..i].iter().all(|other| other.id != rule.id),
                "{} twice",
                rule.id
            );
            assert!(rule.id.split('/').count() >= 3, "{}", rule.id);
            assert!(
                rule.id
                    .bytes()
                    .all(|b| matches!(b, b'a'..=b'z' | b'0'..=b'9' | b'-' | b'/')),
                "{}",
                rule.id
            );
        }
    }

    #[test]
    fn a_rule_rejects_unless_it_is_off() {
        let refused = Rules::all()
            .check(TLV_ORDER, false, || "twice".into())
            .unwrap_err();
        assert_eq!(refused.to_string(), "twice (bolt01/tlv/order)");
        assert!(!refused.is_contextual());
        assert!(Rules::all().check(TLV_ORDER, true, String::new).is_ok());
        let rules = Rules::all().without(TLV_ORDER).unwrap();
        assert!(rules.check(TLV_ORDER, false, String::new).is_ok());
        assert!(rules.check(TLV_LENGTH, false, String::new).is_err());
        assert_eq!(rules.to_string(), "without bolt01/tlv/order");
    }

    #[test]
    fn a_boundary_moves_by_one() {
        let passes =
            |rules: &Rules, value| rules.at_most(TLV_LENGTH, value, 4, String::new).is_ok();
        let all = Rules::all();
        let lax = Rules::all().shift(TLV_LENGTH, Shift::Lax).unwrap();
        let strict = Rules::all().shift(TLV_LENGTH, Shift::Strict).unwrap();
        assert_eq!(
            [3, 4, 5, 6].map(|v| passes(&all, v)),
            [true, true, false, false]
        );
        assert_eq!(
            [3, 4, 5, 6].map(|v| passes(&lax, v)),
            [true, true, true, false]
        );
        assert_eq!(
            [3, 4, 5, 6].map(|v| passes(&strict, v)),
            [true, false, false, false]
        );
        assert!(lax.at_least(TLV_LENGTH, 0, 0, String::new).is_ok());
        assert!(strict.at_least(TLV_LENGTH, 0, 0, String::new).is_err());
        assert!(
            strict
                .at_least(TLV_LENGTH, u64::MAX, u64::MAX, String::new)
                .is_err()
        );
    }

    #[test]
    fn switches_name_what_they_do_not_know() {
        assert!(matches!(
            Rules::all().without("bolt01/odd"),
            Err(SwitchError::Unknown(_))
        ));
        assert!(matches!(
            Rules::all().shift(TLV_MINIMAL, Shift::Lax),
            Err(SwitchError::Unbounded(_))
        ));
    }
}
