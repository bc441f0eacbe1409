//! Onions and the failures that come back: BOLT 4.

use crate::Outcome;
use crate::operations::{hexes, public_key, refused, secret_key};
use crate::payload;
use lnconform_drafts::failure::{self, ATTRIBUTION, Attribution, Decoded};
use lnconform_drafts::payload::Position;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::{bigsize, onion};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Map, Value, json};

/// Reads each of the `hops` and says which one is at fault.
pub(crate) fn hops<T>(
    p: Params<'_>,
    name: &str,
    read: impl Fn(Params<'_>) -> Result<T, OpError>,
) -> Result<Vec<T>, OpError> {
    p.list(name)?
        .iter()
        .enumerate()
        .map(|(at, hop)| {
            read(Params::new(hop)).map_err(|e| OpError {
                message: format!("{name}[{at}]: {}", e.message),
                ..e
            })
        })
        .collect()
}

/// Each hop's `payload` is behind its length, as the specification's vector file has it. Params
/// beside those of the protocol: `raw` takes payloads that do not begin with their length.
pub(crate) fn build(rules: &Rules, params: &Value) -> Outcome {
    build_sized(rules, params, |_| onion::PAYMENT_SIZE)
}

/// Builds an onion; without a `size` it has the one that `otherwise` gives.
pub(crate) fn build_sized(
    rules: &Rules,
    params: &Value,
    otherwise: impl Fn(&[onion::Hop]) -> usize,
) -> Outcome {
    built(rules, params, otherwise).map(|built| shown(&built).done())
}

fn built(
    rules: &Rules,
    params: &Value,
    otherwise: impl Fn(&[onion::Hop]) -> usize,
) -> Result<onion::Built, OpError> {
    let p = Params::new(params);
    let session_key = secret_key(p, "session_key")?;
    let associated_data = associated_data(p)?;
    let raw = p.maybe("raw", Params::bool)?.unwrap_or(false);
    let hops = hops(p, "hops", |hop| {
        let pubkey = public_key(hop, "pubkey")?;
        let framed = hop.hex("payload")?;
        if !raw && !is_framed(&framed) {
            return Err(OpError::invalid(
                "param payload does not begin with its own length as a bigsize; \
                 add it, or set raw to build a malformed onion",
            ));
        }
        Ok(onion::Hop { pubkey, framed })
    })?;
    let size = match p.maybe("size", Params::u32)? {
        // What does not fit into usize is refused as too large.
        Some(size) => usize::try_from(size).unwrap_or(usize::MAX),
        None => otherwise(&hops),
    };
    onion::build(rules, &session_key, &associated_data, &hops, size).map_err(error)
}

/// The packet and what the builder shares with each hop.
pub(crate) fn shown(built: &onion::Built) -> ResultObject {
    ResultObject::new()
        .with("onion", hex(&built.packet))
        .with("shared_secrets", hexes(&built.shared_secrets))
}

/// As `onion.build`, with every value on the way, one a hop: what each receives (`onions`), the
/// ephemeral keys and the factors between them.
pub(crate) fn trace(rules: &Rules, params: &Value) -> Outcome {
    let built = built(rules, params, |_| onion::PAYMENT_SIZE)?;
    Ok(shown(&built)
        .with("ephemeral_keys", hexes(&built.ephemeral_keys))
        .with("blinding_factors", hexes(&built.blinding_factors))
        .with("onions", hexes(&built.packets))
        .done())
}

/// The keys that a shared secret gives, by the names of the text.
pub(crate) fn keys(_: &Rules, params: &Value) -> Outcome {
    let secret = Params::new(params).array::<32>("shared_secret")?;
    Ok(ResultObject::new()
        .with("rho", hex(onion::rho(&secret)))
        .with("mu", hex(onion::mu(&secret)))
        .with("um", hex(failure::um(&secret)))
        .with("ammag", hex(failure::ammag(&secret)))
        .with("ammagext", hex(failure::ammagext(&secret)))
        .done())
}

pub(crate) fn associated_data(p: Params<'_>) -> Result<Vec<u8>, OpError> {
    Ok(p.maybe("associated_data", Params::hex)?.unwrap_or_default())
}

/// Whether bytes are a payload behind its length.
pub(crate) fn is_framed(bytes: &[u8]) -> bool {
    bigsize::decode(&Rules::all(), bytes)
        .is_ok_and(|(length, payload)| length == payload.len() as u64)
}

pub(crate) fn error(error: onion::Error) -> OpError {
    match error {
        onion::Error::Rule(violation) => refused(violation),
        other => OpError::invalid(other.to_string()),
    }
}

/// Params beside those of the protocol: `size` demands a size of the hop payloads, `path_key`
/// peels inside a blinded path. `payload` is behind its length, as the hop payload of
/// `onion.build` is; `tlvs` is the same without it.
pub(crate) fn peel(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let node_secret = secret_key(p, "node_secret")?;
    let packet = p.hex("onion")?;
    let associated_data = associated_data(p)?;
    let size = p.maybe("size", Params::u32)?.map(|size| size as usize);
    let path_key = p.maybe("path_key", public_key)?;
    let context = onion::Context {
        associated_data: &associated_data,
        size,
        path_key,
    };
    let peeled = onion::peel(rules, &node_secret, &packet, context).map_err(error)?;
    Ok(ResultObject::new()
        .with("payload", hex(onion::frame(&peeled.payload)))
        .with("tlvs", hex(&peeled.payload))
        .with("shared_secret", hex(peeled.shared_secret))
        .maybe("next_onion", peeled.next.map(hex))
        .done())
}

/// What a node does with the onion of an HTLC: it peels a layer, as `onion.peel`, and reads the
/// payload with what it knows, as `payload.decode`; `next_onion` says whether it is the last hop.
pub(crate) fn process(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let node_secret = secret_key(p, "node_secret")?;
    let packet = p.hex("onion")?;
    let associated_data = associated_data(p)?;
    let context = onion::Context {
        associated_data: &associated_data,
        size: Some(onion::PAYMENT_SIZE),
        path_key: p.maybe("path_key", public_key)?,
    };
    let peeled = onion::peel(rules, &node_secret, &packet, context).map_err(error)?;
    let position = Position {
        last: peeled.next.is_none(),
        trampoline: false,
    };
    Ok(payload::read(rules, p, &peeled.payload, position)?
        .with("shared_secret", hex(peeled.shared_secret))
        .maybe("next_onion", peeled.next.map(hex))
        .done())
}

/// Peels an onion hop by hop, the next onion going to the next of `node_secrets`, and answers what
/// every hop reads: `payloads` (behind their lengths) and `shared_secrets`. The last secret must be
/// the final hop's.
pub(crate) fn peel_route(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secrets = p.list("node_secrets")?;
    let associated_data = associated_data(p)?;
    let mut packet = Some(p.hex("onion")?);
    let (mut payloads, mut shared_secrets) = (Vec::new(), Vec::new());
    for (at, secret) in secrets.iter().enumerate() {
        let one = json!({ "node_secrets": secret });
        let node_secret = secret_key(Params::new(&one), "node_secrets")?;
        let Some(onion) = packet.take() else {
            return Err(OpError::invalid(format!(
                "the route ends at hop {}, and {} node_secrets were given",
                at - 1,
                secrets.len()
            )));
        };
        let context = onion::Context {
            associated_data: &associated_data,
            size: None,
            path_key: None,
        };
        let peeled = onion::peel(rules, &node_secret, &onion, context).map_err(|e| OpError {
            hop: u32::try_from(at).ok(),
            ..error(e)
        })?;
        payloads.push(hex(onion::frame(&peeled.payload)));
        shared_secrets.push(hex(peeled.shared_secret));
        packet = peeled.next;
    }
    if packet.is_some() {
        return Err(OpError::invalid(
            "the last of node_secrets is not the final hop's",
        ));
    }
    Ok(ResultObject::new()
        .with("payloads", payloads)
        .with("shared_secrets", shared_secrets)
        .done())
}

/// Secrets in a list of hex strings.
pub(crate) fn secrets(p: Params<'_>, name: &str) -> Result<Vec<[u8; 32]>, OpError> {
    p.list(name)?
        .iter()
        .map(|secret| Params::new(&json!({ name: secret })).array::<32>(name))
        .collect()
}

/// Attribution data of the right length; another one breaks its rule.
pub(crate) fn attribution(rules: &Rules, p: Params<'_>) -> Result<Option<Attribution>, OpError> {
    let Some(bytes) = p.maybe("attribution_data", Params::hex)? else {
        return Ok(None);
    };
    let got = bytes.len();
    rules
        .check(
            lnconform_drafts::rules::ATTRIBUTION_LENGTH,
            got == ATTRIBUTION,
            || format!("attribution data has {got} bytes, not {ATTRIBUTION}"),
        )
        .map_err(refused)?;
    let mut data = [0; ATTRIBUTION];
    let taken = got.min(ATTRIBUTION);
    data[..taken].copy_from_slice(&bytes[..taken]);
    Ok(Some(data))
}

fn create(rules: &Rules, params: &Value) -> Result<failure::Created, OpError> {
    let p = Params::new(params);
    let secret = p.array::<32>("shared_secret")?;
    let failure = p.hex("failure")?;
    let padded = p.maybe("pad_to", Params::u32)?;
    let padded = padded.map_or(failure::PADDED, |n| n as usize);
    failure::create(rules, &secret, &failure, padded).map_err(|e| match e {
        failure::CreateError::Rule(violation) => refused(violation),
        other => OpError::invalid(other.to_string()),
    })
}

/// `failure` is code and data.
pub(crate) fn failure_create(rules: &Rules, params: &Value) -> Outcome {
    let created = create(rules, params)?;
    Ok(ResultObject::new()
        .with("packet", hex(&created.packet))
        .done())
}

/// The same before it is hidden: `plain`, and its `body` without the HMAC.
pub(crate) fn failure_plain(rules: &Rules, params: &Value) -> Outcome {
    let created = create(rules, params)?;
    Ok(ResultObject::new()
        .with("plain", hex(&created.plain))
        .with("body", hex(&created.plain[32..]))
        .done())
}

pub(crate) fn failure_wrap(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = p.array::<32>("shared_secret")?;
    let packet = p.hex("packet")?;
    Ok(ResultObject::new()
        .with("packet", hex(failure::wrap(&secret, &packet)))
        .done())
}

/// What a failure says: `code`, `data`, and of a known one its `name` and `fields`.
pub(crate) fn shown_failure(result: ResultObject, decoded: &Decoded) -> ResultObject {
    let known = failure::find(decoded.code());
    let fields = known
        .and_then(|kind| kind.fields(decoded.data()))
        .map(|fields| {
            let shown = fields.into_iter().map(|(name, value)| {
                let value = match value {
                    failure::Value::Number(number) => json!(number),
                    failure::Value::Long(number) => json!(number.to_string()),
                    failure::Value::Bytes(bytes) => json!(hex(bytes)),
                };
                (name.to_owned(), value)
            });
            Value::Object(shown.collect::<Map<_, _>>())
        });
    result
        .with("code", decoded.code())
        .with("data", hex(decoded.data()))
        .with("failure", hex(&decoded.failure))
        .maybe("name", known.map(|kind| kind.name))
        .maybe("fields", fields)
}

pub(crate) fn failure_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secrets = secrets(p, "shared_secrets")?;
    let packet = p.hex("packet")?;
    let decoded = failure::decode(rules, &secrets, &packet).map_err(refused)?;
    Ok(shown_failure(ResultObject::new().with("hop", decoded.hop), &decoded).done())
}

