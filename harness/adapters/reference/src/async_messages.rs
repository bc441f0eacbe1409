//! Async payments: messages, held HTLCs, the static invoice server and the receiver behind it.

use crate::Outcome;
use crate::operations::{path as shown_path, records_of, refused, shown};
use crate::payload::{object, unframed};
use lnconform_drafts::async_payments::htlc::{
    self, Announcement, Event, Move, Payer, ReleasePath, RevokeAndAck, UpdateAddHtlc,
};
use lnconform_drafts::async_payments::message::{self, Message, Name, Sender};
use lnconform_drafts::async_payments::offline::{self, Left, Receiver};
use lnconform_drafts::async_payments::server::{self, Incoming, Kept, Server};
use lnconform_drafts::async_payments::{Dialect, Expected, Mark};
use lnconform_drafts::blinding::{BlindedPath, PathTooLong};
use lnconform_drafts::onion::frame;
use lnconform_drafts::onion_message::kind::REPLY_PATH;
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::{features, keys};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

/// Param `dialect`: whose numbers.
fn dialect(p: Params<'_>) -> Result<Dialect, OpError> {
    let name = p.str("dialect")?;
    Dialect::find(name).ok_or_else(|| {
        OpError::invalid(format!(
            "param dialect is {name}, not async/pr-1149 or async/ldk"
        ))
    })
}

fn name_of(p: Params<'_>, param: &str) -> Result<Name, OpError> {
    let name = p.str(param)?;
    Name::find(name).ok_or_else(|| {
        let names = Name::ALL.map(Name::as_str).join(", ");
        OpError::invalid(format!("param {param} is {name}, none of {names}"))
    })
}

fn no_path(e: PathTooLong) -> OpError {
    OpError::invalid(e.to_string())
}

fn unfit(name: &str, what: &str, violation: &Violation) -> OpError {
    OpError::invalid(format!("param {name} is no {what}: {}", violation.message))
}

/// A blinded path among the params, which is not what is tested.
fn path_of(p: Params<'_>, name: &str) -> Result<BlindedPath, OpError> {
    match paths_in(&p.hex(name)?, name)?.as_slice() {
        [path] => Ok(path.clone()),
        paths => Err(OpError::invalid(format!(
            "param {name} is {} blinded paths, not one",
            paths.len()
        ))),
    }
}

fn paths_in(bytes: &[u8], name: &str) -> Result<Vec<BlindedPath>, OpError> {
    message::read_paths(&Rules::all(), name, bytes)
        .map_err(|violation| unfit(name, "blinded path", &violation))
}

/// A list of blinded paths, each in hex.
fn paths_of(p: Params<'_>, name: &str) -> Result<Vec<BlindedPath>, OpError> {
    let mut paths = Vec::new();
    for one in p.list(name)? {
        let one = json!({ name: one });
        paths.push(path_of(Params::new(&one), name)?);
    }
    Ok(paths)
}

fn flag(p: Params<'_>, name: &str) -> Result<bool, OpError> {
    Ok(p.maybe(name, Params::bool)?.unwrap_or(false))
}

/// The objects of a list.
fn each<'a, T>(
    p: Params<'a>,
    name: &str,
    read: impl Fn(Params<'a>) -> Result<T, OpError>,
) -> Result<Vec<T>, OpError> {
    p.list(name)?
        .iter()
        .map(|one| read(Params::new(one)))
        .collect()
}

fn slot_of(p: Params<'_>, name: &str) -> Result<u16, OpError> {
    u16::try_from(p.u32(name)?)
        .map_err(|_| OpError::invalid(format!("param {name} is no number below 65536")))
}

fn path_bytes(path: &BlindedPath) -> Result<String, OpError> {
    path.encode().map(hex).map_err(no_path)
}

