//! The operations `amp_tunnel.*`: our draft in `specs/drafts/amp-tunneling.md`.
//!
//! What is signed is answered as `message`, `tag` and `digest`, so that a live node can sign it: BIP
//! 340 over the tagged hash of tag and message.
//!
//! Secrets that come as params are test data; copies that the caller's JSON holds are not wiped.

use crate::Outcome;
use crate::operations::{hexes, refused, secret_key, unchecked};
use lnconform_drafts::amp_tunnel::{
    self as ait, Assigned, Assignment, Decision, Entry, Header, Htlc, Judged, Message, Opening,
    Other, OwnPool, PPM, Part, Payment, Place, Pool, Proof, Receipt, Request, Seen, Shown,
    Statement, Tunnel, TunnelPart, Used, Window,
};
use lnconform_drafts::keys::sha256;
use lnconform_drafts::rules::{AIT_RECIPIENT_ID, Rules};
use lnconform_protocol::OpError;
use lnconform_protocol::params::{Params, ResultObject, hex};
use serde_json::{Value, json};

/// A number of one byte.
fn byte(p: Params<'_>, name: &str) -> Result<u8, OpError> {
    let value = p.u32(name)?;
    u8::try_from(value)
        .map_err(|_| OpError::invalid(format!("param {name} is {value}, more than one byte holds")))
}