/// The return packet that attribution data covers; there is none for a payment that succeeded.
fn covered(p: Params<'_>) -> Result<Vec<u8>, OpError> {
    Ok(p.maybe("packet", Params::hex)?.unwrap_or_default())
}

/// What a hop makes of the attribution data that came, or of none. `packet` is the failure before
/// this hop hides it.
pub(crate) fn attribution_update(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secret = p.array::<32>("shared_secret")?;
    let data = attribution(rules, p)?;
    let time = p.u32("hold_time")?;
    let data = failure::attribute(&secret, &covered(p)?, data.as_ref(), time);
    Ok(ResultObject::new()
        .with("attribution_data", hex(data))
        .done())
}

/// How long each hop held the HTLC, up to the one that failed, or to the first whose HMAC is wrong:
/// that one is to `blame`, or the one behind it. `packet` is the failure as the payer got it.
pub(crate) fn attribution_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let secrets = secrets(p, "shared_secrets")?;
    let packet = covered(p)?;
    p.need("attribution_data")?;
    let data = attribution(rules, p)?.unwrap_or([0; ATTRIBUTION]);
    let end = failure::decode(rules, &secrets, &packet)
        .ok()
        .map(|decoded| decoded.hop);
    let attributed = failure::attributed(rules, &secrets, &packet, &data, end);
    Ok(ResultObject::new()
        .with("hold_times", attributed.hold_times)
        .maybe("hop", end)
        .maybe("blame", attributed.blame)
        .done())
}