fn shown_message(message: &Message, dialect: Dialect) -> Value {
    ResultObject::new()
        .with("message", message.name.as_str())
        .maybe("type", message.name.number(dialect).map(|n| n.to_string()))
        .with("records", shown(&message.records))
        .maybe("invoice_slot", message.slot)
        .maybe(
            "paths",
            message
                .paths
                .as_ref()
                .map(|paths| paths.iter().map(shown_path).collect::<Value>()),
        )
        .maybe(
            "paths_absolute_expiry",
            message.paths_absolute_expiry.map(|at| at.to_string()),
        )
        .maybe(
            "static_invoice",
            message.invoice.as_ref().map(|(bytes, _)| hex(bytes)),
        )
        .maybe(
            "forward_invoice_request_path",
            message.forward_path.as_ref().map(shown_path),
        )
        .done()
}

/// The message, by its `type` or, since the draft has no types for two of them, its name. An even
/// type that is none of theirs is one that a reader of onion messages does not know.
fn named(rules: &Rules, p: Params<'_>, dialect: Dialect) -> Result<Option<Name>, OpError> {
    let Some(number) = p.maybe("type", Params::u64)? else {
        return name_of(p, "message").map(Some);
    };
    let name = Name::by_number(dialect, number);
    let passes = name.is_some() || number % 2 == 1;
    rules
        .check(rules::MESSAGE_UNKNOWN_EVEN, passes, || {
            let dialect = dialect.name();
            format!("type {number} is even, and no message of the dialect {dialect}")
        })
        .map_err(refused)?;
    Ok(name)
}

pub(crate) fn message_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let dialect = dialect(p)?;
    let value = p.hex("value")?;
    let Some(name) = named(rules, p, dialect)? else {
        // It is passed over.
        return Ok(json!({}));
    };
    let message = Message::decode(rules, dialect, name, &value).map_err(refused)?;
    Ok(shown_message(&message, dialect))
}

/// `records` are those of the message's own stream; the answer's are those of the onion message.
pub(crate) fn message_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let dialect = dialect(p)?;
    let name = name_of(p, "message")?;
    let records = records_of(p, "records")?;
    let reply_path = p.maybe("reply_path", Params::hex)?;
    let offer_paths = p.maybe("offer_paths", paths_of)?;
    // What is written is not read by the rules that are switched off.
    let message = Message::from_records(&Rules::all(), dialect, name, records).map_err(refused)?;
    let sender = Sender {
        reply_path: reply_path.is_some(),
        offer_paths: offer_paths.as_deref(),
    };
    let value = message.encode(rules, dialect, &sender).map_err(refused)?;
    let number = name.number(dialect);
    let onion = number.map(|number| {
        let reply_path = reply_path.map(|path| Record::new(REPLY_PATH, path));
        let payload = Record::new(number, value.as_slice());
        shown(&reply_path.into_iter().chain([payload]).collect::<Vec<_>>())
    });
    Ok(ResultObject::new()
        .with("value", hex(&value))
        .maybe("type", number.map(|n| n.to_string()))
        .maybe("records", onion)
        .done())
}

fn message_error(error: htlc::Error) -> OpError {
    match error {
        htlc::Error::Rule(violation) => refused(violation),
        other => OpError::invalid(other.to_string()),
    }
}

pub(crate) fn add_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let read =
        UpdateAddHtlc::decode(rules, dialect(p)?, &p.hex("message")?).map_err(message_error)?;
    Ok(ResultObject::new()
        .with("channel_id", hex(read.channel_id))
        .with("htlc", read.id.to_string())
        .with("amount_msat", read.amount_msat.to_string())
        .with("payment_hash", hex(read.payment_hash))
        .with("cltv_expiry", read.cltv_expiry)
        .maybe("path_key", read.path_key.map(hex))
        .with("hold_htlc", read.hold)
        .done())
}

