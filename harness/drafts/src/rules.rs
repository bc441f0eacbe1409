//! One table of the rules that the reference enforces, and the switchboard that enforces them.

use std::collections::BTreeSet;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};

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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shift {
    /// The first value that is against the rule passes.
    Lax,
    /// The last value that keeps the rule is refused.
    Strict,
}

impl Shift {
    /// By how much a comparison is more generous.
    fn slack(self) -> i128 {
        match self {
            Shift::Lax => 1,
            Shift::Strict => -1,
        }
    }
}

/// A single switch, such as a mutant has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Switch {
    /// The rule is not enforced.
    Without,
    /// Its boundary is moved by one.
    Shifted(Shift),
    /// The value is got wrong in the way of this name.
    Mistake(&'static str),
}

/// Which switches would have changed a decision: see [`Rules::traced`].
#[derive(Clone, Debug, Default)]
pub struct Trace(Arc<Mutex<BTreeSet<(&'static str, Switch)>>>);

impl Trace {
    fn note(&self, rule: &'static str, switch: Switch) {
        // A panic elsewhere leaves a whole set here.
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.insert((rule, switch));
    }

    /// The switches, each with the id of its rule.
    pub fn switches(&self) -> BTreeSet<(&'static str, Switch)> {
        let noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        noted.clone()
    }
}

impl PartialEq for Trace {
    /// Whether both are the same list.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0)
    }
}

impl Eq for Trace {}

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

    /// BOLT 4, payload format, creator of a blinded route: every node of it has data.
    ROUTE_DATA_EACH = "bolt04/blinded-payment/creator/data-each";
    /// BOLT 4, payload format, creator of a blinded route: the data of every node but the last has a `payment_relay`.
    ROUTE_RELAY = "bolt04/blinded-payment/creator/relay";
    /// BOLT 4, payload format, creator of a blinded route: it names the next node once, in one of two ways.
    ROUTE_NEXT = "bolt04/blinded-payment/creator/next";
    /// BOLT 4, payload format, creator of a blinded route: `max_cltv_expiry` grows by the delta of each hop towards the payer.
    ROUTE_MAX_CLTV = "bolt04/blinded-payment/creator/max-cltv";
    /// BOLT 4, payload format, creator of a blinded route: `htlc_minimum_msat` is the highest of what its nodes ask.
    ROUTE_HTLC_MINIMUM = "bolt04/blinded-payment/creator/htlc-minimum";
    /// BOLT 4, payload format, creator of a blinded route: `allowed_features` that are set are empty.
    ROUTE_FEATURES_EMPTY = "bolt04/blinded-payment/creator/features-empty";
    /// BOLT 4, payload format, writer: a node of a blinded route gets the data that the recipient made for it.
    PAYLOAD_WRITER_BLINDED_DATA = "bolt04/payload/writer/blinded-data";
    /// BOLT 4, payload format, writer: the first of them gets the path key.
    PAYLOAD_WRITER_FIRST_PATH_KEY = "bolt04/payload/writer/first-path-key";
    /// BOLT 4, payload format, writer: the last of them gets amount, expiry and total.
    PAYLOAD_WRITER_BLINDED_FINAL_FIELDS = "bolt04/payload/writer/blinded-final-fields";
    /// BOLT 4, payload format, writer: its expiry counts from the current height on.
    PAYLOAD_WRITER_BASELINE_HEIGHT = "bolt04/payload/writer/baseline-height", Contextual, Bounded;
    /// BOLT 4, payload format, writer: none of them gets anything else.
    PAYLOAD_WRITER_BLINDED_ONLY = "bolt04/payload/writer/blinded-only";
    /// BOLT 4, payload format, writer: every other node gets amount and expiry.
    PAYLOAD_WRITER_AMOUNT_CLTV = "bolt04/payload/writer/amount-cltv";
    /// BOLT 4, payload format, writer: who forwards gets the channel to forward to.
    PAYLOAD_WRITER_SHORT_CHANNEL_ID = "bolt04/payload/writer/short-channel-id";
    /// BOLT 4, payload format, writer: who forwards gets no `payment_data`.
    PAYLOAD_WRITER_NO_PAYMENT_DATA = "bolt04/payload/writer/no-payment-data";
    /// BOLT 4, payload format, writer: the recipient gets no channel.
    PAYLOAD_WRITER_FINAL_NO_CHANNEL = "bolt04/payload/writer/final-no-channel";
    /// BOLT 4, payload format, writer: a recipient that gave a payment secret gets `payment_data`.
    PAYLOAD_WRITER_PAYMENT_DATA = "bolt04/payload/writer/payment-data";
    /// BOLT 4, payload format, writer: with that secret.
    PAYLOAD_WRITER_PAYMENT_SECRET = "bolt04/payload/writer/payment-secret";
    /// BOLT 4, payload format, writer: and with the total that will be sent.
    PAYLOAD_WRITER_TOTAL = "bolt04/payload/writer/total";
    /// BOLT 4, payload format, writer: a recipient that gave metadata gets it back.
    PAYLOAD_WRITER_METADATA = "bolt04/payload/writer/metadata";
    /// BOLT 4, payload format, reader: a path key in the message leaves no room for one in the payload.
    PAYLOAD_PATH_KEY_TWICE = "bolt04/payload/reader/path-key-twice";
    /// BOLT 4, payload format, reader: without one in the message the payload has it.
    PAYLOAD_PATH_KEY_MISSING = "bolt04/payload/reader/path-key-missing";
    /// BOLT 4, payload format, reader: the data decrypts with that path key.
    PAYLOAD_DECRYPT = "bolt04/payload/reader/decrypt";
    /// BOLT 4, payload format, reader: the HTLC expires no later than the data allows.
    PAYLOAD_MAX_CLTV_EXPIRY = "bolt04/payload/reader/max-cltv-expiry", Contextual, Bounded;
    /// BOLT 4, payload format, reader: its amount is no lower than the data allows.
    PAYLOAD_HTLC_MINIMUM = "bolt04/payload/reader/htlc-minimum", Contextual, Bounded;
    /// BOLT 4, payload format, reader: the data allows no unknown feature, odd or even.
    PAYLOAD_FEATURES_UNKNOWN = "bolt04/payload/reader/features-unknown";
    /// BOLT 4, payload format, reader: the data names the next node in one way only.
    PAYLOAD_NEXT_TWICE = "bolt04/payload/reader/next-twice";
    /// BOLT 4, payload format, reader: the payment uses allowed features only.
    PAYLOAD_FEATURES_USED = "bolt04/payload/reader/features-used", Contextual;
    /// BOLT 4, payload format, reader: who forwards inside a blinded route finds the data and the path key, nothing else.
    PAYLOAD_BLINDED_EXTRA = "bolt04/payload/reader/blinded-extra";
    /// BOLT 4, payload format, reader: the data names the next node.
    PAYLOAD_BLINDED_NEXT = "bolt04/payload/reader/blinded-next";
    /// BOLT 4, payload format, reader: the data has a `payment_relay`.
    PAYLOAD_BLINDED_RELAY = "bolt04/payload/reader/blinded-relay";
    /// BOLT 4, payload format, reader: the recipient finds five fields at most.
    PAYLOAD_BLINDED_FINAL_EXTRA = "bolt04/payload/reader/blinded-final-extra";
    /// BOLT 4, payload format, reader: among them amount, expiry and total.
    PAYLOAD_BLINDED_FINAL_FIELDS = "bolt04/payload/reader/blinded-final-fields";
    /// BOLT 4, payload format, reader: the amount is what the recipient expects, at least.
    PAYLOAD_BLINDED_FINAL_AMOUNT = "bolt04/payload/reader/blinded-final-amount", Contextual, Bounded;
    /// BOLT 4, payload format, reader: the HTLC expires no earlier than the payload says.
    PAYLOAD_BLINDED_FINAL_CLTV = "bolt04/payload/reader/blinded-final-cltv", Contextual, Bounded;
    /// BOLT 4, payload format, reader: and late enough to be claimed.
    PAYLOAD_BLINDED_FINAL_HEIGHT = "bolt04/payload/reader/blinded-final-height", Contextual, Bounded;
    /// BOLT 4, payload format, reader: outside of a blinded route there is no path key.
    PAYLOAD_PATH_KEY_UNBLINDED = "bolt04/payload/reader/path-key-unblinded";
    /// BOLT 4, payload format, reader: outside of one there are amount and expiry.
    PAYLOAD_AMOUNT_CLTV = "bolt04/payload/reader/amount-cltv";
    /// BOLT 4, payload format, reader: who forwards finds the channel to forward to.
    PAYLOAD_SHORT_CHANNEL_ID = "bolt04/payload/reader/short-channel-id";
    /// BOLT 4, payload format, reader: the channel is one that leads on.
    PAYLOAD_FORWARDABLE = "bolt04/payload/reader/forwardable", Contextual;
    /// BOLT 4, payload format, reader: the HTLC pays the fee.
    PAYLOAD_FEE = "bolt04/payload/reader/fee", Contextual, Bounded;
    /// BOLT 4, payload format, reader: it leaves the delta of the channel.
    PAYLOAD_CLTV_DELTA = "bolt04/payload/reader/cltv-delta", Contextual, Bounded;
    /// BOLT 4, payload format, reader: the recipient gets the amount of the payload, at least.
    PAYLOAD_FINAL_AMOUNT = "bolt04/payload/reader/final-amount", Contextual, Bounded;
    /// BOLT 4, payload format, reader: the HTLC expires no earlier than the payload says.
    PAYLOAD_FINAL_CLTV = "bolt04/payload/reader/final-cltv", Contextual, Bounded;
    /// BOLT 4, payload format, reader: and late enough to be claimed.
    PAYLOAD_FINAL_HEIGHT = "bolt04/payload/reader/final-height", Contextual, Bounded;
    /// BOLT 4, multi-part payments: all parts have one payment hash.
    MPP_WRITER_SAME_HASH = "bolt04/mpp/writer/same-hash";
    /// BOLT 4, multi-part payments: the total is the amount of the invoice at least, and twice it at most.
    MPP_WRITER_TOTAL_AMOUNT = "bolt04/mpp/writer/total-amount", Bounded;
    /// BOLT 4, multi-part payments: without an amount in the invoice it is what the payer wants to pay.
    MPP_WRITER_TOTAL_WISH = "bolt04/mpp/writer/total-wish";
    /// BOLT 4, multi-part payments: the parts reach the total.
    MPP_WRITER_TOTAL_REACHED = "bolt04/mpp/writer/total-reached", Bounded;
    /// BOLT 4, multi-part payments: no part follows once they do.
    MPP_WRITER_NO_MORE = "bolt04/mpp/writer/no-more", Bounded;
    /// BOLT 4, multi-part payments: every part has the payment secret.
    MPP_WRITER_PAYMENT_SECRET = "bolt04/mpp/writer/payment-secret";
    /// BOLT 4, multi-part payments: without the feature the total is the amount of the only part.
    MPP_WRITER_SINGLE = "bolt04/mpp/writer/single";
    /// BOLT 4, multi-part payments: a recipient without the feature takes no part of a larger total.
    MPP_UNSUPPORTED = "bolt04/mpp/unsupported", Contextual;
    /// BOLT 4, multi-part payments: all parts state one total.
    MPP_TOTAL_SAME = "bolt04/mpp/total-same", Contextual;
    /// BOLT 4, multi-part payments: all parts have the payment secret.
    MPP_PAYMENT_SECRET = "bolt04/mpp/payment-secret", Contextual;
    /// BOLT 4, multi-part payments: the total is held against the expected amount.
    MPP_DICTATED = "bolt04/mpp/failure-messages", Contextual, Bounded;
    /// BOLT 4, returning errors: failure and padding have 256 bytes at least.
    ERROR_PAD_LEAST = "bolt04/error/pad-least", Bounded;
    /// BOLT 4, returning errors: the HMAC of the packet is that of one of the hops.
    ERROR_HMAC = "bolt04/error/hmac";
    /// BOLT 4, returning errors: the lengths inside the packet are true.
    ERROR_FORM = "bolt04/error/form";
    /// BOLT 4, returning errors: attribution data has 920 bytes.
    ATTRIBUTION_LENGTH = "bolt04/error/attribution-length";
    /// BOLT 4, returning errors: each hop that reports a time signs it.
    ATTRIBUTION_HMAC = "bolt04/error/attribution-hmac";
    /// BOLT 4, onion messages, creator of the data: it has nothing that is for payments.
    MESSAGE_CREATOR_NO_RELAY = "bolt04/onion-message/creator/no-relay";
    /// BOLT 4, onion messages, creator of the data: it names the next node.
    MESSAGE_CREATOR_NEXT = "bolt04/onion-message/creator/next";
    /// BOLT 4, onion messages, writer: the version is 0.
    MESSAGE_WRITER_VERSION = "bolt04/onion-message/writer/version";
    /// BOLT 4, onion messages, writer: nothing is committed to beside the payloads.
    MESSAGE_WRITER_NO_ASSOCIATED_DATA = "bolt04/onion-message/writer/no-associated-data";
    /// BOLT 4, onion messages, writer: the packet has 1366 or 32834 bytes.
    MESSAGE_WRITER_LENGTH = "bolt04/onion-message/writer/length";
    /// BOLT 4, onion messages, writer: who forwards gets its data, nothing else.
    MESSAGE_WRITER_NON_FINAL_FIELDS = "bolt04/onion-message/writer/non-final-fields";
    /// BOLT 4, onion messages, writer: who may not reply gets no reply path.
    MESSAGE_WRITER_NO_REPLY_PATH = "bolt04/onion-message/writer/no-reply-path";
    /// BOLT 4, onion messages, reader: no unknown even type.
    MESSAGE_UNKNOWN_EVEN = "bolt04/onion-message/reader/unknown-even";
    /// BOLT 4, onion messages, reader: the data allows no unknown feature, odd or even.
    MESSAGE_FEATURES_UNKNOWN = "bolt04/onion-message/reader/features-unknown";
    /// BOLT 4, onion messages, reader: the message uses allowed features only.
    MESSAGE_FEATURES_USED = "bolt04/onion-message/reader/features-used", Contextual;
    /// BOLT 4, onion messages, reader: who forwards finds its data, nothing else.
    MESSAGE_NON_FINAL_FIELDS = "bolt04/onion-message/reader/non-final-fields";
    /// BOLT 4, onion messages, reader: who forwards finds no `path_id`.
    MESSAGE_NON_FINAL_PATH_ID = "bolt04/onion-message/reader/non-final-path-id";
    /// BOLT 4, onion messages, reader: the data names a next node that there is.
    MESSAGE_NO_NEXT = "bolt04/onion-message/reader/no-next";
    /// BOLT 4, onion messages, reader: what comes along a reply path is a reply.
    MESSAGE_OTHER_REPLY = "bolt04/onion-message/reader/other-reply", Contextual;
    /// BOLT 4, onion messages, reader: one payload at most.
    MESSAGE_ONE_PAYLOAD = "bolt04/onion-message/reader/one-payload";

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

    /// BOLT 12, invoice requests: the prefix is `lnr`.
    INVREQ_PREFIX = "bolt12/invoice-request/prefix";
    /// BOLT 12, invoice requests: one without an offer has neither an issuer id nor paths of one.
    INVREQ_REFUND = "bolt12/invoice-request/refund";
    /// BOLT 12, invoice request reader: there is an `invreq_payer_id`.
    INVREQ_PAYER_ID = "bolt12/invoice-request/reader/payer-id";
    /// BOLT 12, invoice request reader: there is an `invreq_metadata`.
    INVREQ_METADATA = "bolt12/invoice-request/reader/metadata";
    /// BOLT 12, invoice request reader: types lie in the ranges of requests.
    INVREQ_TYPE_RANGE = "bolt12/invoice-request/reader/type-range", Bounded;
    /// BOLT 12, invoice request reader: no unknown even feature.
    INVREQ_FEATURES_UNKNOWN_EVEN = "bolt12/invoice-request/reader/features-unknown-even";
    /// BOLT 12, invoice request reader: the payer signed it.
    INVREQ_SIGNATURE = "bolt12/invoice-request/reader/signature";
    /// BOLT 12, invoice request reader: no path to the payer is without hops.
    INVREQ_PATH_HOPS = "bolt12/invoice-request/reader/path-hops", Bounded;
    /// BOLT 12, invoice request reader: the offer's fields are a valid offer.
    INVREQ_OFFER_VALID = "bolt12/invoice-request/reader/offer-valid";
    /// BOLT 12, invoice request reader: that offer has not expired.
    INVREQ_OFFER_UNEXPIRED = "bolt12/invoice-request/reader/offer-unexpired", Contextual, Bounded;
    /// BOLT 12, invoice request reader: the offer's fields are those of an offer that was made.
    INVREQ_OFFER_MATCH = "bolt12/invoice-request/reader/offer-match", Contextual;
    /// BOLT 12, invoice request reader: with paths in the offer it comes along one of them.
    INVREQ_VIA_OFFER_PATH = "bolt12/invoice-request/reader/via-offer-path", Contextual;
    /// BOLT 12, invoice request reader: without paths in the offer it comes along none.
    INVREQ_VIA_NO_PATH = "bolt12/invoice-request/reader/via-no-path", Contextual;
    /// BOLT 12, invoice request reader: an earlier invoice answers a repeated request only.
    INVREQ_PREVIOUS_INVOICE = "bolt12/invoice-request/reader/previous-invoice", Contextual;
    /// BOLT 12, invoice request reader: an offer of several items wants a quantity.
    INVREQ_QUANTITY_MISSING = "bolt12/invoice-request/reader/quantity-missing";
    /// BOLT 12, invoice request reader: of a limited number of items at least one.
    INVREQ_QUANTITY_ZERO = "bolt12/invoice-request/reader/quantity-zero", Bounded;
    /// BOLT 12, invoice request reader: no more items than the limit.
    INVREQ_QUANTITY_MAX = "bolt12/invoice-request/reader/quantity-max", Bounded;
    /// BOLT 12, invoice request reader: an offer of single items takes no quantity.
    INVREQ_QUANTITY_UNWANTED = "bolt12/invoice-request/reader/quantity-unwanted";
    /// BOLT 12, invoice request reader: no less than the expected amount.
    INVREQ_AMOUNT_LEAST = "bolt12/invoice-request/reader/amount-least", Bounded;
    /// BOLT 12, invoice request reader: where the offer has no amount the request has one.
    INVREQ_AMOUNT_MISSING = "bolt12/invoice-request/reader/amount-missing";
    /// BOLT 12, invoice request reader: without an offer, no field that only an offer has.
    INVREQ_REFUND_FIELDS = "bolt12/invoice-request/reader/refund-fields";
    /// BOLT 12, invoice request reader: without an offer there is an `invreq_amount`.
    INVREQ_REFUND_AMOUNT = "bolt12/invoice-request/reader/refund-amount";
    /// BOLT 12, invoice request reader: the name and domain of BIP 353 hold few characters.
    INVREQ_BIP_353_NAME = "bolt12/invoice-request/reader/bip-353-name";
    /// BOLT 12, invoice request reader: without a chain, bitcoin must be supported.
    INVREQ_CHAIN_BITCOIN = "bolt12/invoice-request/reader/chain-bitcoin", Contextual;
    /// BOLT 12, invoice request reader: the chain must be supported.
    INVREQ_CHAIN = "bolt12/invoice-request/reader/chain", Contextual;

    /// BOLT 12, invoice request writer: every field of the offer is copied.
    INVREQ_WRITER_COPY_OFFER = "bolt12/invoice-request/writer/copy-offer";
    /// BOLT 12, invoice request writer: the chain is one of the offer's.
    INVREQ_WRITER_CHAIN = "bolt12/invoice-request/writer/chain";
    /// BOLT 12, invoice request writer: for an offer without chains it is bitcoin.
    INVREQ_WRITER_CHAIN_BITCOIN = "bolt12/invoice-request/writer/chain-bitcoin";
    /// BOLT 12, invoice request writer: signed with the payer id's key.
    INVREQ_WRITER_SIGNATURE = "bolt12/invoice-request/writer/signature";
    /// BOLT 12, invoice request writer: an offer without an amount needs one here.
    INVREQ_WRITER_AMOUNT = "bolt12/invoice-request/writer/amount";
    /// BOLT 12, invoice request writer: no less than the expected amount.
    INVREQ_WRITER_AMOUNT_LEAST = "bolt12/invoice-request/writer/amount-least", Bounded;
    /// BOLT 12, invoice request writer: there is a payer id.
    INVREQ_WRITER_PAYER_ID = "bolt12/invoice-request/writer/payer-id";
    /// BOLT 12, invoice request writer: an offer of several items gets a quantity above zero.
    INVREQ_WRITER_QUANTITY_POSITIVE = "bolt12/invoice-request/writer/quantity-positive", Bounded;
    /// BOLT 12, invoice request writer: no more items than the limit.
    INVREQ_WRITER_QUANTITY_MAX = "bolt12/invoice-request/writer/quantity-max", Bounded;
    /// BOLT 12, invoice request writer: an offer of single items gets no quantity.
    INVREQ_WRITER_QUANTITY_ABSENT = "bolt12/invoice-request/writer/quantity-absent";
    /// BOLT 12, invoice request writer: without an offer, a description.
    INVREQ_WRITER_REFUND_DESCRIPTION = "bolt12/invoice-request/writer/refund-description";
    /// BOLT 12, invoice request writer: without an offer, a payer id.
    INVREQ_WRITER_REFUND_PAYER_ID = "bolt12/invoice-request/writer/refund-payer-id";
    /// BOLT 12, invoice request writer: without an offer, no signature and no field of one.
    INVREQ_WRITER_REFUND_FIELDS = "bolt12/invoice-request/writer/refund-fields";
    /// BOLT 12, invoice request writer: without an offer, the chain where it is not bitcoin.
    INVREQ_WRITER_REFUND_CHAIN = "bolt12/invoice-request/writer/refund-chain";
    /// BOLT 12, invoice request writer: without an offer, an amount.
    INVREQ_WRITER_REFUND_AMOUNT = "bolt12/invoice-request/writer/refund-amount";
    /// BOLT 12, invoice request writer: types lie in the ranges of requests.
    INVREQ_WRITER_TYPE_RANGE = "bolt12/invoice-request/writer/type-range", Bounded;
    /// BOLT 12, invoice request writer: there is metadata.
    INVREQ_WRITER_METADATA = "bolt12/invoice-request/writer/metadata";
    /// BOLT 12, invoice request writer: the name that BIP 353 resolved.
    INVREQ_WRITER_BIP_353_NAME = "bolt12/invoice-request/writer/bip-353-name";
    /// BOLT 12, invoice request writer: the domain that BIP 353 resolved.
    INVREQ_WRITER_BIP_353_DOMAIN = "bolt12/invoice-request/writer/bip-353-domain";

    /// BOLT 12, invoice reader: there is an `invoice_amount`.
    INVOICE_AMOUNT = "bolt12/invoice/reader/amount";
    /// BOLT 12, invoice reader: there is an `invoice_created_at`.
    INVOICE_CREATED_AT = "bolt12/invoice/reader/created-at";
    /// BOLT 12, invoice reader: there is an `invoice_payment_hash`.
    INVOICE_PAYMENT_HASH = "bolt12/invoice/reader/payment-hash";
    /// BOLT 12, invoice reader: there is an `invoice_node_id`.
    INVOICE_NODE_ID = "bolt12/invoice/reader/node-id";
    /// BOLT 12, invoice reader: no unknown even feature.
    INVOICE_FEATURES_UNKNOWN_EVEN = "bolt12/invoice/reader/features-unknown-even";
    /// BOLT 12, invoice reader: there are paths.
    INVOICE_PATHS = "bolt12/invoice/reader/paths";
    /// BOLT 12, invoice reader: no path is without hops.
    INVOICE_PATH_HOPS = "bolt12/invoice/reader/path-hops", Bounded;
    /// BOLT 12, invoice reader: there is an `invoice_blindedpay`.
    INVOICE_BLINDEDPAY = "bolt12/invoice/reader/blindedpay";
    /// BOLT 12, invoice reader: one `blinded_payinfo` a path.
    INVOICE_BLINDEDPAY_COUNT = "bolt12/invoice/reader/blindedpay-count";
    /// BOLT 12, invoice reader: one path at least has no unknown even feature.
    INVOICE_USABLE_PATHS = "bolt12/invoice/reader/usable-paths";
    /// BOLT 12, invoice reader: the issuer id of the offer made it.
    INVOICE_NODE_ID_ISSUER = "bolt12/invoice/reader/node-id-issuer";
    /// BOLT 12, invoice reader: the end of the path of the offer made it.
    INVOICE_NODE_ID_PATH = "bolt12/invoice/reader/node-id-path";
    /// BOLT 12, invoice reader: its node id signed it.
    INVOICE_SIGNATURE = "bolt12/invoice/reader/signature";
    /// BOLT 12, invoice reader: an amount that was requested is the amount.
    INVOICE_AMOUNT_REQUEST = "bolt12/invoice/reader/amount-request";
    /// BOLT 12, invoice reader: without a chain, bitcoin must be supported.
    INVOICE_CHAIN_BITCOIN = "bolt12/invoice/reader/chain-bitcoin", Contextual;
    /// BOLT 12, invoice reader: the chain must be supported.
    INVOICE_CHAIN = "bolt12/invoice/reader/chain", Contextual;
    /// BOLT 12, invoice reader: the time is not after the stated expiry.
    INVOICE_EXPIRY = "bolt12/invoice/reader/expiry", Contextual, Bounded;
    /// BOLT 12, invoice reader: the time is not after the usual expiry, two hours.
    INVOICE_EXPIRY_DEFAULT = "bolt12/invoice/reader/expiry-default", Contextual, Bounded;
    /// BOLT 12, invoice reader: the request is mirrored in full.
    INVOICE_MIRROR = "bolt12/invoice/reader/mirror";
    /// BOLT 12, invoice reader: with paths in the request it comes along one of them.
    INVOICE_VIA_INVREQ_PATH = "bolt12/invoice/reader/via-invreq-path", Contextual;
    /// BOLT 12, invoice reader: without an offer and such paths it comes along none.
    INVOICE_VIA_NO_PATH = "bolt12/invoice/reader/via-no-path", Contextual;
    /// BOLT 12, invoice reader: for an offer it comes along the reply path.
    INVOICE_VIA_REPLY_PATH = "bolt12/invoice/reader/via-reply-path", Contextual;
    /// BOLT 12, invoice reader: no payment along a path with an unknown even feature.
    INVOICE_PAYINFO_FEATURES = "bolt12/invoice/reader/payinfo-features", Contextual;
    /// BOLT 12, invoice reader: compulsory parts travel along several paths.
    INVOICE_MPP_COMPULSORY = "bolt12/invoice/reader/mpp-compulsory", Contextual, Bounded;
    /// BOLT 12, invoice reader: without the feature one part pays.
    INVOICE_MPP_ABSENT = "bolt12/invoice/reader/mpp-absent", Contextual, Bounded;
    /// BOLT 12, invoice reader: a fallback of a version above 16 is ignored.
    INVOICE_FALLBACK_VERSION = "bolt12/invoice/reader/fallback-version", Bounded;
    /// BOLT 12, invoice reader: a fallback of less than 2 or more than 40 bytes is ignored.
    INVOICE_FALLBACK_LENGTH = "bolt12/invoice/reader/fallback-length", Bounded;
    /// BOLT 12, invoice reader: a fallback against the rules of its version is ignored.
    INVOICE_FALLBACK_PROGRAM = "bolt12/invoice/reader/fallback-program";

    /// BOLT 12, invoice writer: there is a time of creation.
    INVOICE_WRITER_CREATED_AT = "bolt12/invoice/writer/created-at";
    /// BOLT 12, invoice writer: there is an amount.
    INVOICE_WRITER_AMOUNT = "bolt12/invoice/writer/amount";
    /// BOLT 12, invoice writer: the request is copied.
    INVOICE_WRITER_COPY_REQUEST = "bolt12/invoice/writer/copy-request";
    /// BOLT 12, invoice writer: the amount is the requested one.
    INVOICE_WRITER_AMOUNT_REQUEST = "bolt12/invoice/writer/amount-request";
    /// BOLT 12, invoice writer: else it is the expected one.
    INVOICE_WRITER_AMOUNT_EXPECTED = "bolt12/invoice/writer/amount-expected";
    /// BOLT 12, invoice writer: the payment hash is that of the preimage.
    INVOICE_WRITER_PAYMENT_HASH = "bolt12/invoice/writer/payment-hash";
    /// BOLT 12, invoice writer: the node id is the offer's issuer id.
    INVOICE_WRITER_NODE_ID_ISSUER = "bolt12/invoice/writer/node-id-issuer";
    /// BOLT 12, invoice writer: else it is the end of the path that brought the request.
    INVOICE_WRITER_NODE_ID_PATH = "bolt12/invoice/writer/node-id-path";
    /// BOLT 12, invoice writer: one signature element.
    INVOICE_WRITER_SIGNATURE_SINGLE = "bolt12/invoice/writer/signature-single";
    /// BOLT 12, invoice writer: made with the node id's key.
    INVOICE_WRITER_SIGNATURE = "bolt12/invoice/writer/signature";
    /// BOLT 12, invoice writer: required parts are announced.
    INVOICE_WRITER_MPP_COMPULSORY = "bolt12/invoice/writer/mpp-compulsory";
    /// BOLT 12, invoice writer: allowed parts are announced.
    INVOICE_WRITER_MPP_OPTIONAL = "bolt12/invoice/writer/mpp-optional";
    /// BOLT 12, invoice writer: an expiry other than two hours is stated.
    INVOICE_WRITER_RELATIVE_EXPIRY = "bolt12/invoice/writer/relative-expiry";
    /// BOLT 12, invoice writer: fallbacks are witness programs.
    INVOICE_WRITER_FALLBACK_PROGRAM = "bolt12/invoice/writer/fallback-program";
    /// BOLT 12, invoice writer: there is a path.
    INVOICE_WRITER_PATHS = "bolt12/invoice/writer/paths";
    /// BOLT 12, invoice writer: one `blinded_payinfo` a path.
    INVOICE_WRITER_BLINDEDPAY = "bolt12/invoice/writer/blindedpay";
    /// BOLT 12, invoice writer: the features of each are those that its path allows.
    INVOICE_WRITER_PAYINFO_FEATURES = "bolt12/invoice/writer/payinfo-features";

    /// Pull request 1149, static invoices: they have no payment hash.
    STATIC_NO_PAYMENT_HASH = "bolt12/static-invoice/no-payment-hash";
    /// Pull request 1149, static invoices: without a stated expiry they last two weeks.
    STATIC_EXPIRY_DEFAULT = "bolt12/static-invoice/expiry-default", Contextual, Bounded;
    /// Pull request 1149, invoice reader: there is a path for the message about a held HTLC.
    STATIC_MESSAGE_PATHS = "bolt12/static-invoice/reader/message-paths";
    /// Pull request 1149, invoice writer: no payment hash.
    STATIC_WRITER_PAYMENT_HASH = "bolt12/static-invoice/writer/payment-hash";
    /// Pull request 1149, invoice writer: no amount.
    STATIC_WRITER_AMOUNT = "bolt12/static-invoice/writer/amount";
    /// Pull request 1149, invoice writer: two such paths at least.
    STATIC_WRITER_MESSAGE_PATHS = "bolt12/static-invoice/writer/message-paths", Bounded;
    /// Pull request 1149, invoice writer: no field of a request.
    STATIC_WRITER_INVREQ_FIELDS = "bolt12/static-invoice/writer/invreq-fields";
    /// Pull request 1149, invoice writer: an expiry other than two weeks is stated.
    STATIC_WRITER_RELATIVE_EXPIRY = "bolt12/static-invoice/writer/relative-expiry";
    /// Pull request 1149, offer writer: one chain at most.
    STATIC_WRITER_ONE_CHAIN = "bolt12/static-invoice/writer/one-chain", Bounded;

    /// BOLT 12, invoice error writer: it says what is wrong.
    INVERR_WRITER_ERROR = "bolt12/invoice-error/writer/error";
    /// BOLT 12, invoice error writer: a suggestion is a value of the field.
    INVERR_WRITER_SUGGESTED_VALUE = "bolt12/invoice-error/writer/suggested-value";
    /// BOLT 12, invoice error writer: no suggestion without a field.
    INVERR_WRITER_SUGGESTED_ALONE = "bolt12/invoice-error/writer/suggested-alone";

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

    /// AMP tunneling, point locks: a request is 114 bytes of version 0 with known flags.
    AIT_POINT_REQUEST = "amp-tunnel/point-lock/request";
    /// AMP tunneling, point locks, payer: the request leaves the root unbound.
    AIT_POINT_ROOT_UNBOUND = "amp-tunnel/point-lock/root-unbound";
    /// AMP tunneling, point locks, payer: no child scalar is zero.
    AIT_POINT_CHILD_NONZERO = "amp-tunnel/point-lock/child-nonzero";
    /// AMP tunneling, point locks, payer: no two shards have one child scalar.
    AIT_POINT_CHILD_DISTINCT = "amp-tunnel/point-lock/child-distinct";
    /// AMP tunneling, point locks, recipient: all shards bring the same request.
    AIT_POINT_SAME_REQUEST = "amp-tunnel/point-lock/same-request";
    /// AMP tunneling, point locks, recipient: all shards name the same entry.
    AIT_POINT_SAME_ENTRY = "amp-tunnel/point-lock/same-entry";
    /// AMP tunneling, point locks, recipient: the request does not bind the root.
    AIT_POINT_ROOT_FREE = "amp-tunnel/point-lock/root-free";
    /// AMP tunneling, point locks, recipient: the entry is one of its own.
    AIT_POINT_ENTRY_KNOWN = "amp-tunnel/point-lock/entry-known", Bounded;
    /// AMP tunneling, point locks, recipient: it redeems up to the pool's expiry.
    AIT_POINT_REDEEM_EXPIRY = "amp-tunnel/point-lock/redeem-expiry", Contextual, Bounded;
    /// AMP tunneling, point locks, recipient: no two shards have one share and one index.
    AIT_POINT_SET_DISTINCT = "amp-tunnel/point-lock/set-distinct";
    /// AMP tunneling, point locks, recipient: every lock is that of entry, request, set and route.
    AIT_POINT_LOCK = "amp-tunnel/point-lock/lock";
    /// AMP tunneling, point locks, recipient: the set brings no less than the request names.
    AIT_POINT_AMOUNT = "amp-tunnel/point-lock/amount", Contextual, Bounded;
    /// AMP tunneling, point locks, recipient: nor more than twice that.
    AIT_POINT_AMOUNT_EXCESS = "amp-tunnel/point-lock/amount-excess", Contextual, Bounded;
    /// AMP tunneling, point locks, recipient: the request's time is not too far in the past.
    AIT_POINT_TIME_PAST = "amp-tunnel/point-lock/time-past", Contextual, Bounded;
    /// AMP tunneling, point locks, recipient: nor in the future.
    AIT_POINT_TIME_FUTURE = "amp-tunnel/point-lock/time-future", Contextual, Bounded;
    /// AMP tunneling, point locks, recipient: an entry serves one set.
    AIT_POINT_ENTRY_UNUSED = "amp-tunnel/point-lock/entry-unused", Contextual;
    /// AMP tunneling, point locks, recipient: no scalar before a durable mark.
    AIT_POINT_MARK = "amp-tunnel/point-lock/mark-before-reveal", Contextual;
    /// AMP tunneling, point locks, proof: what settles a shard opens the lock that was offered.
    AIT_POINT_SETTLED_SCALAR = "amp-tunnel/point-lock/settled-scalar";
    /// AMP tunneling, point locks, proof: a proof is 64 bytes.
    AIT_POINT_PROOF_LENGTH = "amp-tunnel/point-lock/proof-length";
    /// AMP tunneling, point locks, proof: it is the recipient's signature of the message.
    AIT_POINT_PROOF_SIGNATURE = "amp-tunnel/point-lock/proof-signature";

    /// AMP proofs, records: a request has 114 bytes.
    AIT_REQUEST_LENGTH = "amp-tunnel/record/request-length";
    /// AMP proofs, records: the version of a request is 0.
    AIT_REQUEST_VERSION = "amp-tunnel/record/request-version";
    /// AMP proofs, records: no flag but bits 0 and 1.
    AIT_REQUEST_FLAGS = "amp-tunnel/record/request-flags";
    /// AMP proofs, records: a receipt has 177 bytes.
    AIT_RECEIPT_LENGTH = "amp-tunnel/record/receipt-length";
    /// AMP proofs, records: the version of a receipt is 0.
    AIT_RECEIPT_VERSION = "amp-tunnel/record/receipt-version";
    /// AMP proofs, records: an assignment has 101 bytes.
    AIT_ASSIGNMENT_LENGTH = "amp-tunnel/record/assignment-length";
    /// AMP proofs, records: the version of an assignment is 0.
    AIT_ASSIGNMENT_VERSION = "amp-tunnel/record/assignment-version";
    /// AMP proofs, derivation: the recipient id is a point.
    AIT_RECIPIENT_ID = "amp-tunnel/derivation/recipient-id";
    /// AMP proofs, payer: a request is written with version 0.
    AIT_PAYER_VERSION = "amp-tunnel/payer/version";
    /// AMP proofs, payer: no flag but bits 0 and 1 is written.
    AIT_PAYER_FLAGS = "amp-tunnel/payer/flags";
    /// AMP proofs, payer: the amount is above 0.
    AIT_PAYER_AMOUNT_POSITIVE = "amp-tunnel/payer/amount-positive", Bounded;
    /// AMP proofs, payer: the payer key is an x-only key.
    AIT_PAYER_KEY = "amp-tunnel/payer/key";
    /// AMP proofs, recipient: one request in all HTLCs.
    AIT_SAME_REQUEST = "amp-tunnel/recipient/same-request";
    /// AMP proofs, recipient: the shares give every payment hash.
    AIT_CHILD_HASH = "amp-tunnel/recipient/child-hash";
    /// AMP proofs, recipient: a bound root is the derived one.
    AIT_ROOT_BOUND = "amp-tunnel/recipient/root-bound";
    /// AMP proofs, recipient: a bound set id is the derived one.
    AIT_SET_ID_BOUND = "amp-tunnel/recipient/set-id-bound";
    /// AMP proofs, recipient: the totals of the parts add up to the amount.
    AIT_TOTAL = "amp-tunnel/recipient/total";
    /// AMP proofs, recipient: no less than the amount.
    AIT_AMOUNT_LEAST = "amp-tunnel/recipient/amount-least", Contextual, Bounded;
    /// AMP proofs, recipient: no more than twice the amount.
    AIT_AMOUNT_MOST = "amp-tunnel/recipient/amount-most", Contextual, Bounded;
    /// AMP proofs, recipient: not too far in the past.
    AIT_TIME_PAST = "amp-tunnel/recipient/time-past", Contextual, Bounded;
    /// AMP proofs, recipient: not too far in the future.
    AIT_TIME_FUTURE = "amp-tunnel/recipient/time-future", Contextual, Bounded;
    /// AMP proofs, recipient: one payment a commitment.
    AIT_ONE_PAYMENT = "amp-tunnel/recipient/one-payment", Contextual;
    /// AMP proofs, recipient: one payment a set id.
    AIT_ONE_SET = "amp-tunnel/recipient/one-set", Contextual;
    /// AMP proofs, recipient: no receipt where none is wanted.
    AIT_RECEIPT_WANTED = "amp-tunnel/recipient/receipt-wanted";
    /// AMP proofs, claim: it is signed with the payer key's secret key.
    AIT_CLAIM_SIGN = "amp-tunnel/claim/sign";
    /// AMP proofs, pool: the header has 175 bytes.
    AIT_HEADER_LENGTH = "amp-tunnel/pool/header-length";
    /// AMP proofs, pool: its version is 0.
    AIT_HEADER_VERSION = "amp-tunnel/pool/header-version";
    /// AMP proofs, pool: the LSP is named by a point.
    AIT_LSP_POINT = "amp-tunnel/pool/lsp-point";
    /// AMP proofs, pool: it is of the payment's chain.
    AIT_POOL_CHAIN = "amp-tunnel/pool/chain";
    /// AMP proofs, pool: it is the recipient's.
    AIT_POOL_RECIPIENT = "amp-tunnel/pool/recipient";
    /// AMP proofs, pool: it belongs to the AMP part's payment address.
    AIT_POOL_PAYMENT_ADDR = "amp-tunnel/pool/payment-addr";
    /// AMP proofs, pool: the recipient signed the header.
    AIT_POOL_SIGNATURE = "amp-tunnel/pool/signature";
    /// AMP proofs, pool: the index is below the count.
    AIT_POOL_INDEX = "amp-tunnel/pool/index", Bounded;
    /// AMP proofs, pool: the path leads from the entry to the root.
    AIT_POOL_INCLUSION = "amp-tunnel/pool/inclusion";
    /// AMP proofs, assignment: an entry is assigned once.
    AIT_ASSIGN_ONCE = "amp-tunnel/assignment/once", Contextual;
    /// AMP proofs, assignment: it is of the entry that it is shown for.
    AIT_ASSIGNMENT_ENTRY = "amp-tunnel/assignment/entry";
    /// AMP proofs, assignment: the pool's LSP signed it for the request.
    AIT_ASSIGNMENT_SIGNATURE = "amp-tunnel/assignment/signature";
    /// AMP proofs, paying through a tunnel: the LSP of the pool served the entry.
    AIT_PAYER_LSP = "amp-tunnel/payer/lsp", Contextual;
    /// AMP proofs, paying through a tunnel: up to the pool's expiry.
    AIT_PAYER_POOL_EXPIRY = "amp-tunnel/payer/pool-expiry", Contextual, Bounded;
    /// AMP proofs, settling a tunnel: there is one to settle.
    AIT_TUNNEL_HELD = "amp-tunnel/settle/tunnel-held", Contextual;
    /// AMP proofs, settling a tunnel: its HTLCs bring what they declare.
    AIT_TUNNEL_COMPLETE = "amp-tunnel/settle/tunnel-complete", Contextual, Bounded;
    /// AMP proofs, settling a tunnel: the AMP set is settled.
    AIT_AMP_SETTLED = "amp-tunnel/settle/amp-settled", Contextual;
    /// AMP proofs, settling a tunnel: the entry is one of its own.
    AIT_ENTRY_KNOWN = "amp-tunnel/settle/entry-known";
    /// AMP proofs, settling a tunnel: up to the pool's expiry.
    AIT_SETTLE_POOL_EXPIRY = "amp-tunnel/settle/pool-expiry", Contextual, Bounded;
    /// AMP proofs, settling a tunnel: an assignment came with it.
    AIT_SETTLE_ASSIGNMENT = "amp-tunnel/settle/assignment";
    /// AMP proofs, settling a tunnel: a secret is released for one request.
    AIT_ENTRY_UNUSED = "amp-tunnel/settle/entry-unused", Contextual;
    /// AMP proofs, verifier: no claim without a challenge.
    AIT_CLAIM_WITHOUT_CHALLENGE = "amp-tunnel/verifier/claim-without-challenge";
    /// AMP proofs, verifier: no challenge without a claim.
    AIT_CHALLENGE_WITHOUT_CLAIM = "amp-tunnel/verifier/challenge-without-claim";
    /// AMP proofs, verifier: no HTLCs without a receipt.
    AIT_SET_WITHOUT_RECEIPT = "amp-tunnel/verifier/set-without-receipt";
    /// AMP proofs, verifier: a receipt, a tunnel or a bound root.
    AIT_NOTHING_PROVEN = "amp-tunnel/verifier/nothing-proven";
    /// AMP proofs, verifier: the receipt names the bound set id.
    AIT_SET_ID = "amp-tunnel/verifier/set-id";
    /// AMP proofs, verifier: the receipt names the bound root.
    AIT_ROOT = "amp-tunnel/verifier/root";
    /// AMP proofs, verifier: no less was received than the amount.
    AIT_AMOUNT = "amp-tunnel/verifier/amount", Bounded;
    /// AMP proofs, verifier: the recipient signed the receipt.
    AIT_SIGNATURE = "amp-tunnel/verifier/signature";
    /// AMP proofs, verifier: the HTLCs are those of the receipt.
    AIT_SET_DIGEST = "amp-tunnel/verifier/set-digest";
    /// AMP proofs, verifier: they add up to what the receipt states.
    AIT_SET_SUM = "amp-tunnel/verifier/set-sum";
    /// AMP proofs, verifier: the tunnel is among the HTLCs of the receipt.
    AIT_TUNNEL_IN_SET = "amp-tunnel/verifier/tunnel-in-set";
    /// AMP proofs, verifier: the payer key signed the claim.
    AIT_CLAIM = "amp-tunnel/verifier/claim";
    /// AMP proofs, verifier: a rebutted assignment counts for none.
    AIT_REBUTTAL = "amp-tunnel/verifier/rebuttal";
    /// AMP proofs, contradictory receipts: the recipient signed both.
    AIT_CONTRADICTION_SIGNATURES = "amp-tunnel/contradiction/signatures";
    /// AMP proofs, contradictory receipts: they state different things.
    AIT_CONTRADICTION_DIFFERS = "amp-tunnel/contradiction/differs";
    /// AMP proofs, an entry assigned twice: the LSP signed both.
    AIT_FRAUD_SIGNATURES = "amp-tunnel/fraud/signatures";
    /// AMP proofs, an entry assigned twice: it is one entry.
    AIT_FRAUD_SAME_ENTRY = "amp-tunnel/fraud/same-entry";
    /// AMP proofs, an entry assigned twice: to two requests.
    AIT_FRAUD_DIFFERS = "amp-tunnel/fraud/differs";

    /// Payer proofs: the prefix is `lnp`.
    PROOF_PREFIX = "payer-proof/encoding/prefix";
    /// Payer proofs, writer: `invreq_metadata` is never included.
    PROOF_WRITER_METADATA = "payer-proof/writer/metadata";
    /// Payer proofs, writer: the fields that every proof needs are there to be copied.
    PROOF_WRITER_REQUIRED = "payer-proof/writer/required-fields";
    /// Payer proofs, writer: the preimage is that of the payment.
    PROOF_WRITER_PREIMAGE = "payer-proof/writer/preimage";
    /// Payer proofs, writer: what is included comes from the invoice and is no signature.
    PROOF_WRITER_FROM_INVOICE = "payer-proof/writer/from-invoice";
    /// Payer proofs, writer: the key of the invoice request signs.
    PROOF_WRITER_SIGNATURE = "payer-proof/writer/proof-signature";
    /// Payer proofs, markers: type 0 comes first in the invoice, so that it can be implied.
    PROOF_ZERO_IMPLIED = "payer-proof/markers/zero-implied";
    /// Payer proofs, reader: `invreq_payer_id` is there.
    PROOF_PAYER_ID_MISSING = "payer-proof/reader/payer-id-missing";
    /// Payer proofs, reader: `invoice_payment_hash` is there.
    PROOF_PAYMENT_HASH_MISSING = "payer-proof/reader/payment-hash-missing";
    /// Payer proofs, reader: `invoice_node_id` is there.
    PROOF_NODE_ID_MISSING = "payer-proof/reader/node-id-missing";
    /// Payer proofs, reader: the invoice's signature is there.
    PROOF_SIGNATURE_MISSING = "payer-proof/reader/signature-missing";
    /// Payer proofs, reader: the payer's signature is there.
    PROOF_PROOF_SIGNATURE_MISSING = "payer-proof/reader/proof-signature-missing";
    /// Payer proofs, reader: the preimage is there.
    PROOF_PREIMAGE_MISSING = "payer-proof/reader/preimage-missing";
    /// Payer proofs, reader: `proof_missing_hashes` is there.
    PROOF_MISSING_HASHES_MISSING = "payer-proof/reader/missing-hashes-missing";
    /// Payer proofs, reader: `proof_leaf_hashes` is there.
    PROOF_LEAF_HASHES_MISSING = "payer-proof/reader/leaf-hashes-missing";
    /// Payer proofs, reader: `invreq_metadata` is not there.
    PROOF_METADATA = "payer-proof/reader/metadata";
    /// Payer proofs, reader: the preimage opens the payment hash.
    PROOF_PREIMAGE = "payer-proof/reader/preimage";
    /// Payer proofs, reader: 0 is no marker.
    PROOF_OMITTED_ZERO = "payer-proof/reader/omitted-zero";
    /// Payer proofs, reader: markers increase strictly.
    PROOF_OMITTED_ORDER = "payer-proof/reader/omitted-order", Bounded;
    /// Payer proofs, reader: no marker in the range of signatures.
    PROOF_OMITTED_SIGNATURE = "payer-proof/reader/omitted-signature-type";
    /// Payer proofs, reader: no marker in the range of the proof's own fields.
    PROOF_OMITTED_PROOF = "payer-proof/reader/omitted-proof-type";
    /// Payer proofs, reader: no marker above the ranges of an invoice.
    PROOF_OMITTED_HIGH = "payer-proof/reader/omitted-too-high", Bounded;
    /// Payer proofs, reader: no marker is the number of an included field.
    PROOF_OMITTED_INCLUDED = "payer-proof/reader/omitted-included";
    /// Payer proofs, reader: the marker behind an included field is the next number.
    PROOF_OMITTED_AFTER_INCLUDED = "payer-proof/reader/omitted-after-included";
    /// Payer proofs, reader: the marker behind another one, or the first, is the next number.
    PROOF_OMITTED_AFTER_PREVIOUS = "payer-proof/reader/omitted-after-previous";
    /// Payer proofs, reader: one nonce for each included field.
    PROOF_LEAF_HASHES = "payer-proof/reader/leaf-hashes";
    /// Payer proofs, reader: as many hashes as the tree lacks.
    PROOF_MISSING_HASHES = "payer-proof/reader/missing-hashes";
    /// Payer proofs, reader: the invoice's key signed the invoice.
    PROOF_SIGNATURE = "payer-proof/reader/signature";
    /// Payer proofs, reader: the payer's key signed the proof.
    PROOF_PROOF_SIGNATURE = "payer-proof/reader/proof-signature";

    /// Pull request 836, sender: the last trampoline for a recipient without the feature gets blinded paths of the invoice.
    TRAMPOLINE_SENDER_RECIPIENT_PATHS = "trampoline/sender/recipient-paths";
    /// Pull request 836, sender: and no node to go to.
    TRAMPOLINE_SENDER_NO_OUTGOING_NODE = "trampoline/sender/no-outgoing-node";
    /// Pull request 836, sender: and the features of the invoice.
    TRAMPOLINE_SENDER_RECIPIENT_FEATURES = "trampoline/sender/recipient-features";
    /// Pull request 836, sender: no other invoice without the feature is paid so.
    TRAMPOLINE_SENDER_UNSUPPORTED = "trampoline/sender/unsupported";
    /// Pull request 836, sender: every trampoline has the feature.
    TRAMPOLINE_SENDER_HOPS_SUPPORT = "trampoline/sender/hops-support";
    /// Pull request 836, sender: every trampoline gets amount and expiry.
    TRAMPOLINE_SENDER_AMOUNT_CLTV = "trampoline/sender/amount-cltv";
    /// Pull request 836, sender: who forwards gets the next node, and no channel.
    TRAMPOLINE_SENDER_OUTGOING_NODE = "trampoline/sender/outgoing-node";
    /// Pull request 836, sender: the recipient gets the payment secret of the invoice.
    TRAMPOLINE_SENDER_PAYMENT_SECRET = "trampoline/sender/payment-secret";
    /// Pull request 836, sender: a node of a blinded path gets its data.
    TRAMPOLINE_SENDER_BLINDED_DATA = "trampoline/sender/blinded-data";
    /// Pull request 836, sender: the first of them gets the path key.
    TRAMPOLINE_SENDER_BLINDED_PATH_KEY = "trampoline/sender/blinded-path-key";
    /// Pull request 836, sender: the last of them gets amount, expiry and total.
    TRAMPOLINE_SENDER_BLINDED_FINAL_FIELDS = "trampoline/sender/blinded-final-fields";
    /// Pull request 836, sender: none of them gets anything else.
    TRAMPOLINE_SENDER_BLINDED_ONLY = "trampoline/sender/blinded-only";
    /// Pull request 836, sender: a trampoline in front of the path gets amount and expiry.
    TRAMPOLINE_SENDER_PREPENDED_AMOUNT_CLTV = "trampoline/sender/prepended-amount-cltv";
    /// Pull request 836, sender: and the next node.
    TRAMPOLINE_SENDER_PREPENDED_NODE = "trampoline/sender/prepended-node";
    /// Pull request 836, sender: the two onions have session keys of their own.
    TRAMPOLINE_SENDER_SESSION_KEYS = "trampoline/sender/session-keys";
    /// Pull request 836, sender: the trampoline onion lies in the payload of the last hop.
    TRAMPOLINE_SENDER_LAST_HOP = "trampoline/sender/last-hop";
    /// Pull request 836, sender: parts for a trampoline have a payment secret.
    TRAMPOLINE_SENDER_RANDOM_SECRET = "trampoline/sender/random-secret";
    /// Pull request 836, sender: which is not that of the invoice.
    TRAMPOLINE_SENDER_INVOICE_SECRET = "trampoline/sender/invoice-secret";
    /// Pull request 836, receiver: who lacks the feature fails the payment.
    TRAMPOLINE_UNSUPPORTED = "trampoline/receiver/unsupported", Contextual;
    /// Pull request 836, receiver: nothing is forwarded before all parts are there.
    TRAMPOLINE_WAIT_PARTS = "trampoline/receiver/wait-parts", Contextual, Bounded;
    /// Pull request 836, receiver: data comes with a path key in one of the onions.
    TRAMPOLINE_PATH_KEY_MISSING = "trampoline/receiver/path-key-missing";
    /// Pull request 836, receiver: and not in both.
    TRAMPOLINE_PATH_KEY_TWICE = "trampoline/receiver/path-key-twice";
    /// Pull request 836, receiver: the outer expiry is no earlier than the inner one.
    TRAMPOLINE_FINAL_CLTV = "trampoline/receiver/final-cltv", Bounded;
    /// Pull request 836, receiver: the outer total is no lower than the inner amount, with several parts.
    TRAMPOLINE_FINAL_TOTAL = "trampoline/receiver/final-total", Bounded;
    /// Pull request 836, receiver: the outer amount is no lower than the inner one, with one part.
    TRAMPOLINE_FINAL_AMOUNT = "trampoline/receiver/final-amount", Bounded;

    /// Pull request 1149, `update_add_htlc`, sender: held only for a receiver that is expected to be offline.
    PR_1149_HOLD_RECEIVER_OFFLINE = "pr-1149/bolt02/hold/receiver-offline", Contextual;
    /// Pull request 1149, `update_add_htlc`, sender: held only by a sender that will be offline itself.
    PR_1149_HOLD_SENDER_OFFLINE = "pr-1149/bolt02/hold/sender-offline", Contextual;
    /// Pull request 1149, `revoke_and_ack`, sender: a path at least for the message that releases a held HTLC.
    PR_1149_REVOKE_RELEASE_PATHS = "pr-1149/bolt02/revoke/release-paths", Bounded;
    /// Pull request 1149, `revoke_and_ack`, receiver: the recipient is told with `held_htlc_available`.
    PR_1149_AVAILABLE_MESSAGE = "pr-1149/bolt02/available/message";
    /// Pull request 1149, `revoke_and_ack`, receiver: each message has a reply path of its own to the holder.
    PR_1149_AVAILABLE_REPLY_PATH_UNIQUE = "pr-1149/bolt02/available/reply-path-unique";
    /// Pull request 1149, `revoke_and_ack`, receiver: two messages at least over different paths.
    PR_1149_AVAILABLE_TWO_PATHS = "pr-1149/bolt02/available/two-paths", Bounded;
    /// Pull request 1149, payload, writer: a preimage of its own for each payment to a static invoice.
    PR_1149_PAYLOAD_PREIMAGE = "pr-1149/bolt04/static-invoice/preimage";
    /// Pull request 1149, payload, writer: the HTLC is locked to that preimage's hash.
    PR_1149_PAYLOAD_PAYMENT_HASH = "pr-1149/bolt04/static-invoice/payment-hash";
    /// Pull request 1149, payload, writer: the invoice request goes along.
    PR_1149_PAYLOAD_INVOICE_REQUEST = "pr-1149/bolt04/static-invoice/invoice-request";
    /// Pull request 1149, payload, writer: no preimage where the invoice is no static one.
    PR_1149_PAYLOAD_NO_PREIMAGE = "pr-1149/bolt04/static-invoice/no-preimage";
    /// bLIP 66, `offer_paths_request`, sender: there is a reply path.
    BLIP_66_REQUEST_REPLY_PATH = "blip-0066/offer-paths-request/reply-path";
    /// bLIP 66, `offer_paths_request`, recipient: it came over a path that the server made for it.
    BLIP_66_REQUEST_AUTHENTICATE = "blip-0066/offer-paths-request/authenticate", Contextual;
    /// bLIP 66, `offer_paths`, sender: a path at least.
    BLIP_66_PATHS_PATHS = "blip-0066/offer-paths/paths", Bounded;
    /// bLIP 66, `offer_paths`, sender: there is a reply path.
    BLIP_66_PATHS_REPLY_PATH = "blip-0066/offer-paths/reply-path";
    /// bLIP 66, `offer_paths`, recipient: it came over a path that the receiver made for it.
    BLIP_66_PATHS_AUTHENTICATE = "blip-0066/offer-paths/authenticate", Contextual;
    /// bLIP 66, `offer_paths`, recipient: the paths last long enough.
    BLIP_66_PATHS_CHECK_EXPIRY = "blip-0066/offer-paths/check-expiry", Contextual, Bounded;
    /// bLIP 66, `serve_static_invoice`, sender: the offer has paths of `offer_paths`.
    BLIP_66_SERVE_OFFER_PATHS = "blip-0066/serve-static-invoice/offer-paths";
    /// bLIP 66, `serve_static_invoice`, sender: there is a path for invoice requests.
    BLIP_66_SERVE_FORWARD_PATH = "blip-0066/serve-static-invoice/forward-path";
    /// bLIP 66, `serve_static_invoice`, sender: there is a reply path.
    BLIP_66_SERVE_REPLY_PATH = "blip-0066/serve-static-invoice/reply-path";
    /// bLIP 66, `serve_static_invoice`, recipient: it came over a path that the server made for it.
    BLIP_66_SERVE_AUTHENTICATE = "blip-0066/serve-static-invoice/authenticate", Contextual;
    /// bLIP 66, `serve_static_invoice`, recipient: a client has no more invoices than the server allows.
    BLIP_66_SERVE_LIMIT = "blip-0066/serve-static-invoice/limit", Contextual, Bounded;
    /// bLIP 66, `static_invoice_persisted`, recipient: it came over a path that the receiver made for it.
    BLIP_66_PERSISTED_AUTHENTICATE = "blip-0066/static-invoice-persisted/authenticate", Contextual;
    /// bLIP 32, sender of a query: there is a way to answer.
    DNS_QUERY_REPLY_PATH = "blip-0032/query/sender/reply-path";
    /// bLIP 32, sender of a query: the name is printable ASCII and ends in a dot.
    DNS_QUERY_NAME = "blip-0032/query/sender/domain-name";
    /// bLIP 32, recipient of a query: what it answers with are records as RFC 9102 has them.
    DNS_PROOF_FORMAT = "blip-0032/query/recipient/format";
    /// bLIP 32, recipient of a proof: every record is signed in an unbroken chain.
    DNS_PROOF_SIGNATURES = "blip-0032/proof/recipient/signatures";
    /// bLIP 32, recipient of a proof: no signature over SHA-1 or by an RSA key under 1024 bits.
    DNS_PROOF_ALGORITHMS = "blip-0032/proof/recipient/algorithms", Bounded;
    /// bLIP 32, recipient of a proof: every signature holds now.
    DNS_PROOF_TIMES = "blip-0032/proof/recipient/times", Contextual, Bounded;
    /// Fulfillment payloads (pull request 1349), receiver: 32768 bytes at most.
    FULFILLMENT_LENGTH = "fulfillment/receiver/length", Bounded;
    /// Fulfillment payloads (pull request 1344), origin: the tag is the final node's.
    FULFILLMENT_TAG = "fulfillment/origin/tag";
    /// Fulfillment receipt, payer: a payment without one is not proven.
    FULFILLMENT_MISSING = "fulfillment/payer/missing";
    /// Fulfillment receipt, payer: the receipt is that of the payment that was settled.
    FULFILLMENT_SAME_PAYMENT = "fulfillment/payer/same-payment", Contextual;
}

