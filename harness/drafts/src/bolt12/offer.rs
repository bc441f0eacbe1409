//! Offers: the reader with every rule of BOLT 12, and the writer.

use super::merkle::{self, Node};
use crate::bech32;
use crate::blinding::BlindedPath;
use crate::features;
use crate::keys::Point;
use crate::rules::{self, Rules, Violation};
use crate::tlv::{self, Record};
use crate::value::{MAX_MSAT, Reader};

/// The human-readable prefix.
pub const PREFIX: &str = "lno";

/// A chain, by the hash of its genesis block in the order of the wire.
pub type ChainHash = [u8; 32];

/// Bitcoin's main chain.
pub const BITCOIN: ChainHash = [
    0x6f, 0xe2, 0x8c, 0x0a, 0xb6, 0xf1, 0xb3, 0x72, 0xc1, 0xa6, 0xa2, 0x46, 0xae, 0x63, 0xf7, 0x4f,
    0x93, 0x1e, 0x83, 0x65, 0xe1, 0x5a, 0x08, 0x9c, 0x68, 0xd6, 0x19, 0x00, 0x00, 0x00, 0x00, 0x00,
];

/// Field numbers.
pub mod kind {
    #![allow(missing_docs)]
    pub const CHAINS: u64 = 2;
    pub const METADATA: u64 = 4;
    pub const CURRENCY: u64 = 6;
    pub const AMOUNT: u64 = 8;
    pub const DESCRIPTION: u64 = 10;
    pub const FEATURES: u64 = 12;
    pub const ABSOLUTE_EXPIRY: u64 = 14;
    pub const PATHS: u64 = 16;
    pub const ISSUER: u64 = 18;
    pub const QUANTITY_MAX: u64 = 20;
    pub const ISSUER_ID: u64 = 22;
}

/// Features of offers that the reader knows: BOLT 12 defines none.
const KNOWN_FEATURES: &[u64] = &[];

/// An offer that was read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Offer {
    /// All records, unknown odd ones included.
    pub records: Vec<Record>,
    /// Chains it is valid for; absent means bitcoin.
    pub chains: Option<Vec<ChainHash>>,
    /// The issuer's own.
    pub metadata: Option<Vec<u8>>,
    /// ISO 4217 code of the amount's currency.
    pub currency: Option<String>,
    /// Amount of one item: in msat, or in the minor unit of `currency`.
    pub amount: Option<u64>,
    /// What is paid for.
    pub description: Option<String>,
    /// Feature bitmap.
    pub features: Option<Vec<u8>>,
    /// Last second of validity, since 1970.
    pub absolute_expiry: Option<u64>,
    /// Paths to the issuer.
    pub paths: Option<Vec<BlindedPath>>,
    /// Who issues it.
    pub issuer: Option<String>,
    /// Highest number of items; 0 means no limit, absent means one item.
    pub quantity_max: Option<u64>,
    /// Key to ask for an invoice.
    pub issuer_id: Option<Point>,
}

impl Offer {
    /// Root of the Merkle tree over the offer's records; zeros for an offer without any, which
    /// only a reader without rules lets through.
    pub fn id(&self) -> Node {
        merkle::tree(&Rules::all(), &self.records)
            .map(|tree| tree.root)
            .unwrap_or_default()
    }
}

/// What the reader knows beside the offer. What it does not know it does not check.
#[derive(Clone, Copy, Debug, Default)]
pub struct Context<'a> {
    /// The time, in seconds since 1970.
    pub now: Option<u64>,
    /// The chains on which the reader takes invoices.
    pub chains: Option<&'a [ChainHash]>,
}

/// Reads an offer from its string.
///
/// The encoding is checked first, then the framing of the stream, the range of the types,
/// unknown even types, the form of each value, and then the rules of the reader in the order of
/// the text.
///
/// # Errors
/// A [`Violation`] of a `bolt12/encoding/…`, `bolt12/offer/…`, `bolt01/tlv/…` or
/// `bolt01/types/…` rule.
pub fn decode(rules: &Rules, text: &str, context: Context<'_>) -> Result<Offer, Violation> {
    let decoded = bech32::decode(rules, text)?;
    rules.check(rules::OFFER_PREFIX, decoded.prefix == PREFIX, || {
        format!("the prefix is {}, not {PREFIX}", decoded.prefix)
    })?;
    read(rules, &decoded.bytes, context)
}