pub(crate) fn add_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let onion = p.hex("onion")?;
    if onion.len() != htlc::ONION {
        let (got, want) = (onion.len(), htlc::ONION);
        return Err(OpError::invalid(format!(
            "param onion has {got} bytes, not {want}"
        )));
    }
    let add = UpdateAddHtlc {
        channel_id: p.array("channel_id")?,
        id: p.u64("htlc")?,
        amount_msat: p.u64("amount_msat")?,
        payment_hash: p.array("payment_hash")?,
        cltv_expiry: p.u32("cltv_expiry")?,
        onion,
        path_key: p.maybe("path_key", Params::array::<33>)?,
        hold: flag(p, "hold_htlc")?,
        more: p.maybe("records", records_of)?.unwrap_or_default(),
    };
    let message = add
        .encode(
            rules,
            dialect(p)?,
            p.maybe("receiver_offline", Params::bool)?,
            p.maybe("sender_offline", Params::bool)?,
        )
        .map_err(message_error)?;
    Ok(json!({"message": hex(message)}))
}

pub(crate) fn revoke_decode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let read =
        RevokeAndAck::decode(rules, dialect(p)?, &p.hex("message")?).map_err(message_error)?;
    let paths = read.release_paths.map(|paths| {
        let shown = paths.iter().map(|one| {
            ResultObject::new()
                .maybe("htlc", one.htlc.map(|id| id.to_string()))
                .with("path", shown_path(&one.path))
                .done()
        });
        shown.collect::<Value>()
    });
    Ok(ResultObject::new()
        .with("channel_id", hex(read.channel_id))
        .with("per_commitment_secret", hex(read.per_commitment_secret))
        .with(
            "next_per_commitment_point",
            hex(read.next_per_commitment_point),
        )
        .maybe("release_paths", paths)
        .done())
}

pub(crate) fn revoke_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let release_paths = p.maybe("release_paths", |p, name| {
        each(p, name, |one| {
            Ok(ReleasePath {
                htlc: one.maybe("htlc", Params::u64)?,
                path: path_of(one, "path")?,
            })
        })
    })?;
    let revoke = RevokeAndAck {
        channel_id: p.array("channel_id")?,
        per_commitment_secret: p.array("per_commitment_secret")?,
        next_per_commitment_point: p.array("next_per_commitment_point")?,
        release_paths,
        more: p.maybe("records", records_of)?.unwrap_or_default(),
    };
    let message = revoke
        .encode(rules, dialect(p)?, flag(p, "held")?, flag(p, "advertised")?)
        .map_err(message_error)?;
    Ok(json!({"message": hex(message)}))
}

/// `announcements` are what goes to the receiver of the HTLC: [{`message`, `over`, `reply_path`}].
pub(crate) fn announce(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let release_paths = paths_of(p, "release_paths")?;
    let announcements = each(p, "announcements", |one| {
        Ok(Announcement {
            name: one.maybe("message", name_of)?,
            over: path_of(one, "over")?,
            reply_path: one.maybe("reply_path", path_of)?,
        })
    })?;
    htlc::announce(rules, &release_paths, &announcements).map_err(refused)?;
    Ok(json!({"announced": announcements.len()}))
}

/// `events` are what a holder meets, each {`add`: htlc, `hold`}, {`committed`: htlc} or {`release`:
/// htlc that the path is for, or `""`}.
pub(crate) fn hold(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let events = each(p, "events", |one| {
        if one.get("add").is_some() {
            let (htlc, hold) = (one.u64("add")?, flag(one, "hold")?);
            Ok(Event::Add { htlc, hold })
        } else if one.get("committed").is_some() {
            let htlc = one.u64("committed")?;
            Ok(Event::Committed { htlc })
        } else {
            let htlc = match one.str("release")? {
                "" => None,
                _ => Some(one.u64("release")?),
            };
            Ok(Event::Release { htlc })
        }
    })?;
    let moves = htlc::hold(rules, &events);
    let paths = moves.iter().filter_map(|made| match made {
        Move::Path { at, names } => Some(
            ResultObject::new()
                .with("event", *at)
                .maybe("htlc", names.map(|id| id.to_string()))
                .done(),
        ),
        Move::Forward { .. } => None,
    });
    let forwards = moves.iter().filter_map(|made| match made {
        Move::Forward { at, htlc } => Some(json!({"event": at, "htlc": htlc.to_string()})),
        Move::Path { .. } => None,
    });
    Ok(json!({
        "release_paths": paths.collect::<Value>(),
        "forwards": forwards.collect::<Value>(),
    }))
}