/// A list, each item read by `read` from an object that holds it under the list's name; absent is
/// empty.
fn items<T>(
    p: Params<'_>,
    name: &str,
    read: impl Fn(Params<'_>, &str) -> Result<T, OpError>,
) -> Result<Vec<T>, OpError> {
    if p.get(name).is_none() {
        return Ok(Vec::new());
    }
    p.list(name)?
        .iter()
        .map(|item| read(Params::new(&json!({ name: item })), name))
        .collect()
}

/// A list of 32-byte values; absent is empty.
fn hashes(p: Params<'_>, name: &str) -> Result<Vec<[u8; 32]>, OpError> {
    items(p, name, |p, name| p.array(name))
}

/// A list of objects; absent is empty.
fn objects<T>(
    p: Params<'_>,
    name: &str,
    read: impl Fn(Params<'_>) -> Result<T, OpError>,
) -> Result<Vec<T>, OpError> {
    if p.get(name).is_none() {
        return Ok(Vec::new());
    }
    p.list(name)?
        .iter()
        .map(|item| read(Params::new(item)))
        .collect()
}

/// Param `recipient_id`. That it has 33 bytes is part of the rule that it is a point; with that rule
/// off, missing bytes count as zero and surplus bytes are dropped.
fn recipient_id(rules: &Rules, p: Params<'_>) -> Result<[u8; 33], OpError> {
    let bytes = p.hex("recipient_id")?;
    rules
        .check(AIT_RECIPIENT_ID, bytes.len() == 33, || {
            format!("the recipient id has {} bytes, not 33", bytes.len())
        })
        .map_err(refused)?;
    let mut id = [0; 33];
    let there = bytes.len().min(33);
    id[..there].copy_from_slice(&bytes[..there]);
    Ok(id)
}

/// Params `chain_hash`, `recipient_id` and `payment_addr`.
fn place(rules: &Rules, p: Params<'_>) -> Result<Place, OpError> {
    Ok(Place {
        chain_hash: p.array("chain_hash")?,
        recipient_id: recipient_id(rules, p)?,
        payment_addr: p.array("payment_addr")?,
    })
}

/// Param `request`, and what it opens at the place.
fn opening(rules: &Rules, p: Params<'_>) -> Result<(Request, Opening), OpError> {
    let request = ait::decode_request(rules, &p.hex("request")?).map_err(refused)?;
    let opening = Opening::derive(rules, &place(rules, p)?, &request).map_err(refused)?;
    Ok((request, opening))
}

/// Param `commitment`, else the commitment of `request` and its place, with the request's payer key.
fn commitment(rules: &Rules, p: Params<'_>) -> Result<([u8; 32], Option<[u8; 32]>), OpError> {
    if p.get("commitment").is_some() {
        return Ok((p.array("commitment")?, None));
    }
    if p.get("request").is_none() {
        return Err(OpError::invalid(
            "param commitment is missing, and so is request, from which it could be derived",
        ));
    }
    let (request, opening) = opening(rules, p)?;
    Ok((*opening.commitment, Some(request.payer_key)))
}

/// Param `assignee`, else that of `commitment`, else that of `request` and its place.
fn assignee(rules: &Rules, p: Params<'_>) -> Result<[u8; 32], OpError> {
    if p.get("assignee").is_some() {
        return p.array("assignee");
    }
    Ok(ait::assignee(&commitment(rules, p)?.0))
}

/// Whether a commitment can be had from the params.
fn names_request(p: Params<'_>) -> bool {
    p.get("commitment").is_some() || p.get("request").is_some()
}

/// Param `root_hash`, else the hash of `root`.
fn root_hash(p: Params<'_>) -> Result<[u8; 32], OpError> {
    match p.get("root_hash") {
        Some(_) => p.array("root_hash"),
        None => Ok(ait::root_hash(&p.array("root")?)),
    }
}

fn htlc(p: Params<'_>) -> Result<Htlc, OpError> {
    Ok(Htlc {
        payment_hash: p.array("payment_hash")?,
        amount_msat: p.u64("amount_msat")?,
    })
}

/// A receipt's statement; digest and amount come from `htlcs` where they are given.
fn statement(p: Params<'_>) -> Result<Statement, OpError> {
    let (set_digest, received_msat) = if p.get("htlcs").is_some() {
        let htlcs = objects(p, "htlcs", htlc)?;
        let sum = ait::set_sum(&htlcs)
            .ok_or_else(|| OpError::invalid("param htlcs adds up to more than 64 bits hold"))?;
        (ait::set_digest(&htlcs), sum)
    } else {
        (p.array("set_digest")?, p.u64("received_msat")?)
    };
    Ok(Statement {
        set_id: p.array("set_id")?,
        root_hash: root_hash(p)?,
        set_digest,
        received_msat,
        settled_time: p.u64("settled_time")?,
    })
}

/// What a node is asked to sign.
fn asked(message: &Message) -> ResultObject {
    ResultObject::new()
        .with("message", hex(message.bytes.as_slice()))
        .with("tag", message.tag)
        .with("digest", hex(message.digest()))
}

/// Signs `message` with params `secret_key` and `aux`.
fn signed(p: Params<'_>, message: &Message) -> Result<[u8; 64], OpError> {
    let aux = p.maybe("aux", Params::array::<32>)?;
    let mut secret = secret_key(p, "secret_key")?;
    let signature = message.sign(&secret, aux.as_ref());
    secret.non_secure_erase();
    Ok(signature)
}

/// `amp_tunnel.request.decode`: `request` → `version`, `flags`, `nonce`, `payment_time`,
/// `amount_msat`, `payer_key`, `terms_hash`, and the two flags as `receipt_wanted` and `root_bound`.
pub(crate) fn request_decode(rules: &Rules, params: &Value) -> Outcome {
    let bytes = Params::new(params).hex("request")?;
    let request = ait::decode_request(rules, &bytes).map_err(refused)?;
    Ok(ResultObject::new()
        .with("version", request.version)
        .with("flags", request.flags)
        .with("nonce", hex(request.nonce.as_slice()))
        .with("payment_time", request.payment_time.to_string())
        .with("amount_msat", request.amount_msat.to_string())
        .with("payer_key", hex(request.payer_key))
        .with("terms_hash", hex(request.terms_hash))
        .with("receipt_wanted", request.receipt_wanted())
        .with("root_bound", ait::root_bound(&request))
        .done())
}

/// `amp_tunnel.request.encode`: `version` (0 where it is left out), `flags`, `nonce`,
/// `payment_time`, `amount_msat`, `payer_key`, `terms_hash` (zeros where it is left out),
/// `unchecked` (write what the payer's rules forbid) → `request`.
pub(crate) fn request_encode(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let request = Request {
        version: p.maybe("version", byte)?.unwrap_or(0),
        flags: byte(p, "flags")?,
        nonce: p.array::<32>("nonce")?.into(),
        payment_time: p.u64("payment_time")?,
        amount_msat: p.u64("amount_msat")?,
        payer_key: p.array("payer_key")?,
        terms_hash: p.maybe("terms_hash", Params::array)?.unwrap_or([0; 32]),
    };
    let bytes = if unchecked(p)? {
        request.encode_unchecked()
    } else {
        ait::encode_request(rules, &request).map_err(refused)?
    };
    Ok(ResultObject::new()
        .with("request", hex(bytes.as_slice()))
        .done())
}

/// `amp_tunnel.commit`: `chain_hash`, `recipient_id`, `payment_addr`, `request` → `commitment`,
/// `root`, `set_id`, `root_hash`, `assignee`.
pub(crate) fn commit(rules: &Rules, params: &Value) -> Outcome {
    let (_, opening) = opening(rules, Params::new(params))?;
    Ok(ResultObject::new()
        .with("commitment", hex(opening.commitment.as_slice()))
        .with("root", hex(opening.root.as_slice()))
        .with("set_id", hex(opening.set_id.as_slice()))
        .with("root_hash", hex(ait::root_hash(&opening.root)))
        .with("assignee", hex(opening.assignee))
        .done())
}

/// `amp_tunnel.shards`: `chain_hash`, `recipient_id`, `payment_addr`, `request`, `amounts` [msat],
/// `shares` [one fewer than amounts, 32 random bytes each], `first_index` (0 where it is left out),
/// and for a request that is not bound `root` and `set_id` → `commitment`, `root`, `set_id`,
/// `total_msat`, and `shards` [{`amount_msat`, `root_share`, `set_id`, `index`, `preimage`,
/// `payment_hash`}], as `amp.send` takes them.
pub(crate) fn shards(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (request, opening) = opening(rules, p)?;
    let (root, set_id): ([u8; 32], [u8; 32]) = if ait::root_bound(&request) {
        (*opening.root, *opening.set_id)
    } else {
        (p.array("root")?, p.array("set_id")?)
    };
    p.need("amounts")?;
    let amounts = items(p, "amounts", |p, name| p.u64(name))?;
    let drawn = hashes(p, "shares")?;
    if amounts.len() != drawn.len() + 1 {
        return Err(OpError::invalid(format!(
            "param amounts holds {}, and shares {}: there is one share fewer than there are amounts",
            amounts.len(),
            drawn.len()
        )));
    }
    let total = amounts
        .iter()
        .try_fold(0_u64, |sum, amount| sum.checked_add(*amount))
        .ok_or_else(|| OpError::invalid("param amounts adds up to more than 64 bits hold"))?;
    let first = p.maybe("first_index", Params::u32)?.unwrap_or(0);
    let shards: Vec<Value> = ait::shards(rules, &root, &amounts, &drawn, first)
        .map_err(refused)?
        .iter()
        .map(|shard| {
            ResultObject::new()
                .with("amount_msat", shard.amount_msat.to_string())
                .with("root_share", hex(shard.share.as_slice()))
                .with("set_id", hex(set_id))
                .with("index", shard.index)
                .with("preimage", hex(shard.child.preimage.as_slice()))
                .with("payment_hash", hex(shard.child.payment_hash))
                .done()
        })
        .collect();
    Ok(ResultObject::new()
        .with("commitment", hex(opening.commitment.as_slice()))
        .with("root", hex(root))
        .with("set_id", hex(set_id))
        .with("total_msat", total.to_string())
        .with("shards", shards)
        .done())
}

/// `amp_tunnel.receipt.message`: `commitment`, or `request` with its place; `set_id`; `root_hash` or
/// `root`; `htlcs` [{`payment_hash`, `amount_msat`}], or `set_digest` and `received_msat`;
/// `settled_time` → `message`, `tag`, `digest`, `set_digest`, `received_msat`.
pub(crate) fn receipt_message(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (commitment, _) = commitment(rules, p)?;
    let statement = statement(p)?;
    Ok(asked(&statement.message(&commitment))
        .with("set_digest", hex(statement.set_digest))
        .with("received_msat", statement.received_msat.to_string())
        .done())
}

/// `amp_tunnel.receipt.sign`: as `amp_tunnel.receipt.message`, with `secret_key` and `aux` (zeros
/// where it is left out) → `receipt`, `digest`.
pub(crate) fn receipt_sign(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (commitment, _) = commitment(rules, p)?;
    let statement = statement(p)?;
    let message = statement.message(&commitment);
    let receipt = Receipt {
        version: 0,
        statement,
        signature: signed(p, &message)?,
    };
    Ok(ResultObject::new()
        .with("receipt", hex(receipt.encode()))
        .with("digest", hex(message.digest()))
        .done())
}

/// `amp_tunnel.receipt.assemble`: the statement as in `amp_tunnel.receipt.message`, and `signature`
/// (64 bytes) → `receipt`. Given `recipient_id` and a commitment or request as well, the signature is
/// checked.
pub(crate) fn receipt_assemble(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let receipt = Receipt {
        version: 0,
        statement: statement(p)?,
        signature: p.array("signature")?,
    };
    if names_request(p) && p.get("recipient_id").is_some() {
        let (commitment, _) = commitment(rules, p)?;
        let id = recipient_id(rules, p)?;
        receipt
            .check_signature(rules, &id, &commitment)
            .map_err(refused)?;
    }
    Ok(ResultObject::new()
        .with("receipt", hex(receipt.encode()))
        .done())
}

/// `amp_tunnel.receipt.decode`: `receipt` → `version`, `set_id`, `root_hash`, `set_digest`,
/// `received_msat`, `settled_time`, `signature`. The signature is not checked.
pub(crate) fn receipt_decode(rules: &Rules, params: &Value) -> Outcome {
    let receipt = Receipt::decode(rules, &Params::new(params).hex("receipt")?).map_err(refused)?;
    let stated = &receipt.statement;
    Ok(ResultObject::new()
        .with("version", receipt.version)
        .with("set_id", hex(stated.set_id))
        .with("root_hash", hex(stated.root_hash))
        .with("set_digest", hex(stated.set_digest))
        .with("received_msat", stated.received_msat.to_string())
        .with("settled_time", stated.settled_time.to_string())
        .with("signature", hex(receipt.signature))
        .done())
}

/// `amp_tunnel.pool.build`: `chain_hash`, `recipient_id`, `payment_addr`, `lsp_id`, `expiry`,
/// `hashes` or `secrets` [32 bytes], and optionally `secret_key` and `aux` → `header`, `message` (the
/// same bytes), `tag`, `digest`, `root`, `hashes`, `leaves`, `paths` [one list an entry], and
/// `signature` where there is a key.
pub(crate) fn pool_build(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let hashes = match p.get("secrets") {
        Some(_) => hashes(p, "secrets")?
            .iter()
            .map(|secret| sha256(&[secret]))
            .collect(),
        None => {
            p.need("hashes")?;
            hashes(p, "hashes")?
        }
    };
    let pool = Pool::build(&hashes)
        .ok_or_else(|| OpError::invalid("a pool has one entry at least: give hashes or secrets"))?;
    let count = u32::try_from(hashes.len())
        .map_err(|_| OpError::invalid("a pool has fewer than 2^32 entries"))?;
    let header = Header {
        version: 0,
        place: place(rules, p)?,
        lsp_id: p.array("lsp_id")?,
        expiry: p.u64("expiry")?,
        count,
        root: pool.root(),
    }
    .encode();
    let message = Header::message(&header);
    let signature = match p.get("secret_key") {
        Some(_) => Some(hex(signed(p, &message)?)),
        None => None,
    };
    let paths: Vec<Value> = (0..count)
        .filter_map(|index| pool.path(index))
        .map(|path| hexes(&path))
        .collect();
    Ok(asked(&message)
        .with("header", hex(header))
        .with("root", hex(pool.root()))
        .with("hashes", hexes(&hashes))
        .with("leaves", hexes(pool.leaves()))
        .with("paths", paths)
        .maybe("signature", signature)
        .done())
}

/// `amp_tunnel.pool.decode`: `header` → `version`, `chain_hash`, `recipient_id`, `payment_addr`,
/// `lsp_id`, `expiry`, `count`, `root`.
pub(crate) fn pool_decode(rules: &Rules, params: &Value) -> Outcome {
    let header = Header::decode(rules, &Params::new(params).hex("header")?).map_err(refused)?;
    Ok(ResultObject::new()
        .with("version", header.version)
        .with("chain_hash", hex(header.place.chain_hash))
        .with("recipient_id", hex(header.place.recipient_id))
        .with("payment_addr", hex(header.place.payment_addr))
        .with("lsp_id", hex(header.lsp_id))
        .with("expiry", header.expiry.to_string())
        .with("count", header.count)
        .with("root", hex(header.root))
        .done())
}

/// `amp_tunnel.pool.check`, the payer's before it pays: `chain_hash`, `recipient_id`,
/// `payment_addr`, `request`, `lsp_id` (who served the entry), `header`, `header_signature`, `index`,
/// `payment_hash` (of the tunnel's invoice), `path`, `assignment`, `now` → `commitment`, `assignee`,
/// `expiry`, `count`.
pub(crate) fn pool_check(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (_, opening) = opening(rules, p)?;
    let place = place(rules, p)?;
    let (header, signature) = (p.hex("header")?, p.hex("header_signature")?);
    let path = hashes(p, "path")?;
    let entry = Entry {
        header: &header,
        signature: &signature,
        index: p.u32("index")?,
        hash: p.array("payment_hash")?,
        path: &path,
    };
    let header = ait::check_offer(
        rules,
        &place,
        &opening,
        &entry,
        &p.hex("assignment")?,
        &p.array("lsp_id")?,
        p.u64("now")?,
    )
    .map_err(refused)?;
    Ok(ResultObject::new()
        .with("commitment", hex(opening.commitment.as_slice()))
        .with("assignee", hex(opening.assignee))
        .with("expiry", header.expiry.to_string())
        .with("count", header.count)
        .done())
}

/// Param `root`, else that of `header`.
fn pool_root(rules: &Rules, p: Params<'_>) -> Result<[u8; 32], OpError> {
    match p.get("header") {
        Some(_) => Ok(Header::decode(rules, &p.hex("header")?)
            .map_err(refused)?
            .root),
        None => p.array("root"),
    }
}

/// What an LSP is to sign, with root, index and assignee.
fn assigning(rules: &Rules, p: Params<'_>) -> Result<([u8; 32], u32, [u8; 32], Message), OpError> {
    let root = pool_root(rules, p)?;
    let new = Assigned {
        index: p.u32("index")?,
        assignee: assignee(rules, p)?,
    };
    let earlier = objects(p, "assigned", |p| {
        Ok(Assigned {
            index: p.u32("index")?,
            assignee: p.array("assignee")?,
        })
    })?;
    let message = Assignment::message_once(rules, &root, new, &earlier).map_err(refused)?;
    Ok((root, new.index, new.assignee, message))
}

/// `amp_tunnel.assignment.message`, the LSP's: `root` or `header`; `index`; `assignee`, or
/// `commitment`, or `request` with its place; `assigned` [{`index`, `assignee`}] (earlier ones of
/// this pool) → `message`, `tag`, `digest`, `assignee`.
pub(crate) fn assignment_message(rules: &Rules, params: &Value) -> Outcome {
    let (_, _, assignee, message) = assigning(rules, Params::new(params))?;
    Ok(asked(&message).with("assignee", hex(assignee)).done())
}

/// `amp_tunnel.assignment.sign`: as `amp_tunnel.assignment.message`, with `secret_key` and `aux`
/// (zeros where it is left out) → `assignment`, `digest`, `assignee`.
pub(crate) fn assignment_sign(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (root, index, assignee, message) = assigning(rules, p)?;
    let assignment = Assignment {
        version: 0,
        root,
        index,
        signature: signed(p, &message)?,
    };
    Ok(ResultObject::new()
        .with("assignment", hex(assignment.encode()))
        .with("digest", hex(message.digest()))
        .with("assignee", hex(assignee))
        .done())
}

/// `amp_tunnel.assignment.assemble`: `root` or `header`, `index`, `signature` (64 bytes) →
/// `assignment`. Given `lsp_id` and an assignee, commitment or request as well, the signature is
/// checked.
pub(crate) fn assignment_assemble(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let assignment = Assignment {
        version: 0,
        root: pool_root(rules, p)?,
        index: p.u32("index")?,
        signature: p.array("signature")?,
    };
    if p.get("lsp_id").is_some() && (p.get("assignee").is_some() || names_request(p)) {
        let (lsp, assignee) = (p.array("lsp_id")?, assignee(rules, p)?);
        assignment
            .check_signature(rules, &lsp, &assignee)
            .map_err(refused)?;
    }
    Ok(ResultObject::new()
        .with("assignment", hex(assignment.encode()))
        .done())
}

/// `amp_tunnel.assignment.decode`: `assignment` → `version`, `root`, `index`, `signature`. The
/// signature is not checked.
pub(crate) fn assignment_decode(rules: &Rules, params: &Value) -> Outcome {
    let bytes = Params::new(params).hex("assignment")?;
    let assignment = Assignment::decode(rules, &bytes).map_err(refused)?;
    Ok(ResultObject::new()
        .with("version", assignment.version)
        .with("root", hex(assignment.root))
        .with("index", assignment.index)
        .with("signature", hex(assignment.signature))
        .done())
}

/// A payment as its recipient sees it, with what [`Payment`] borrows.
struct Arrived {
    place: Place,
    set_id: [u8; 32],
    total_msat: u64,
    parts: Vec<Part>,
    tunnel: Option<Tunnel>,
    now: u64,
    window: Window,
    seen_commitments: Vec<[u8; 32]>,
    seen_set_ids: Vec<[u8; 32]>,
}

impl Arrived {
    fn read(rules: &Rules, p: Params<'_>) -> Result<Self, OpError> {
        let usual = Window::default();
        let request = |p: Params<'_>| p.maybe("request", Params::hex);
        let tunnel = p.maybe("tunnel", |p, name| {
            let p = Params::new(p.need(name)?);
            Ok(Tunnel {
                payment_hash: p.array("payment_hash")?,
                total_msat: p.u64("total_msat")?,
                assignment: p.maybe("assignment", Params::hex)?,
                htlcs: objects(p, "htlcs", |p| {
                    Ok(TunnelPart {
                        request: request(p)?,
                        amount_msat: p.u64("amount_msat")?,
                    })
                })?,
            })
        })?;
        p.need("htlcs")?;
        let parts = objects(p, "htlcs", |p| {
            Ok(Part {
                request: request(p)?,
                share: p.array::<32>("root_share")?.into(),
                index: p.u32("index")?,
                htlc: htlc(p)?,
            })
        })?;
        if parts.is_empty() {
            return Err(OpError::invalid(
                "param htlcs is empty, and a set has one HTLC at least",
            ));
        }
        Ok(Self {
            place: place(rules, p)?,
            set_id: p.array("set_id")?,
            total_msat: p.u64("total_msat")?,
            parts,
            tunnel,
            now: p.u64("now")?,
            window: Window {
                past: p.maybe("window_past", Params::u64)?.unwrap_or(usual.past),
                future: p
                    .maybe("window_future", Params::u64)?
                    .unwrap_or(usual.future),
            },
            seen_commitments: hashes(p, "seen_commitments")?,
            seen_set_ids: hashes(p, "seen_set_ids")?,
        })
    }

    fn payment(&self) -> Payment<'_> {
        Payment {
            place: &self.place,
            set_id: &self.set_id,
            total_msat: self.total_msat,
            parts: &self.parts,
            tunnel: self.tunnel.as_ref(),
            now: self.now,
            window: self.window,
            seen: Seen {
                commitments: &self.seen_commitments,
                set_ids: &self.seen_set_ids,
            },
        }
    }
}

fn judged(result: ResultObject, set_id: &[u8; 32], judged: &Judged) -> ResultObject {
    result
        .with("commitment", hex(judged.opening.commitment.as_slice()))
        .with("set_id", hex(set_id))
        .with("root_hash", hex(judged.root_hash))
        .with("set_digest", hex(judged.set_digest))
        .with("received_msat", judged.received_msat.to_string())
}

/// `amp_tunnel.accept`, the recipient's: `chain_hash`, `recipient_id`, `payment_addr`, `set_id`,
/// `total_msat`, `htlcs` [{`request` (absent where the HTLC has none), `root_share`, `index`,
/// `payment_hash`, `amount_msat`}], `tunnel` {`payment_hash`, `total_msat`, `htlcs` [{`request`,
/// `amount_msat`}]} (where there is one), `now`, `window_past` and `window_future` (7 days and 2
/// hours where they are left out), and of other payments `seen_commitments` and `seen_set_ids` →
/// `receipt_due`, and where it is `commitment`, `set_id`, `root_hash`, `set_digest` and
/// `received_msat`, which a receipt is made of; else `reason`.
///
/// A refusal, with its rule, says that no receipt is due. Whether the payment is kept as a plain AMP
/// payment is not this operation's matter.
pub(crate) fn accept(rules: &Rules, params: &Value) -> Outcome {
    let arrived = Arrived::read(rules, Params::new(params))?;
    let decision = ait::accept(rules, &arrived.payment()).map_err(refused)?;
    let result = ResultObject::new();
    Ok(match &decision {
        Decision::Due(due) => judged(result.with("receipt_due", true), &arrived.set_id, due),
        Decision::NotWanted(reason) => result
            .with("receipt_due", false)
            .with("reason", reason.as_str()),
    }
    .done())
}

/// `amp_tunnel.settle`, the recipient's: as `amp_tunnel.accept`, where `tunnel` has `assignment` as
/// well and is absent where none is held, with `amp_settled` (whether the AMP set is settled), `pool`
/// {`header`, `hashes`} (its own), `used` [{`index`, `commitment`}] (secrets released before) →
/// `release` (true), `index`, `assignee`, and what `amp_tunnel.accept` answers for a receipt.
///
/// A refusal, with its rule, says that the secret is not released. Whether the tunnel is cancelled or
/// may wait is not this operation's matter.
pub(crate) fn settle(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let arrived = Arrived::read(rules, p)?;
    let amp_settled = p.bool("amp_settled")?;
    let own = Params::new(p.need("pool")?);
    let (header, hashes) = (own.hex("header")?, hashes(own, "hashes")?);
    let pool = OwnPool {
        header: &header,
        hashes: &hashes,
    };
    let used = objects(p, "used", |p| {
        Ok(Used {
            index: p.u32("index")?,
            commitment: p.array("commitment")?,
        })
    })?;
    let release =
        ait::settle(rules, &arrived.payment(), amp_settled, pool, &used).map_err(refused)?;
    let result = ResultObject::new()
        .with("release", true)
        .with("index", release.index)
        .with("assignee", hex(release.judged.opening.assignee));
    Ok(judged(result, &arrived.set_id, &release.judged).done())
}

/// The message of a claim, with the request's payer key where there is a request.
fn claiming(rules: &Rules, p: Params<'_>) -> Result<(Message, Option<[u8; 32]>), OpError> {
    let (commitment, payer_key) = commitment(rules, p)?;
    let message = ait::claim_message(&commitment, &p.array("challenge")?);
    Ok((message, payer_key))
}

/// `amp_tunnel.claim.message`: `commitment`, or `request` with its place; `challenge` → `message`,
/// `tag`, `digest`.
pub(crate) fn claim_message(rules: &Rules, params: &Value) -> Outcome {
    let (message, _) = claiming(rules, Params::new(params))?;
    Ok(asked(&message).done())
}

/// `amp_tunnel.claim.sign`: as `amp_tunnel.claim.message`, with `secret_key` and `aux` (zeros where
/// it is left out) → `claim`, `digest`. Given the request, the key has to be that of its payer.
pub(crate) fn claim_sign(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let (message, payer_key) = claiming(rules, p)?;
    let aux = p.maybe("aux", Params::array::<32>)?;
    let mut secret = secret_key(p, "secret_key")?;
    let claim = ait::sign_claim(rules, &secret, payer_key.as_ref(), &message, aux.as_ref());
    secret.non_secure_erase();
    Ok(ResultObject::new()
        .with("claim", hex(claim.map_err(refused)?))
        .with("digest", hex(message.digest()))
        .done())
}

/// A tunnel as it is shown, with what [`Shown`] borrows.
struct ShownTunnel {
    header: Vec<u8>,
    header_signature: Vec<u8>,
    index: u32,
    path: Vec<[u8; 32]>,
    secret: [u8; 32],
    assignment: Option<Vec<u8>>,
    others: Vec<([u8; 32], Vec<u8>)>,
}

impl ShownTunnel {
    fn read(p: Params<'_>) -> Result<Self, OpError> {
        Ok(Self {
            header: p.hex("header")?,
            header_signature: p.hex("header_signature")?,
            index: p.u32("index")?,
            path: hashes(p, "path")?,
            secret: p.array("secret")?,
            assignment: p.maybe("assignment", Params::hex)?,
            others: objects(p, "other_assignments", |p| {
                Ok((p.array("assignee")?, p.hex("assignment")?))
            })?,
        })
    }
}

/// `amp_tunnel.verify`, the third party's: `chain_hash`, `recipient_id`, `payment_addr`, `request`;
/// `receipt`, and with it optionally `htlcs` [{`payment_hash`, `amount_msat`}]; `tunnel` {`header`,
/// `header_signature`, `index`, `path`, `secret`, `assignment` (absent: anybody may show it),
/// `other_assignments` [{`assignee`, `assignment`}]}; `challenge` and `claim` (both or none) →
/// `tier` (0 to 3), `claimed`, `rebutted`, `statement` (what is proven, and what is not), the same as
/// lists of sentences in `proven` and `not_proven`, `commitment`, `payment_time`, `amount_msat`,
/// `payer_key`; for a bound request or with a receipt `set_id` and `root_hash`; with a receipt
/// `received_msat` and `settled_time`; with a tunnel `index`, `payment_hash` and `lsp_id`.
pub(crate) fn verify(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let place = place(rules, p)?;
    let request = p.hex("request")?;
    let receipt = p.maybe("receipt", Params::hex)?;
    let htlcs = p.maybe("htlcs", |p, name| objects(p, name, htlc))?;
    let tunnel = p.maybe("tunnel", |p, name| {
        ShownTunnel::read(Params::new(p.need(name)?))
    })?;
    let challenge = p.maybe("challenge", Params::array::<32>)?;
    let claim = p.maybe("claim", Params::hex)?;
    let others: Vec<Other<'_>> = tunnel
        .iter()
        .flat_map(|tunnel| &tunnel.others)
        .map(|(assignee, assignment)| Other {
            assignee: *assignee,
            assignment,
        })
        .collect();
    let proof = Proof {
        place: &place,
        request: &request,
        receipt: receipt.as_deref(),
        htlcs: htlcs.as_deref(),
        tunnel: tunnel.as_ref().map(|tunnel| Shown {
            header: &tunnel.header,
            header_signature: &tunnel.header_signature,
            index: tunnel.index,
            path: &tunnel.path,
            secret: tunnel.secret,
            assignment: tunnel.assignment.as_deref(),
            others: &others,
        }),
        challenge: challenge.as_ref(),
        claim: claim.as_deref(),
    };
    let verified = ait::verify(rules, &proof).map_err(refused)?;
    let stated = verified.receipt.as_ref().map(|r| r.statement);
    let opening = &verified.opening;
    let bound = ait::root_bound(&verified.request)
        .then(|| (*opening.set_id, ait::root_hash(&opening.root)));
    let set = stated.map(|s| (s.set_id, s.root_hash)).or(bound);
    let entry = verified.tunnel.as_ref();
    Ok(ResultObject::new()
        .with("tier", verified.tier)
        .with("claimed", verified.claimed)
        .with("rebutted", verified.rebutted)
        .with("statement", verified.statement())
        .with("proven", verified.proven.clone())
        .with("not_proven", verified.not_proven.clone())
        .with("commitment", hex(opening.commitment.as_slice()))
        .with("payment_time", verified.request.payment_time.to_string())
        .with("amount_msat", verified.request.amount_msat.to_string())
        .with("payer_key", hex(verified.request.payer_key))
        .maybe("set_id", set.map(|(set_id, _)| hex(set_id)))
        .maybe("root_hash", set.map(|(_, root_hash)| hex(root_hash)))
        .maybe("received_msat", stated.map(|s| s.received_msat.to_string()))
        .maybe("settled_time", stated.map(|s| s.settled_time.to_string()))
        .maybe("index", tunnel.as_ref().map(|tunnel| tunnel.index))
        .maybe("payment_hash", entry.map(|(_, hash)| hex(hash)))
        .maybe("lsp_id", entry.map(|(header, _)| hex(header.lsp_id)))
        .done())
}

/// `amp_tunnel.fraud`: `lsp_id`, `assignments` [two of {`assignment`, and `assignee`, or `commitment`,
/// or `request` with its place}] → `proven` (the LSP assigned one entry to two requests),
/// `statement`, and, where it is proven, `root` and `index`.
pub(crate) fn fraud(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let lsp_id = p.array("lsp_id")?;
    p.need("assignments")?;
    let given = objects(p, "assignments", |p| {
        Ok((assignee(rules, p)?, p.hex("assignment")?))
    })?;
    let [first, second] = given.as_slice() else {
        return Err(OpError::invalid(format!(
            "param assignments holds {}, not two",
            given.len()
        )));
    };
    let both = [first, second].map(|(assignee, assignment)| Other {
        assignee: *assignee,
        assignment,
    });
    let fraud = ait::fraud(rules, &lsp_id, both).map_err(refused)?;
    Ok(ResultObject::new()
        .with("proven", fraud.proven)
        .with("statement", fraud.statement)
        .maybe("root", fraud.entry.map(|(root, _)| hex(root)))
        .maybe("index", fraud.entry.map(|(_, index)| index))
        .done())
}

/// `amp_tunnel.contradiction`: `recipient_id`; `commitment`, or `request` with its place; `receipts`
/// [two] → `proven` (the recipient signed two receipts for one commitment that state different
/// things), `statement`, and, where it is proven, `differs` [names of fields].
pub(crate) fn contradiction(rules: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let recipient_id = recipient_id(rules, p)?;
    let (commitment, _) = commitment(rules, p)?;
    p.need("receipts")?;
    let receipts = items(p, "receipts", |p, name| p.hex(name))?;
    let [first, second] = receipts.as_slice() else {
        return Err(OpError::invalid(format!(
            "param receipts holds {}, not two",
            receipts.len()
        )));
    };
    let found =
        ait::contradiction(rules, &recipient_id, &commitment, [first, second]).map_err(refused)?;
    Ok(ResultObject::new()
        .with("proven", found.proven)
        .with("statement", found.statement)
        .maybe("differs", found.proven.then_some(found.differs))
        .done())
}

/// `amp_tunnel.alpha`: `amount_msat`, `alphas` [parts in a million, 0 to 1000000] → `rows`
/// [{`alpha_ppm`, `tunnel_msat`, `amp_msat`, `lsp_most_msat` (what an LSP gains that hands an entry
/// out twice), `recipient_most_msat` (what a recipient gains that keeps the AMP part and cancels the
/// tunnel)}].
pub(crate) fn alpha(_: &Rules, params: &Value) -> Outcome {
    let p = Params::new(params);
    let amount = p.u64("amount_msat")?;
    p.need("alphas")?;
    let rows = items(p, "alphas", |p, name| p.u32(name))?
        .into_iter()
        .map(|ppm| {
            if ppm > PPM {
                return Err(OpError::invalid(format!(
                    "param alphas holds {ppm}, more than a million parts"
                )));
            }
            let (tunnel, amp) = ait::split(amount, ppm);
            Ok(ResultObject::new()
                .with("alpha_ppm", ppm)
                .with("tunnel_msat", tunnel.to_string())
                .with("amp_msat", amp.to_string())
                .with("lsp_most_msat", tunnel.to_string())
                .with("recipient_most_msat", amp.to_string())
                .done())
        })
        .collect::<Result<Vec<Value>, OpError>>()?;
    Ok(ResultObject::new().with("rows", rows).done())
}

#[cfg(test)]
mod tests {
    use crate::Reference;
    use lnconform_drafts::bolt12::merkle::tagged_hash;
    use lnconform_drafts::keys::{SecretKey, public};
    use lnconform_drafts::rules;
    use lnconform_protocol::params::{hex, hex_bytes};
    use lnconform_protocol::{Answer, ErrorKind, OpError};
    use serde_json::{Value, json};

    fn ok(op: &str, params: &Value) -> Value {
        match Reference::default().answer(op, params) {
            Answer::Result(result) => result,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn refused(op: &str, params: &Value) -> OpError {
        match Reference::default().answer(op, params) {
            Answer::Error(error) => error,
            other => panic!("{op} {params}: {other:?}"),
        }
    }

    fn secret(byte: u8) -> String {
        hex([byte; 32])
    }

    fn point(byte: u8) -> String {
        hex(public(&SecretKey::from_slice(&[byte; 32]).unwrap()).serialize())
    }

    /// `base` with the fields of `more`.
    fn with(base: &Value, more: Value) -> Value {
        let mut all = base.clone();
        for (name, value) in more.as_object().unwrap() {
            all[name] = value.clone();
        }
        all
    }

    /// The digest of a message is the tagged hash of what a node is given to sign.
    fn signable(answer: &Value) {
        let message = hex_bytes(answer["message"].as_str().unwrap()).unwrap();
        let tag = answer["tag"].as_str().unwrap();
        assert!(!message.is_empty() && tag.starts_with("ln-ait/0/"));
        assert_eq!(answer["digest"], hex(tagged_hash(tag.as_bytes(), &message)));
    }

    #[test]
    fn a_tunneled_payment_from_end_to_end() {
        let (recipient, payer, lsp) = (0x42, 0x24, 0x77);
        let request = ok(
            "amp_tunnel.request.encode",
            &json!({
                "flags": 3, "nonce": secret(1), "payment_time": "1700000000", "amount_msat": "50000",
                "payer_key": point(payer)[2..],
            }),
        )["request"]
            .clone();
        let fields = ok("amp_tunnel.request.decode", &json!({"request": request}));
        assert_eq!(fields["receipt_wanted"], true);
        assert_eq!(fields["root_bound"], true);
        assert_eq!(ok("amp_tunnel.request.encode", &fields)["request"], request);

        let whom = json!({
            "chain_hash": secret(6), "recipient_id": point(recipient), "payment_addr": secret(0xaa),
        });
        let place = with(&whom, json!({"request": request}));
        let opened = ok("amp_tunnel.commit", &place);

        // The recipient makes a pool, the LSP assigns entry 2, the payer checks.
        let params = with(
            &whom,
            json!({
                "lsp_id": point(lsp), "expiry": "1700000600",
                "secrets": [secret(1), secret(2), secret(3)], "secret_key": secret(recipient),
            }),
        );
        let pool = ok("amp_tunnel.pool.build", &params);
        signable(&pool);
        assert_eq!(pool["message"], pool["header"]);
        let header = ok("amp_tunnel.pool.decode", &json!({"header": pool["header"]}));
        assert_eq!(header["count"], 3);
        assert_eq!(header["root"], pool["root"]);
        let asked = json!({"header": pool["header"], "index": 2, "assignee": opened["assignee"]});
        let message = ok("amp_tunnel.assignment.message", &asked);
        signable(&message);
        assert_eq!(
            ok(
                "amp_tunnel.assignment.message",
                &with(&place, json!({"root": pool["root"], "index": 2}))
            ),
            message
        );
        let assigned = ok(
            "amp_tunnel.assignment.sign",
            &with(&asked, json!({"secret_key": secret(lsp)})),
        );
        let assignment = assigned["assignment"].clone();
        let read = ok(
            "amp_tunnel.assignment.decode",
            &json!({"assignment": assignment}),
        );
        assert_eq!(read["index"], 2);
        let parts = with(
            &asked,
            json!({"signature": read["signature"], "lsp_id": point(lsp)}),
        );
        assert_eq!(
            ok("amp_tunnel.assignment.assemble", &parts)["assignment"],
            assignment
        );
        let foreign = with(&parts, json!({"lsp_id": point(9)}));
        assert_eq!(
            refused("amp_tunnel.assignment.assemble", &foreign)
                .rule
                .as_deref(),
            Some(rules::AIT_ASSIGNMENT_SIGNATURE)
        );
        let taken = with(
            &asked,
            json!({"assigned": [{"index": 2, "assignee": secret(5)}]}),
        );
        let error = refused("amp_tunnel.assignment.message", &taken);
        assert_eq!(
            (error.kind, error.rule.as_deref()),
            (ErrorKind::Rejected, Some(rules::AIT_ASSIGN_ONCE))
        );
        let offer = with(
            &place,
            json!({
                "lsp_id": point(lsp), "header": pool["header"], "header_signature": pool["signature"],
                "index": 2, "payment_hash": pool["hashes"][2], "path": pool["paths"][2],
                "assignment": assignment, "now": "1700000600",
            }),
        );
        assert_eq!(
            ok("amp_tunnel.pool.check", &offer)["commitment"],
            opened["commitment"]
        );
        let late = with(&offer, json!({"now": "1700000601"}));
        assert_eq!(
            refused("amp_tunnel.pool.check", &late).rule.as_deref(),
            Some(rules::AIT_PAYER_POOL_EXPIRY)
        );

        // Both parts arrive.
        let cut = json!({"amounts": ["15000", "25000"], "shares": [secret(0x31)]});
        let shards = ok("amp_tunnel.shards", &with(&place, cut));
        assert_eq!(shards["set_id"], opened["set_id"]);
        assert_eq!(shards["total_msat"], "40000");
        let htlcs: Vec<Value> = shards["shards"]
            .as_array()
            .unwrap()
            .iter()
            .map(|shard| with(shard, json!({"request": request})))
            .collect();
        let arrived = with(
            &whom,
            json!({
                "set_id": shards["set_id"], "total_msat": "40000", "htlcs": htlcs,
                "now": "1700000005", "amp_settled": true,
                "pool": {"header": pool["header"], "hashes": pool["hashes"]},
                "tunnel": {
                    "payment_hash": pool["hashes"][2], "total_msat": "10000", "assignment": assignment,
                    "htlcs": [{"request": request, "amount_msat": "10000"}],
                },
            }),
        );
        let due = ok("amp_tunnel.accept", &arrived);
        assert_eq!(due["receipt_due"], true);
        assert_eq!(due["received_msat"], "50000");
        assert_eq!(due["root_hash"], opened["root_hash"]);
        let released = ok("amp_tunnel.settle", &arrived);
        assert_eq!(released["release"], true);
        assert_eq!(released["index"], 2);
        assert_eq!(released["set_digest"], due["set_digest"]);
        let early = with(&arrived, json!({"amp_settled": false}));
        let error = refused("amp_tunnel.settle", &early);
        assert_eq!(
            (error.kind, error.rule.as_deref()),
            (ErrorKind::Rejected, Some(rules::AIT_AMP_SETTLED))
        );
        let empty = with(&arrived, json!({"htlcs": []}));
        assert_eq!(refused("amp_tunnel.accept", &empty).rule, None);

        // A receipt, by a key or by a node.
        let stated = with(&due, json!({"settled_time": "1700000009"}));
        let message = ok("amp_tunnel.receipt.message", &stated);
        signable(&message);
        let keyed = with(&stated, json!({"secret_key": secret(recipient)}));
        let receipt = ok("amp_tunnel.receipt.sign", &keyed)["receipt"].clone();
        let read = ok("amp_tunnel.receipt.decode", &json!({"receipt": receipt}));
        assert_eq!(read["set_digest"], due["set_digest"]);
        let parts = with(
            &stated,
            json!({"signature": read["signature"], "recipient_id": point(recipient)}),
        );
        assert_eq!(
            ok("amp_tunnel.receipt.assemble", &parts)["receipt"],
            receipt
        );
        let foreign = with(&parts, json!({"recipient_id": point(9)}));
        assert_eq!(
            refused("amp_tunnel.receipt.assemble", &foreign)
                .rule
                .as_deref(),
            Some(rules::AIT_SIGNATURE)
        );

        // A claim, and the verifier.
        let asked = with(&place, json!({"challenge": secret(9)}));
        signable(&ok("amp_tunnel.claim.message", &asked));
        let keyed = with(&asked, json!({"secret_key": secret(payer)}));
        let claim = ok("amp_tunnel.claim.sign", &keyed)["claim"].clone();
        let mut set: Vec<Value> = htlcs.clone();
        set.push(json!({"payment_hash": pool["hashes"][2], "amount_msat": "10000"}));
        let tunnel = json!({
            "header": pool["header"], "header_signature": pool["signature"], "index": 2,
            "path": pool["paths"][2], "secret": secret(3), "assignment": assignment,
        });
        let proof = with(&asked, json!({"claim": claim, "tunnel": tunnel}));
        let told = ok("amp_tunnel.verify", &proof);
        assert_eq!(
            (&told["tier"], &told["claimed"], &told["rebutted"]),
            (&json!(2), &json!(true), &json!(false))
        );
        assert_eq!(told["payment_hash"], pool["hashes"][2]);
        let more = json!({"receipt": receipt, "htlcs": set});
        let told = ok("amp_tunnel.verify", &with(&proof, more));
        assert_eq!(told["tier"], 3);
        assert_eq!(told["received_msat"], "50000");

        // The LSP assigns the entry again.
        let again = json!({
            "root": pool["root"], "index": 2, "assignee": secret(5), "secret_key": secret(lsp),
        });
        let second = ok("amp_tunnel.assignment.sign", &again)["assignment"].clone();
        let others = json!([{"assignee": secret(5), "assignment": second}]);
        let shown = with(&tunnel, json!({"other_assignments": others}));
        let told = ok("amp_tunnel.verify", &with(&proof, json!({"tunnel": shown})));
        assert_eq!(
            (&told["tier"], &told["rebutted"]),
            (&json!(1), &json!(true))
        );
        let both = json!({
            "lsp_id": point(lsp),
            "assignments": [with(&place, json!({"assignment": assignment})), others[0]],
        });
        let fraud = ok("amp_tunnel.fraud", &both);
        assert_eq!(
            (&fraud["proven"], &fraud["root"], &fraud["index"]),
            (&json!(true), &pool["root"], &json!(2))
        );
        let same = json!({
            "lsp_id": point(lsp), "assignments": [others[0], others[0]],
        });
        assert_eq!(ok("amp_tunnel.fraud", &same)["proven"], false);

        // The recipient states something else.
        let other = with(&stated, json!({"settled_time": "1700000010"}));
        let keyed = with(&other, json!({"secret_key": secret(recipient)}));
        let second = ok("amp_tunnel.receipt.sign", &keyed)["receipt"].clone();
        let both = with(&place, json!({"receipts": [receipt, second]}));
        let found = ok("amp_tunnel.contradiction", &both);
        assert_eq!(found["differs"], json!(["settled_time"]));
    }

    #[test]
    fn an_unbound_set_takes_root_and_set_id_from_its_payer() {
        let request = ok(
            "amp_tunnel.request.encode",
            &json!({
                "flags": 1, "nonce": secret(1), "payment_time": "1", "amount_msat": "3",
                "payer_key": point(1)[2..],
            }),
        )["request"]
            .clone();
        let params = json!({
            "chain_hash": secret(6), "recipient_id": point(2), "payment_addr": secret(7),
            "request": request, "amounts": ["1", "2"], "shares": [secret(3)], "first_index": 5,
        });
        assert_eq!(refused("amp_tunnel.shards", &params).rule, None);
        let own = with(&params, json!({"root": secret(8), "set_id": secret(9)}));
        let shards = ok("amp_tunnel.shards", &own);
        assert_eq!(shards["root"], secret(8));
        assert_eq!(shards["shards"][1]["index"], 6);
        assert_eq!(shards["shards"][1]["root_share"], secret(8 ^ 3));
        let short = with(&own, json!({"shares": []}));
        assert_eq!(refused("amp_tunnel.shards", &short).rule, None);
    }

    #[test]
    fn alpha_is_a_table() {
        let table = ok(
            "amp_tunnel.alpha",
            &json!({"amount_msat": "1000001", "alphas": [0, 200_000, 1_000_000]}),
        );
        assert_eq!(
            table["rows"][1],
            json!({
                "alpha_ppm": 200_000, "tunnel_msat": "200000", "amp_msat": "800001",
                "lsp_most_msat": "200000", "recipient_most_msat": "800001",
            })
        );
        let above = json!({"amount_msat": "1", "alphas": [1_000_001]});
        assert_eq!(refused("amp_tunnel.alpha", &above).rule, None);
    }
}