/// Reads an offer from its TLV stream.
///
/// # Errors
/// As [`decode`], the encoding aside.
pub fn read(rules: &Rules, stream: &[u8], context: Context<'_>) -> Result<Offer, Violation> {
    let records = tlv::frames(rules, stream)?;
    check_ranges(rules, rules::OFFER_TYPE_RANGE, &records)?;
    tlv::refuse_unknown_even(rules, rules::TLV_UNKNOWN_EVEN, &records, is_known)?;
    let offer = fields(rules, records)?;
    check(rules, &offer, context)?;
    Ok(offer)
}

/// Whether a type is a field of offers.
pub(super) fn is_known(kind: u64) -> bool {
    matches!(kind, 2 | 4 | 6 | 8 | 10 | 12 | 14 | 16 | 18 | 20 | 22)
}

/// Whether a type lies in the ranges of offers, 1 to 79 and 1000000000 to 1999999999.
pub(super) fn in_range(kind: u64) -> bool {
    matches!(kind, 1..=79 | 1_000_000_000..=1_999_999_999)
}

/// BOLT 12, offers: types 1 to 79 and 1000000000 to 1999999999, for writers and readers.
fn check_ranges(rules: &Rules, id: &'static str, records: &[Record]) -> Result<(), Violation> {
    records
        .iter()
        .map(|record| record.kind)
        .try_for_each(|kind| {
            let message = || format!("type {kind} is outside of the ranges of offers");
            if kind < 1_000_000_000 / 2 {
                rules.at_least(id, kind, 1, message)?;
                rules.at_most(id, kind, 79, message)
            } else {
                rules.at_least(id, kind, 1_000_000_000, message)?;
                rules.at_most(id, kind, 1_999_999_999, message)
            }
        })
}

/// Reads the value of each known field.
pub(super) fn fields(rules: &Rules, records: Vec<Record>) -> Result<Offer, Violation> {
    let mut offer = Offer::default();
    for record in &records {
        let named = |name| Reader::new(rules, name, &record.value);
        match record.kind {
            kind::CHAINS => {
                let mut value = named("offer_chains");
                let mut chains = Vec::new();
                while !value.is_empty() {
                    chains.push(value.array()?);
                }
                offer.chains = Some(chains);
            }
            kind::METADATA => offer.metadata = Some(record.value.clone()),
            kind::CURRENCY => offer.currency = Some(named("offer_currency").utf8()?),
            kind::AMOUNT => offer.amount = Some(named("offer_amount").tu64()?),
            kind::DESCRIPTION => offer.description = Some(named("offer_description").utf8()?),
            kind::FEATURES => offer.features = Some(record.value.clone()),
            kind::ABSOLUTE_EXPIRY => {
                offer.absolute_expiry = Some(named("offer_absolute_expiry").tu64()?);
            }
            kind::PATHS => {
                let mut value = named("offer_paths");
                let mut paths = Vec::new();
                while !value.is_empty() {
                    paths.push(BlindedPath::read(rules, &mut value)?);
                }
                offer.paths = Some(paths);
            }
            kind::ISSUER => offer.issuer = Some(named("offer_issuer").utf8()?),
            kind::QUANTITY_MAX => offer.quantity_max = Some(named("offer_quantity_max").tu64()?),
            kind::ISSUER_ID => {
                let mut value = named("offer_issuer_id");
                let bytes = value.array()?;
                value.end()?;
                // The length first: what is too long is no case of a bad point.
                named("offer_issuer_id").point()?;
                offer.issuer_id = Some(bytes);
            }
            _ => {}
        }
    }
    // BOLT 1, fundamental types: the bound is on bitcoin's units, so a currency has none.
    if let (Some(amount), None) = (offer.amount, &offer.currency) {
        rules.at_most(rules::TYPES_AMOUNT_BOUND, amount, MAX_MSAT, || {
            format!("offer_amount {amount} msat is more than there are bitcoin")
        })?;
    }
    Ok(Offer { records, ..offer })
}