/// `records` are the other ones of the payload.
pub(crate) fn payload_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let request = p.maybe("invoice_request", Params::hex)?;
    let used = p
        .maybe("used_preimages", |p, name| {
            p.list(name)?
                .iter()
                .map(|one| Params::new(&json!({ name: one })).array::<32>(name))
                .collect::<Result<Vec<_>, _>>()
        })?
        .unwrap_or_default();
    let payer = Payer {
        static_invoice: flag(p, "static_invoice")?,
        payment_hash: p.array("payment_hash")?,
        preimage: p.maybe("preimage", Params::array::<32>)?,
        invoice_request: request.as_deref(),
        used: &used,
    };
    let records = records_of(p, "records")?;
    let records = htlc::payload(rules, dialect(p)?, &records, &payer).map_err(refused)?;
    let payload = frame(&tlv::encode(rules, &records).map_err(refused)?);
    Ok(json!({"records": shown(&records), "payload": hex(payload)}))
}

/// `preimage` is the one that the payee would have for the HTLC by itself.
pub(crate) fn payload_claim(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let records = tlv::frames(rules, &unframed(p, "payload")?).map_err(refused)?;
    let own = p.maybe("preimage", Params::array::<32>)?;
    let told = htlc::claim(rules, dialect(p)?, &records, own).map_err(refused)?;
    let locked = p.maybe("payment_hash", Params::array::<32>)?;
    let claims = locked.map(|hash| {
        told.claims_with
            .is_some_and(|preimage| keys::sha256(&[&preimage]) == hash)
    });
    Ok(ResultObject::new()
        .maybe("invoice_request", told.invoice_request.map(hex))
        .maybe("sender_provided_payment_preimage", told.preimage.map(hex))
        .maybe("claims_with", told.claims_with.map(hex))
        .maybe("claims", claims)
        .done())
}

/// Whether a node offers to hold HTLCs, and whether it offers what that builds on.
pub(crate) fn features(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let dialect = dialect(p)?;
    let bytes = p.hex("features")?;
    let has = |even: u64| {
        let bits: Vec<u64> = features::bits(&bytes).collect();
        match (bits.contains(&even), bits.contains(&(even + 1))) {
            (true, _) => "compulsory",
            (false, true) => "optional",
            (false, false) => "absent",
        }
    };
    Ok(json!({
        "option_htlc_hold": has(dialect.hold_feature()),
        // BOLT 9 of the pull request lets nothing else follow from it.
        "option_onion_messages": has(38),
    }))
}

fn mark_of(p: Params<'_>) -> Result<Mark, OpError> {
    let mark = object(p, "over", |over| {
        let expects = match over.maybe("for", |p, name| p.str(name).map(str::to_owned))? {
            None => None,
            Some(name) => Some(Expected::find(&name).ok_or_else(|| {
                OpError::invalid(format!("param over: there are no paths for {name}"))
            })?),
        };
        Ok(Mark {
            expects,
            recipient: over.maybe("recipient", Params::hex)?,
            slot: over.maybe("slot", slot_of)?,
        })
    })?;
    Ok(mark.unwrap_or_default())
}

fn shown_mark(mark: &Mark) -> Value {
    ResultObject::new()
        .maybe("for", mark.expects.map(Expected::as_str))
        .maybe("recipient", mark.recipient.as_ref().map(hex))
        .maybe("slot", mark.slot)
        .done()
}

/// A message that a node receives, which is read by all rules: it is not what is tested.
fn received(p: Params<'_>) -> Result<Message, OpError> {
    let dialect = dialect(p)?;
    let name = name_of(p, "message")?;
    Message::decode(&Rules::all(), dialect, name, &p.hex("value")?).map_err(refused)
}