/// A value that a text fixes, such as a hash or an order, and the ways in which a mutant of the
/// reference gets it wrong. Nothing is refused by it, so it is no [`Rule`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Value {
    /// Id of the requirement.
    pub id: &'static str,
    /// The mistakes, each by a name that says what is done instead.
    pub mistakes: &'static [&'static str],
}

macro_rules! values {
    ($($(#[$doc:meta])* $name:ident = $id:literal: $($mistake:literal),+;)*) => {
        $($(#[$doc])* pub const $name: &str = $id;)*

        /// Every value that the reference can be made to get wrong.
        pub const VALUES: &[Value] = &[$(Value { id: $id, mistakes: &[$($mistake),+] }),*];
    };
}

values! {
    /// BOLT 12, invoice request reader: what the offer asks for is multiplied by the quantity.
    INVREQ_EXPECTED_QUANTITY = "bolt12/invoice-request/reader/expected-amount-quantity":
        "quantity-ignored";
    /// BOLT 12, invoice request reader: what the offer asks for is converted into the chain's unit.
    INVREQ_EXPECTED_CURRENCY = "bolt12/invoice-request/reader/expected-amount-currency":
        "not-converted";
    /// BOLT 12, encoding: nothing of the data is a checksum.
    ENCODING_NO_CHECKSUM = "bolt12/encoding/no-checksum": "six-characters-cut";
    /// BOLT 12, signature calculation: the tag of a signature.
    SIGNATURE_TAG = "bolt12/signature/tag": "without-message-name", "without-field-name";
    /// BOLT 12, signature calculation: a leaf is over the whole record.
    SIGNATURE_LEAF = "bolt12/signature/leaf": "value-alone", "tag-of-nonces";
    /// BOLT 12, signature calculation: a nonce is over the type, tagged with the first record.
    SIGNATURE_NONCE = "bolt12/signature/nonce": "whole-record", "tag-without-first-record";
    /// BOLT 12, signature calculation: the smaller of two nodes comes first.
    SIGNATURE_BRANCH = "bolt12/signature/branch": "left-first", "larger-first";
    /// BOLT 12, signature calculation: the tree is deepest at the low end.
    SIGNATURE_SHAPE = "bolt12/signature/shape": "split-in-halves", "last-one-doubled";

    /// Payer proofs, writer: included fields are copied.
    PROOF_WRITER_COPY = "payer-proof/writer/copy": "unknown-left-out";
    /// Payer proofs, writer: one nonce for each included field, in the order of types.
    PROOF_WRITER_LEAF_HASHES = "payer-proof/writer/leaf-hashes": "leaf-for-nonce", "of-omitted-fields";
    /// Payer proofs, writer: a marker for each omitted field but type 0.
    PROOF_WRITER_OMITTED = "payer-proof/writer/omitted": "type-0-too", "types-themselves";
    /// Payer proofs, writer: the marker behind an included field.
    PROOF_WRITER_MARKER_AFTER_INCLUDED = "payer-proof/writer/marker-after-included":
        "counted-on-from-marker";
    /// Payer proofs, writer: the first marker without an included field in front.
    PROOF_WRITER_MARKER_FIRST = "payer-proof/writer/marker-first": "begins-at-2";
    /// Payer proofs, writer: the marker behind another one.
    PROOF_WRITER_MARKER_AFTER_MARKER = "payer-proof/writer/marker-after-marker": "two-more";
    /// Payer proofs, by implementation: 239 is followed by 1000000000.
    PROOF_WRITER_MARKER_JUMP = "payer-proof/writer/marker-jump":
        "no-jump", "no-jump-behind-included";
    /// Payer proofs, writer: the fewest hashes that the tree lacks.
    PROOF_WRITER_MISSING_HASHES = "payer-proof/writer/missing-hashes": "each-omitted-leaf";
    /// Payer proofs, writer: the hashes in the order in which they are combined.
    PROOF_WRITER_MISSING_HASHES_ORDER = "payer-proof/writer/missing-hashes-order": "top-first";
    /// Payer proofs, writer: the invoice's signature is copied.
    PROOF_WRITER_INVOICE_SIGNATURE = "payer-proof/writer/signature": "left-out";
    /// Payer proofs: the note is signed with the rest.
    PROOF_NOTE_SIGNED = "payer-proof/note/signed": "added-unsigned";
    /// Payer proofs: the note may be empty.
    PROOF_NOTE_EMPTY = "payer-proof/note/empty": "left-out";

    /// AMP: a child's preimage.
    AMP_CHILD_PREIMAGE = "amp/child/preimage": "index-little-endian", "without-share";
    /// AMP: a child's payment hash.
    AMP_CHILD_PAYMENT_HASH = "amp/child/payment-hash": "hashed-twice";
    /// AMP: the root is the sum of all shares.
    AMP_RECONSTRUCT_ROOT = "amp/reconstruct/root": "last-share-left-out";

    /// Keysend proof: the commitment.
    KSP_DERIVED_COMMITMENT = "keysend-proof/derivation/commitment": "without-chain", "recipient-last";
    /// Keysend proof: the preimage.
    KSP_DERIVED_PREIMAGE = "keysend-proof/derivation/preimage": "commitment-itself";
    /// Keysend proof: the payment hash.
    KSP_DERIVED_PAYMENT_HASH = "keysend-proof/derivation/payment-hash": "hashed-twice";
    /// Keysend proof: what a receipt signs.
    KSP_DERIVED_RECEIPT_MESSAGE = "keysend-proof/derivation/receipt-message":
        "amount-little-endian", "time-before-amount";
    /// Keysend proof: how algorithm 0 signs it.
    KSP_DERIVED_RECEIPT_BIP340 = "keysend-proof/derivation/receipt-bip340": "untagged";
    /// Keysend proof: how algorithm 1 signs it.
    KSP_DERIVED_RECEIPT_SIGNED_MESSAGE = "keysend-proof/derivation/receipt-signed-message":
        "hashed-once", "upper-case";
    /// Keysend proof: what a claim signs.
    KSP_DERIVED_CLAIM = "keysend-proof/derivation/claim": "challenge-first";

    /// Pull request 1149, `update_add_htlc`, receiver: a held HTLC waits for the message that releases it.
    PR_1149_HOLD_WAIT = "pr-1149/bolt02/hold/wait": "at-once", "any-path";
    /// Pull request 1149, `update_add_htlc`, receiver: a released HTLC is as any other.
    PR_1149_HOLD_RELEASE = "pr-1149/bolt02/hold/release": "early-one-lost", "stays", "twice";
    /// Pull request 1149, `revoke_and_ack`: the release path tells its maker which HTLC it is for.
    PR_1149_AVAILABLE_REPLY_PATH_CONTEXT = "pr-1149/bolt02/available/reply-path-context":
        "htlc-left-out";
    /// Pull request 1149, payload, reader: the HTLC is claimed with the preimage that came with it.
    PR_1149_PAYLOAD_CLAIM = "pr-1149/bolt04/static-invoice/claim": "own-preimage";
    /// bLIP 66, `offer_paths_request`, recipient: it is answered.
    BLIP_66_REQUEST_RESPOND = "blip-0066/offer-paths-request/respond": "no-answer";
    /// bLIP 66, `offer_paths`, sender: a path tells the server which invoice is asked for.
    BLIP_66_PATHS_IDENTIFY = "blip-0066/offer-paths/identify":
        "slot-left-out", "recipient-left-out";
    /// bLIP 66, `offer_paths`, sender: the reply path tells the server which invoice comes over it.
    BLIP_66_PATHS_REPLY_PATH_AGAIN = "blip-0066/offer-paths/reply-path-again":
        "slot-left-out", "recipient-left-out";
    /// bLIP 66, `offer_paths`, recipient: it is answered.
    BLIP_66_PATHS_RESPOND = "blip-0066/offer-paths/respond": "no-answer";
    /// bLIP 66, `offer_paths`, recipient: the reply path is kept.
    BLIP_66_PATHS_KEEP_REPLY_PATH = "blip-0066/offer-paths/keep-reply-path": "forgotten";
    /// bLIP 66, `serve_static_invoice`, recipient: a new invoice takes the place of the old one.
    BLIP_66_SERVE_REPLACE = "blip-0066/serve-static-invoice/replace": "old-one-served";
    /// bLIP 66, `serve_static_invoice`, recipient: invoice and path are stored, then confirmed.
    BLIP_66_SERVE_PERSIST = "blip-0066/serve-static-invoice/persist":
        "not-stored", "path-forgotten", "no-answer";
    /// bLIP 66, `static_invoice_persisted`, sender: nothing is confirmed that is not stored.
    BLIP_66_PERSISTED_WAIT = "blip-0066/static-invoice-persisted/wait": "before-it-is-stored";
    /// bLIP 66, `static_invoice_persisted`, recipient: the offer is ready.
    BLIP_66_PERSISTED_READY = "blip-0066/static-invoice-persisted/ready": "not-ready";
    /// bLIP 66, `static_invoice_persisted`, recipient: the invoice is made anew from time to time.
    BLIP_66_PERSISTED_UPDATE = "blip-0066/static-invoice-persisted/update":
        "never", "by-time-alone", "after-changes-alone";
    /// bLIP 66, static invoice server: a request is answered with the invoice that it is for.
    BLIP_66_SERVER_REPLY = "blip-0066/server/reply": "no-reply", "first-invoice";
    /// bLIP 66, static invoice server: the request goes on to the receiver as well.
    BLIP_66_SERVER_FORWARD = "blip-0066/server/forward": "not-forwarded";
    /// bLIP 32, recipient of a query: the answer goes along the reply path.
    DNS_REPLY = "blip-0032/query/recipient/reply": "without-reply-path";
    /// bLIP 32, sender of a proof: it is for the name that was asked for.
    DNS_PROOF_NAME = "blip-0032/proof/sender/domain-name": "without-its-dot";

    /// Fulfillment payloads (pull request 1344), final node: the stream has a multiple of 256 bytes.
    FULFILLMENT_PADDING = "fulfillment/final/padding": "not-padded";
    /// Fulfillment payloads (pull request 1344), final node: what it encrypts with.
    FULFILLMENT_ENCRYPTION = "fulfillment/final/encryption": "key-of-failures";
    /// Fulfillment payloads (pull request 1344), final node: it does not hide the payload.
    FULFILLMENT_NO_AMMAG = "fulfillment/final/no-ammag": "hidden-at-once";
    /// Fulfillment payloads (pull request 1344), final node: its HMACs leave the payload out.
    FULFILLMENT_FINAL_ATTRIBUTION = "fulfillment/final/attribution": "covered";
    /// Fulfillment payloads (pull request 1344), node on the way: it hides the payload.
    FULFILLMENT_OBFUSCATE = "fulfillment/hop/obfuscate":
        "passed-as-it-came", "stream-of-attribution";
    /// Fulfillment payloads (pull request 1344), node on the way: its HMACs are over what came.
    FULFILLMENT_HOP_ATTRIBUTION = "fulfillment/hop/attribution":
        "not-covered", "covered-as-passed-on";
    /// Fulfillment payloads (pull request 1344), origin: padding is nothing.
    FULFILLMENT_IGNORE_PADDING = "fulfillment/origin/padding": "shown";
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
    /// Nothing with that id can be got wrong in that way.
    #[error("the reference knows no mistake {0}; they are listed in drafts::rules::VALUES")]
    UnknownMistake(String),
}

/// The rules in force: all of them, unless a mutant switched one off or moved its boundary.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    off: Vec<&'static str>,
    shifted: Vec<(&'static str, Shift)>,
    mistakes: Vec<(&'static str, &'static str)>,
    trace: Option<Trace>,
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

    /// Makes one mistake in one value.
    ///
    /// # Errors
    /// [`SwitchError::UnknownMistake`].
    pub fn mistake(mut self, id: &str, name: &str) -> Result<Self, SwitchError> {
        let found = VALUES
            .iter()
            .filter(|value| value.id == id)
            .flat_map(|value| value.mistakes.iter().map(|mistake| (value.id, *mistake)))
            .find(|(_, mistake)| *mistake == name);
        let made = found.ok_or_else(|| SwitchError::UnknownMistake(format!("{id}={name}")))?;
        self.mistakes.push(made);
        Ok(self)
    }

    /// Whether this mistake is to be made in the value.
    #[inline]
    pub fn mistaken(&self, id: &'static str, name: &'static str) -> bool {
        debug_assert!(
            VALUES
                .iter()
                .any(|v| v.id == id && v.mistakes.contains(&name)),
            "{id}={name} is not in the table"
        );
        if let Some(trace) = &self.trace {
            trace.note(id, Switch::Mistake(name));
        }
        self.mistakes.contains(&(id, name))
    }

    /// The same rules, which note from here on every switch that would have changed what one of
    /// them decided.
    ///
    /// Whoever is asked the same again with one switch alone set, and that switch is not in the
    /// trace, decides everything the same, and so answers the same. That saves most of the work
    /// of telling mutants apart.
    #[must_use]
    pub fn traced(mut self) -> (Self, Trace) {
        let trace = Trace::default();
        self.trace = Some(trace.clone());
        (self, trace)
    }

    fn enforces(&self, id: &str) -> bool {
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
        if condition {
            return Ok(());
        }
        if let Some(trace) = &self.trace {
            trace.note(id, Switch::Without);
        }
        if !self.enforces(id) {
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
        let holds = |slack| i128::from(value) <= i128::from(limit) + slack;
        self.compare(id, holds, message)
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
        let holds = |slack| i128::from(value) >= i128::from(limit) - slack;
        self.compare(id, holds, message)
    }

    /// Checks a comparison; `holds` answers it with that much slack.
    #[inline]
    fn compare(
        &self,
        id: &'static str,
        holds: impl Fn(i128) -> bool,
        message: impl FnOnce() -> String,
    ) -> Result<(), Violation> {
        let slack = self.slack(id);
        let condition = holds(slack);
        if let Some(trace) = &self.trace {
            for shift in [Shift::Lax, Shift::Strict] {
                if holds(shift.slack()) != condition {
                    trace.note(id, Switch::Shifted(shift));
                }
            }
        }
        self.check(id, condition, message)
    }

    fn slack(&self, id: &str) -> i128 {
        let shifted = self.shifted.iter().find(|(shifted, _)| *shifted == id);
        shifted.map_or(0, |(_, shift)| shift.slack())
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if *self == Self::default() {
            return f.write_str("all rules");
        }
        let off = self.off.iter().map(|id| format!("without {id}"));
        let shifted = self.shifted.iter().map(|(id, shift)| match shift {
            Shift::Lax => format!("{id} one too lax"),
            Shift::Strict => format!("{id} one too strict"),
        });
        let mistakes = self
            .mistakes
            .iter()
            .map(|(id, how)| format!("{id} wrong: {how}"));
        f.write_str(
            &off.chain(shifted)
                .chain(mistakes)
                .collect::<Vec<_>>()
                .join(", "),
        )
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
    fn values_are_no_rules_and_each_mistake_has_one_name() {
        for (i, value) in VALUES.iter().enumerate() {
            assert!(find(value.id).is_none(), "{} is a rule", value.id);
            assert!(VALUES[..i].iter().all(|other| other.id != value.id));
            for (j, name) in value.mistakes.iter().enumerate() {
                assert!(!value.mistakes[..j].contains(name), "{name} twice");
            }
        }
    }

    #[test]
    fn a_mistake_is_made_only_where_it_is_asked_for() {
        let rules = Rules::all().mistake(SIGNATURE_LEAF, "value-alone").unwrap();
        assert!(rules.mistaken(SIGNATURE_LEAF, "value-alone"));
        assert!(!rules.mistaken(SIGNATURE_LEAF, "tag-of-nonces"));
        assert!(!Rules::all().mistaken(SIGNATURE_LEAF, "value-alone"));
        let (traced, trace) = Rules::all().traced();
        assert!(!traced.mistaken(SIGNATURE_LEAF, "value-alone"));
        let noted: Vec<_> = trace.switches().into_iter().collect();
        assert_eq!(noted, [(SIGNATURE_LEAF, Switch::Mistake("value-alone"))]);
        assert_eq!(
            rules.to_string(),
            "bolt12/signature/leaf wrong: value-alone"
        );
    }

    #[test]
    fn a_trace_holds_the_switches_that_would_decide_otherwise() {
        let all = [
            Switch::Without,
            Switch::Shifted(Shift::Lax),
            Switch::Shifted(Shift::Strict),
        ];
        let rules = |switch| match switch {
            Switch::Without => Rules::all().without(TLV_LENGTH).unwrap(),
            Switch::Shifted(shift) => Rules::all().shift(TLV_LENGTH, shift).unwrap(),
            Switch::Mistake(_) => unreachable!("not one of all"),
        };
        for (value, at_most) in [2, 3, 4, 5, 6]
            .map(|v| [(v, true), (v, false)])
            .as_flattened()
        {
            let ask = |rules: &Rules| match at_most {
                true => rules.at_most(TLV_LENGTH, *value, 4, String::new),
                false => rules.at_least(TLV_LENGTH, *value, 4, String::new),
            };
            let (traced, trace) = Rules::all().traced();
            let right = ask(&traced);
            assert_eq!(right, ask(&Rules::all()));
            for switch in all {
                let noted = trace.switches().contains(&(TLV_LENGTH, switch));
                let differs = ask(&rules(switch)) != right;
                assert_eq!(noted, differs, "{value} {at_most} {switch:?}");
            }
        }
        let (traced, trace) = Rules::all().traced();
        assert!(traced.check(TLV_ORDER, true, String::new).is_ok());
        assert!(trace.switches().is_empty());
        assert!(traced.check(TLV_ORDER, false, String::new).is_err());
        let noted: Vec<_> = trace.switches().into_iter().collect();
        assert_eq!(noted, [(TLV_ORDER, Switch::Without)]);
    }

    #[test]
    fn switches_name_what_they_do_not_know() {
        assert!(matches!(
            Rules::all().mistake(SIGNATURE_LEAF, "odd"),
            Err(SwitchError::UnknownMistake(m)) if m == "bolt12/signature/leaf=odd"
        ));
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