/// BOLT 12, offer reader: the conditions under which it must not respond, in the text's order.
pub(super) fn check(rules: &Rules, offer: &Offer, context: Context<'_>) -> Result<(), Violation> {
    // Unknown odd bits are ignored.
    let unknown = offer
        .features
        .as_deref()
        .and_then(|f| features::unknown_even(f, KNOWN_FEATURES));
    rules.check(
        rules::OFFER_FEATURES_UNKNOWN_EVEN,
        unknown.is_none(),
        || {
            format!(
                "feature {} is even and unknown",
                unknown.unwrap_or_default()
            )
        },
    )?;
    if let Some(chains) = &offer.chains {
        rules.at_least(rules::OFFER_CHAINS_EMPTY, chains.len() as u64, 1, || {
            "offer_chains has no entry, so no invoice can be requested".into()
        })?;
    }
    if let Some(accepted) = context.chains {
        match &offer.chains {
            None => rules.check(
                rules::OFFER_CHAIN_BITCOIN,
                accepted.contains(&BITCOIN),
                || "the offer is for bitcoin, which is not accepted".into(),
            )?,
            Some(chains) => rules.check(
                rules::OFFER_CHAINS,
                chains.iter().any(|chain| accepted.contains(chain)),
                || "none of the offer's chains is accepted".into(),
            )?,
        }
    }
    rules.check(
        rules::OFFER_AMOUNT_WITHOUT_DESCRIPTION,
        offer.amount.is_none() || offer.description.is_some(),
        || "there is an offer_amount and no offer_description".into(),
    )?;
    if let Some(amount) = offer.amount {
        rules.at_least(rules::OFFER_AMOUNT_ZERO, amount, 1, || {
            "offer_amount is zero".into()
        })?;
    }
    rules.check(
        rules::OFFER_CURRENCY_WITHOUT_AMOUNT,
        offer.currency.is_none() || offer.amount.is_some(),
        || "there is an offer_currency and no offer_amount".into(),
    )?;
    rules.check(
        rules::OFFER_ISSUER_OR_PATHS,
        offer.issuer_id.is_some() || offer.paths.is_some(),
        || "there is neither an offer_issuer_id nor offer_paths".into(),
    )?;
    for (path, at) in offer.paths.iter().flatten().zip(1..) {
        rules.at_least(rules::OFFER_PATH_HOPS, path.hops.len() as u64, 1, || {
            format!("path {at} of offer_paths has no hops")
        })?;
    }
    if let (Some(now), Some(expiry)) = (context.now, offer.absolute_expiry) {
        rules.at_most(rules::OFFER_EXPIRY, now, expiry, || {
            format!("the offer expired at {expiry}, and it is {now}")
        })?;
    }
    Ok(())
}

/// Writes an offer by the rules of the writer that its records alone can break.
///
/// # Errors
/// A [`Violation`] of a `bolt12/offer/writer/…` rule, of `bolt01/tlv/sender/order`, or of the
/// form of a value.
pub fn encode(rules: &Rules, records: &[Record]) -> Result<String, Violation> {
    let stream = tlv::encode(rules, records)?;
    check_ranges(rules, rules::OFFER_WRITER_TYPE_RANGE, records)?;
    let offer = fields(rules, records.to_vec())?;
    if let Some(amount) = offer.amount {
        rules.at_least(rules::OFFER_WRITER_AMOUNT_POSITIVE, amount, 1, || {
            "offer_amount is zero".into()
        })?;
        rules.check(
            rules::OFFER_WRITER_AMOUNT_DESCRIPTION,
            offer.description.is_some(),
            || "an offer with an amount needs an offer_description".into(),
        )?;
    }
    if let Some(currency) = &offer.currency {
        rules.check(
            rules::OFFER_WRITER_NO_CURRENCY,
            offer.amount.is_some(),
            || "there is an offer_currency and no offer_amount".into(),
        )?;
        let is_code = currency.len() == 3 && currency.bytes().all(|b| b.is_ascii_uppercase());
        rules.check(rules::OFFER_WRITER_CURRENCY_CODE, is_code, || {
            format!("offer_currency {currency:?} is no ISO 4217 code of three letters")
        })?;
    }
    rules.check(
        rules::OFFER_WRITER_ISSUER_ID,
        offer.paths.is_some() || offer.issuer_id.is_some(),
        || "an offer without offer_paths needs an offer_issuer_id".into(),
    )?;
    Ok(bech32::encode(PREFIX, &stream))
}