/// `over` is what the server put into the path that the message came over: {`for`, `recipient`,
/// `slot`}; absent for a path of somebody else's.
pub(crate) fn server_receive(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let kept = p.maybe("kept", |p, name| {
        each(p, name, |one| {
            Ok(Kept {
                recipient: one.hex("recipient")?,
                slot: slot_of(one, "slot")?,
                invoice: one.hex("static_invoice")?,
                forward_path: one.maybe("forward_invoice_request_path", Params::hex)?,
            })
        })
    })?;
    let mut server = Server {
        kept: kept.unwrap_or_default(),
        limit: p.maybe("limit", Params::u32)?.map(u64::from),
        storage_fails: flag(p, "storage_fails")?,
    };
    let over = mark_of(p)?;
    let answer = if p.str("message")? == "invoice_request" {
        server.receive(rules, Incoming::InvoiceRequest, &over)
    } else {
        let message = received(p)?;
        server.receive(rules, Incoming::Async(&message), &over)
    };
    let result = match answer.map_err(refused)? {
        server::Answer::OfferPaths { path, reply_path } => ResultObject::new()
            .with("answer", "offer_paths")
            .with("path", shown_mark(&path))
            .with("reply_path", shown_mark(&reply_path)),
        server::Answer::Persisted => ResultObject::new().with("answer", "static_invoice_persisted"),
        server::Answer::Invoice {
            invoice,
            forward_path,
        } => ResultObject::new()
            .with("answer", "static_invoice")
            .with("static_invoice", hex(invoice))
            .maybe("forwards_over", forward_path.map(hex)),
        server::Answer::Nothing => ResultObject::new(),
    };
    let kept = server.kept.iter().map(|kept| {
        ResultObject::new()
            .with("recipient", hex(&kept.recipient))
            .with("slot", kept.slot)
            .with("static_invoice", hex(&kept.invoice))
            .maybe(
                "forward_invoice_request_path",
                kept.forward_path.as_ref().map(hex),
            )
            .done()
    });
    Ok(result.with("kept", kept.collect::<Value>()).done())
}

/// `over` as for the server; `reply_path` is the one of the onion message.
pub(crate) fn receiver_receive(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let reply_path = p.maybe("reply_path", path_of)?;
    let receiver = Receiver {
        now: p.maybe("now", Params::u64)?.unwrap_or_default(),
        least_lifetime: p.maybe("least_lifetime", Params::u32)?.map_or(0, u64::from),
        reply_path: reply_path.as_ref(),
    };
    let answer = offline::receive(rules, &receiver, &received(p)?, &mark_of(p)?);
    let result = match answer.map_err(refused)? {
        offline::Answer::Serve {
            slot,
            offer_paths,
            kept,
        } => ResultObject::new()
            .with("answer", "serve_static_invoice")
            .maybe("slot", slot)
            .with(
                "offer_paths",
                offer_paths
                    .iter()
                    .map(path_bytes)
                    .collect::<Result<Vec<_>, _>>()?,
            )
            .maybe("keeps", kept.as_ref().map(path_bytes).transpose()?),
        offline::Answer::Ready { slot } => {
            ResultObject::new().with("ready", true).maybe("slot", slot)
        }
        offline::Answer::Release => ResultObject::new().with("answer", "release_held_htlc"),
        offline::Answer::Nothing => ResultObject::new(),
    };
    Ok(result.done())
}

/// The invoices that are due for a new one.
pub(crate) fn receiver_update(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let left = each(p, "left", |one| {
        Ok(Left {
            slot: slot_of(one, "slot")?,
            made_at: one.u64("made_at")?,
            changed: flag(one, "changed")?,
            reply_path: one.maybe("reply_path", path_of)?,
        })
    })?;
    let period = u64::from(p.u32("period")?);
    let mut due = Vec::new();
    for (slot, path) in offline::updates(rules, p.u64("now")?, period, &left) {
        due.push(
            ResultObject::new()
                .with("slot", slot)
                .maybe("over", path.as_ref().map(path_bytes).transpose()?)
                .done(),
        );
    }
    Ok(json!({ "updates": due }))
}