/// Writes records as an offer, whatever they are; a builder of invalid offers needs that.
pub fn encode_unchecked(records: &[Record]) -> String {
    bech32::encode(PREFIX, &tlv::encode_unchecked(records))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::keys;
    use crate::value::truncated;
    use bitcoin::secp256k1::SecretKey;
    use proptest::prelude::*;

    fn key() -> Vec<u8> {
        keys::public(&SecretKey::from_slice(&[7; 32]).unwrap())
            .serialize()
            .to_vec()
    }

    /// A record to put in its type's place, or to take out.
    type Change<'a> = (u64, Option<&'a [u8]>);

    /// A valid offer with `changes` made.
    fn with(changes: &[Change<'_>]) -> Vec<Record> {
        let mut fields = std::collections::BTreeMap::from([
            (kind::AMOUNT, vec![5]),
            (kind::DESCRIPTION, b"tea".to_vec()),
            (kind::ISSUER_ID, key()),
        ]);
        for (kind, value) in changes {
            match value {
                Some(value) => fields.insert(*kind, value.to_vec()),
                None => fields.remove(kind),
            };
        }
        fields
            .into_iter()
            .map(|(kind, value)| Record { kind, value })
            .collect()
    }

    fn path(hops: u8) -> Vec<u8> {
        let mut path = [key(), key(), vec![hops]].concat();
        for _ in 0..hops {
            path.extend_from_slice(&key());
            path.extend_from_slice(&[0, 1, 0xaa]);
        }
        path
    }

    fn rule(rules: &Rules, records: &[Record], context: Context<'_>) -> Option<&'static str> {
        decode(rules, &encode_unchecked(records), context)
            .err()
            .map(|v| v.rule)
    }

    /// Every rule of the reader isolates its case: named with it, accepted without it.
    #[test]
    fn each_rule_is_named_and_can_be_off() {
        let any = Context::default();
        let other = Context {
            chains: Some(&[[1; 32]]),
            now: None,
        };
        let later = Context {
            now: Some(101),
            chains: None,
        };
        let no_hops = path(0);
        let good_path = path(1);
        let bad_key = [&[4][..], &[0; 32]].concat();
        let mut odd_start = good_path.clone();
        odd_start[0] = 7;
        let two_paths = [good_path.clone(), no_hops.clone()].concat();
        let too_much = truncated(MAX_MSAT + 1);
        let cases: &[(&[Change<'_>], Context<'_>, &str)] = &[
            (&[(81, Some(&[]))], any, rules::OFFER_TYPE_RANGE),
            (&[(999_999_999, Some(&[]))], any, rules::OFFER_TYPE_RANGE),
            (&[(2_000_000_001, Some(&[]))], any, rules::OFFER_TYPE_RANGE),
            (&[(u64::MAX, Some(&[]))], any, rules::OFFER_TYPE_RANGE),
            (&[(24, Some(&[]))], any, rules::TLV_UNKNOWN_EVEN),
            (&[(1_000_000_002, Some(&[]))], any, rules::TLV_UNKNOWN_EVEN),
            (&[(12, Some(&[1]))], any, rules::OFFER_FEATURES_UNKNOWN_EVEN),
            (&[(2, Some(&[]))], any, rules::OFFER_CHAINS_EMPTY),
            (&[(2, Some(&[0; 33]))], any, rules::TLV_VALUE_LENGTH),
            (&[], other, rules::OFFER_CHAIN_BITCOIN),
            (&[(2, Some(&[2; 64]))], other, rules::OFFER_CHAINS),
            (&[(10, None)], any, rules::OFFER_AMOUNT_WITHOUT_DESCRIPTION),
            (&[(8, Some(&[]))], any, rules::OFFER_AMOUNT_ZERO),
            (&[(8, Some(&[0, 5]))], any, rules::TLV_VALUE_MINIMAL),
            (&[(8, Some(&too_much))], any, rules::TYPES_AMOUNT_BOUND),
            (
                &[(6, Some(b"EUR")), (8, None)],
                any,
                rules::OFFER_CURRENCY_WITHOUT_AMOUNT,
            ),
            (&[(6, Some(b"EU\xff"))], any, rules::TYPES_UTF8),
            (&[(10, Some(b"\xc3"))], any, rules::TYPES_UTF8),
            (&[(18, Some(b"\xc3"))], any, rules::TYPES_UTF8),
            (&[(22, None)], any, rules::OFFER_ISSUER_OR_PATHS),
            (&[(22, Some(&bad_key))], any, rules::TYPES_POINT),
            (&[(22, Some(&[2; 32]))], any, rules::TLV_VALUE_LENGTH),
            (&[(16, Some(&no_hops))], any, rules::OFFER_PATH_HOPS),
            (&[(16, Some(&two_paths))], any, rules::OFFER_PATH_HOPS),
            (
                &[(16, Some(&odd_start))],
                any,
                rules::TYPES_SCIDDIR_OR_PUBKEY,
            ),
            (&[(14, Some(&[100]))], later, rules::OFFER_EXPIRY),
        ];
        for (changes, context, id) in cases {
            let records = with(changes);
            assert_eq!(
                rule(&Rules::all(), &records, *context),
                Some(*id),
                "{changes:?}"
            );
            let off = Rules::all().without(id).unwrap();
            // A key cut short is no point either.
            if *id != rules::TLV_VALUE_LENGTH {
                assert_eq!(
                    rule(&off, &records, *context),
                    None,
                    "{changes:?} without {id}"
                );
            }
        }
    }

    #[test]
    fn even_types_of_other_messages_are_out_of_range_first() {
        for kind in [0, 80, 240, 2_000_000_000] {
            let records = with(&[(kind, Some(&[]))]);
            let refused = rule(&Rules::all(), &records, Context::default());
            assert_eq!(refused, Some(rules::OFFER_TYPE_RANGE), "{kind}");
        }
    }

    #[test]
    fn what_the_text_allows_is_accepted() {
        let any = Context::default();
        let bitcoin = Context {
            chains: Some(&[BITCOIN]),
            now: Some(100),
        };
        let good_path = path(2);
        let limit = truncated(MAX_MSAT);
        let beyond = truncated(MAX_MSAT + 1);
        let cases: &[(&[Change<'_>], Context<'_>)] = &[
            (&[], any),
            (&[], bitcoin),
            (&[(2, Some(&[&BITCOIN[..], &[9; 32]].concat()))], bitcoin),
            (&[(14, Some(&[100]))], bitcoin),
            (&[(8, None), (10, None)], any),
            (&[(8, Some(&[1]))], any),
            (&[(8, Some(&limit))], any),
            (&[(6, Some(b"EUR")), (8, Some(&beyond))], any),
            (&[(12, Some(&[2]))], any),
            (&[(12, Some(&[]))], any),
            (&[(16, Some(&good_path)), (22, None)], any),
            (
                &[
                    (79, Some(&[])),
                    (1_000_000_001, Some(&[])),
                    (1_999_999_999, Some(&[])),
                ],
                any,
            ),
            (&[(1, Some(&[1, 2])), (20, Some(&[]))], any),
        ];
        for (changes, context) in cases {
            assert_eq!(
                rule(&Rules::all(), &with(changes), *context),
                None,
                "{changes:?}"
            );
        }
    }

    #[test]
    fn expiry_and_chains_depend_on_the_context() {
        let text = encode_unchecked(&with(&[(14, Some(&[100]))]));
        let refused = decode(
            &Rules::all(),
            &text,
            Context {
                now: Some(101),
                chains: None,
            },
        )
        .unwrap_err();
        assert!(refused.is_contextual());
        assert!(
            !decode(&Rules::all(), "lnx1", Context::default())
                .unwrap_err()
                .is_contextual()
        );
    }

    #[test]
    fn the_prefix_is_that_of_offers() {
        let lnr = bech32::encode("lnr", &tlv::encode_unchecked(&with(&[])));
        let refused = decode(&Rules::all(), &lnr, Context::default()).unwrap_err();
        assert_eq!(refused.rule, rules::OFFER_PREFIX);
        let off = Rules::all().without(rules::OFFER_PREFIX).unwrap();
        assert!(decode(&off, &lnr, Context::default()).is_ok());
    }

    #[test]
    fn the_writer_keeps_its_rules() {
        let cases: &[(&[Change<'_>], &str)] = &[
            (&[(80, Some(&[]))], rules::OFFER_WRITER_TYPE_RANGE),
            (&[(8, Some(&[]))], rules::OFFER_WRITER_AMOUNT_POSITIVE),
            (&[(10, None)], rules::OFFER_WRITER_AMOUNT_DESCRIPTION),
            (
                &[(6, Some(b"EUR")), (8, None)],
                rules::OFFER_WRITER_NO_CURRENCY,
            ),
            (&[(6, Some(b"EU"))], rules::OFFER_WRITER_CURRENCY_CODE),
            (&[(6, Some(b"eur"))], rules::OFFER_WRITER_CURRENCY_CODE),
            (&[(22, None)], rules::OFFER_WRITER_ISSUER_ID),
            (&[(22, Some(&[2; 34]))], rules::TLV_VALUE_LENGTH),
        ];
        for (changes, id) in cases {
            let records = with(changes);
            assert_eq!(encode(&Rules::all(), &records).unwrap_err().rule, *id);
            assert!(
                encode(&Rules::all().without(id).unwrap(), &records).is_ok(),
                "{id}"
            );
        }
        let mut reversed = with(&[]);
        reversed.reverse();
        assert_eq!(
            encode(&Rules::all(), &reversed).unwrap_err().rule,
            rules::TLV_SENDER_ORDER
        );
    }

    #[test]
    fn an_offer_comes_back_with_its_fields() {
        let paths = path(1);
        let records = with(&[(16, Some(&paths)), (20, Some(&[])), (33, Some(&[1]))]);
        let offer = decode(
            &Rules::all(),
            &encode(&Rules::all(), &records).unwrap(),
            Context::default(),
        )
        .unwrap();
        assert_eq!(offer.records, records);
        assert_eq!(offer.amount, Some(5));
        assert_eq!(offer.description.as_deref(), Some("tea"));
        assert_eq!(offer.quantity_max, Some(0));
        assert_eq!(offer.paths.as_ref().unwrap()[0].encode().unwrap(), paths);
        assert_eq!(
            offer.id(),
            merkle::tree(&Rules::all(), &records).unwrap().root
        );
    }

    proptest! {
        #[test]
        fn any_stream_is_read_or_refused(
            mut fields in prop::collection::btree_map(0_u64..30, prop::collection::vec(any::<u8>(), 0..40), 0..5),
            which in 0..rules::ALL.len(),
            now: u64,
        ) {
            fields.insert(kind::PATHS, path(1)[..fields.len().min(101)].to_vec());
            let records: Vec<_> = fields.into_iter().map(|(kind, value)| Record { kind, value }).collect();
            let text = encode_unchecked(&records);
            let context = Context { now: Some(now), chains: Some(&[BITCOIN]) };
            let off = Rules::all().without(rules::ALL[which].id).unwrap();
            for rules in [Rules::all(), off] {
                let _ = (decode(&rules, &text, context), encode(&rules, &records));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "\\PC{0,60}") {
            let _ = decode(&Rules::all(), &text, Context::default());
        }
    }
}
