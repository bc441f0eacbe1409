//! Trampoline payments in the numbers of pull request 836: types 12, 14, 20, 21 and 22, failures
//! `NODE|25`, `NODE|26` and `PERM|27`, under two onions. The probe as payer, as trampoline that waits for
//! nobody, and as the recipient of a trampoline onion.

use crate::blind::Path;
use crate::misbehave::Plan;
use crate::node::env::lock;
use crate::node::{Node, set_fields};
use crate::ops;
use crate::payee::{Invoice, Set};
use crate::shot::{payment_data, truncated};
use crate::trampoline::relay::{DELTA, Relay};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::types::payment::PaymentPreimage;
use lnconform_drafts::failure::{self, code};
use lnconform_drafts::keys;
use lnconform_drafts::onion::{self, Context, Hop};
use lnconform_drafts::payload::{self, Payload, kind};
use lnconform_drafts::rules::{self, Rules};
use lnconform_drafts::tlv::{self, Record};
use lnconform_drafts::trampoline::{self, Action, Place, Receiver};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::{Params, ResultObject, hex};
use std::collections::HashMap;

/// What the option `trampoline` of `node.start` says.
pub const OPTION: &str = "pr-836";
/// Feature bit `trampoline_routing`, optional.
pub const FEATURE: usize = 57;
/// What the probe asks for as a trampoline, and what it leaves others as a payer unless a step says otherwise,
/// in msat.
pub(crate) const FEE_MSAT: u64 = 1_000;
/// BOLT 4, failure messages: a payment secret that is not the invoice's.
const PAYMENT_SECRET: &str = "bolt04/failure/payment-secret";

/// Secrets of inner onions, by payment hash.
#[derive(Default)]
pub struct Secrets {
    sent: HashMap<[u8; 32], Vec<[u8; 32]>>,
    held: HashMap<[u8; 32], [u8; 32]>,
}

impl Secrets {
    /// Keeps what is shared with the payer of a payment that has come; nothing, if its onion could not be
    /// read.
    fn keep(&mut self, hash: [u8; 32], shared: Option<[u8; 32]>) {
        match shared {
            Some(shared) => self.held.insert(hash, shared),
            None => self.held.remove(&hash),
        };
    }

    /// Keeps what is shared with the nodes of the inner onion of a payment of ours.
    pub fn sent(&mut self, hash: [u8; 32], inner: Vec<[u8; 32]>) {
        self.sent.insert(hash, inner);
    }

    /// What is shared with the payer of a payment that has come.
    pub fn inner(&self, hash: &[u8; 32]) -> Option<[u8; 32]> {
        self.held.get(hash).copied()
    }

    /// What a payer reads failures of a payment with, its outer secrets first: those of trampolines
    /// count on from the hops of the outer onion.
    pub fn both(&self, hash: Option<[u8; 32]>, outer: Vec<[u8; 32]>) -> Vec<[u8; 32]> {
        let inner = hash.and_then(|hash| self.sent.get(&hash));
        [outer, inner.cloned().unwrap_or_default()].concat()
    }
}

/// A failure for the payer of a payment: under the inner secret first where there is one, then under the
/// outer one.
///
/// # Errors
/// That of a failure that is too long.
pub fn failure(
    inner: Option<[u8; 32]>,
    outer: &[u8; 32],
    message: &[u8],
) -> Result<Vec<u8>, failure::CreateError> {
    let rules = Rules::all();
    let first = inner.as_ref().unwrap_or(outer);
    let packet = failure::create(&rules, first, message, failure::PADDED)?.packet;
    Ok(match inner {
        Some(_) => failure::wrap(outer, &packet),
        None => packet,
    })
}

// ---- payer

/// A payment through trampolines.
pub struct Through<'a> {
    /// The trampolines, and the recipient behind them.
    pub nodes: &'a [PublicKey],
    /// Of the invoice.
    pub hash: [u8; 32],
    /// Of the invoice.
    pub secret: [u8; 32],
    /// What the recipient is to get, in msat.
    pub amount_msat: u64,
    /// When its HTLC expires, blocks from `height`.
    pub delta: u32,
    /// Of the tip.
    pub height: u32,
    /// What each trampoline keeps, in msat.
    pub fee_msat: u64,
    /// What each trampoline has between the two expiries, in blocks.
    pub step: u32,
    /// The HTLCs to the first trampoline, in msat; none: all of it in one.
    pub parts: &'a [u64],
}

impl Through<'_> {
    /// The payment to the first trampoline, and what is shared with the nodes of the inner onion.
    /// `outer` is the payment secret of the outer onion, `session` the key of the inner one.
    ///
    /// # Errors
    /// There are no nodes, or their payloads do not fit.
    pub fn plan(
        &self,
        outer: [u8; 32],
        session: &SecretKey,
        lie: Option<&str>,
    ) -> Result<(Plan, Vec<[u8; 32]>), OpError> {
        let first = self.nodes.first();
        let first = *first.ok_or_else(|| OpError::invalid("param trampolines is empty"))?;
        let mut hops = Vec::with_capacity(self.nodes.len());
        let (mut amount, mut delta) = (self.amount_msat, self.delta);
        // What a trampoline is to pass on is what the next one is to get.
        for (at, node) in self.nodes.iter().enumerate().rev() {
            let cltv = self.height.saturating_add(delta);
            let mut records = vec![
                Record::new(kind::AMOUNT, truncated(amount)),
                Record::new(kind::CLTV, truncated(cltv.into())),
            ];
            match self.nodes.get(at + 1) {
                Some(next) => {
                    records.push(Record::new(kind::OUTGOING_NODE_ID, next.serialize()));
                    amount = amount.saturating_add(self.fee_msat);
                    delta = delta.saturating_add(self.step);
                }
                None => records.push(payment_data(&self.secret, self.amount_msat)),
            }
            hops.push((*node, records));
        }
        hops.reverse();
        let honest = hops.clone();
        if let Some(lie) = lie {
            self.lie(lie, &mut hops);
            let elsewhere = [
                "trampoline-version",
                "trampoline-key",
                "trampoline-hmac",
                "trampoline-cut",
                "trampoline-final-total",
            ];
            if hops == honest && !elsewhere.contains(&lie) {
                return Err(OpError::invalid(format!(
                    "param misbehave is {lie}, which changes nothing in this payment"
                )));
            }
        }
        let framed = hops.iter().map(|(pubkey, records)| Hop {
            pubkey: *pubkey,
            framed: onion::frame(&tlv::encode_unchecked(records)),
        });
        let framed: Vec<Hop> = framed.collect();
        let size = onion::needed(&framed);
        let built = onion::build(&Rules::all(), session, &self.hash, &framed, size)
            .map_err(|e| OpError::invalid(format!("the trampoline onion cannot be made: {e}")))?;
        let mut packet = built.packet;
        match lie {
            Some("trampoline-version") => packet[0] = 1,
            Some("trampoline-key") => packet[1] = 5,
            Some("trampoline-cut") => packet.truncate(onion::OVERHEAD - 1),
            Some("trampoline-hmac") => {
                if let Some(last) = packet.last_mut() {
                    *last ^= 1;
                }
            }
            _ => {}
        }
        let mut parts = match self.parts {
            [] => vec![amount],
            parts => parts.to_vec(),
        };
        if parts.iter().sum::<u64>() != amount {
            let why = format!("param parts does not add up to the {amount} msat with fees");
            return Err(OpError::invalid(why));
        }
        if lie == Some("trampoline-final-total") {
            match &mut parts[..] {
                [_, .., last] if *last > 0 => *last -= 1,
                _ => {
                    let why =
                        "param misbehave is trampoline-final-total, which needs several parts";
                    return Err(OpError::invalid(why));
                }
            }
        }
        let mut plan = Plan::new(first, self.hash, parts, delta);
        plan.with_secret(outer);
        plan.records = vec![Record::new(kind::TRAMPOLINE_ONION, packet)];
        Ok((plan, built.shared_secrets))
    }

    /// Changes what the payloads of the inner onion say.
    fn lie(&self, name: &str, hops: &mut [(PublicKey, Vec<Record>)]) {
        let set = |records: &mut Vec<Record>, kind: u64, value: Vec<u8>| {
            for record in records.iter_mut().filter(|r| r.kind == kind) {
                record.value.clone_from(&value);
            }
        };
        let above = self.height.saturating_add(self.delta).saturating_add(1);
        if let Some((_, last)) = hops.last_mut() {
            match name {
                "trampoline-final-amount" => {
                    set(
                        last,
                        kind::AMOUNT,
                        truncated(self.amount_msat.saturating_add(1)),
                    );
                }
                "trampoline-final-cltv" => set(last, kind::CLTV, truncated(above.into())),
                "trampoline-final-secret" => last.retain(|r| r.kind != kind::PAYMENT_DATA),
                _ => {}
            }
        }
        if let Some((_, first)) = hops.first_mut() {
            match name {
                "trampoline-no-amount" => first.retain(|r| r.kind != kind::AMOUNT),
                "trampoline-no-cltv" => first.retain(|r| r.kind != kind::CLTV),
                "trampoline-no-node" => first.retain(|r| r.kind != kind::OUTGOING_NODE_ID),
                "trampoline-unknown-even" => first.push(Record::new(65_536, [])),
                _ => {}
            }
        }
    }
}

/// `invoice.pay` with `trampolines` [node ids], the first of them a peer, and for each of them
/// `trampoline_fee_msat` (1000) and `trampoline_delta` (blocks, 40). `parts` are the HTLCs to the first. With
/// none, the recipient itself gets the trampoline onion.
pub(crate) fn pay(
    params: Params<'_>,
    node: &Node,
    hash: [u8; 32],
    secret: [u8; 32],
    (to, amount_msat, delta): (PublicKey, u64, u32),
    lie: Option<&str>,
) -> Outcome {
    if let Some(name) = lie.filter(|name| !name.starts_with("trampoline-")) {
        let why = format!("param misbehave is {name}, which a payment by trampolines cannot do");
        return Err(OpError::invalid(why).into());
    }
    let mut nodes = node_ids(params)?;
    nodes.push(to);
    let parts = match params.get("parts") {
        None => Vec::new(),
        Some(_) => ops::parts(params, 0)?,
    };
    let fee_msat = params.maybe("trampoline_fee_msat", Params::number)?;
    let step = params.maybe("trampoline_delta", Params::u32)?;
    let through = Through {
        nodes: &nodes,
        hash,
        secret,
        amount_msat,
        delta,
        height: node.hook.height(),
        fee_msat: fee_msat.unwrap_or(FEE_MSAT),
        step: step.unwrap_or(DELTA),
        parts: &parts,
    };
    let (plan, inner) = through.plan(node.hook.draw(), &node.hook.draw_key(), lie)?;
    lock(&node.hook.pr836).sent(hash, inner);
    ops::start(node, &plan)
}

/// Param `trampolines`.
pub(crate) fn node_ids(params: Params<'_>) -> Result<Vec<PublicKey>, OpError> {
    let bad = || OpError::invalid("param trampolines is no list of node ids");
    let mut nodes = Vec::new();
    for id in params.list("trampolines")? {
        let id = id.as_str().ok_or_else(bad)?;
        nodes.push(id.parse::<PublicKey>().map_err(|_| bad())?);
    }
    Ok(nodes)
}

// ---- trampoline and recipient

/// What is to be done with a set that came with a trampoline onion.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Todo {
    /// It goes on.
    Relay(Box<Relay>),
    /// It is for this node: the payment secret that the payer has, or the mark in a path of this node's.
    Receive(Option<[u8; 32]>),
}

/// Why a set is failed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The requirement, where one says so.
    pub rule: Option<&'static str>,
    /// Code and data.
    pub failure: Vec<u8>,
    /// In words.
    pub message: String,
}

fn refusal(rule: Option<&'static str>, code: u16, data: &[u8], message: &str) -> Refusal {
    Refusal {
        rule,
        failure: [&code.to_be_bytes()[..], data].concat(),
        message: message.to_owned(),
    }
}

/// Takes a layer off the onion inside. `by_channel` says who is at the other end of a channel. Answers what
/// is shared with the payer too, as far as the onion can be read.
pub fn open(
    secret: &SecretKey,
    hash: &[u8; 32],
    set: &Set,
    by_channel: impl Fn(u64) -> Option<PublicKey>,
) -> (Option<[u8; 32]>, Result<Todo, Refusal>) {
    let packet = set.trampoline.clone().unwrap_or_default();
    let rules = Rules::all();
    let context = Context {
        associated_data: hash,
        size: None,
        path_key: set
            .path_key
            .and_then(|key| PublicKey::from_slice(&key).ok()),
    };
    let shared = onion::peel(&rules, secret, &packet, context).ok();
    let shared = shared.map(|peeled| peeled.shared_secret);
    let (amount_msat, total_msat) = set.first();
    let outer = Payload {
        amt_to_forward: Some(amount_msat),
        outgoing_cltv_value: Some(set.cltv_expiry),
        // The secret has done its part when the set was put together.
        payment_data: Some(([0; 32], total_msat)),
        trampoline_onion: Some(packet.clone()),
        path_key: set.path_key,
        ..Payload::default()
    };
    let receiver = Receiver {
        supports: true,
        secret,
        associated_data: hash,
        received_msat: set.amount_msat,
        cltv_expiry: Some(set.cltv_expiry),
    };
    let todo = match trampoline::receive(&rules, &outer, &receiver) {
        Err(e) => Err(unreadable(e, &packet, set)),
        Ok((inner, Action::Receive)) => {
            let mark = inner.data.and_then(|data| data.path_id);
            let mark = mark.and_then(|mark| mark.try_into().ok());
            Ok(Todo::Receive(inner.payment_data.map(|(s, _)| s).or(mark)))
        }
        Ok((inner, Action::Forward { node, records })) => {
            let channel = inner.data.as_ref().and_then(|data| data.short_channel_id);
            let next = match (node, channel) {
                (Some(id), _) => PublicKey::from_slice(&id).ok(),
                (None, Some(channel)) => by_channel(channel),
                (None, None) => None,
            };
            forward(hash, set, &inner, next, records)
        }
        Ok((inner, Action::Deliver)) => deliver(hash, set, &inner),
        Ok((_, Action::Wait)) => {
            // The set was put together before it was opened.
            let message = "parts are missing";
            Err(refusal(None, code::MPP_TIMEOUT, &[], message))
        }
    };
    (shared, todo)
}

fn unreadable(e: trampoline::Error, packet: &[u8], set: &Set) -> Refusal {
    let onion = keys::sha256(&[packet]);
    match e {
        // Pull request 836, receiver: the inner onion is processed as any onion is.
        trampoline::Error::Rule(violation) => {
            let code = match violation.rule {
                rules::ONION_VERSION => failure::BADONION | failure::PERM | 4,
                rules::ONION_PUBLIC_KEY => failure::BADONION | failure::PERM | 6,
                _ => failure::BADONION | failure::PERM | 5,
            };
            refusal(Some(violation.rule), code, &onion, &violation.message)
        }
        trampoline::Error::Payload(payload::Error::Refused(refused)) => {
            let rule = Some(refused.violation.rule);
            let data = match refused.code {
                // The type and the place of a field that nobody looks for.
                code::INVALID_ONION_PAYLOAD => vec![0, 0, 0],
                code::FINAL_INCORRECT_CLTV_EXPIRY => set.cltv_expiry.to_be_bytes().to_vec(),
                code::FINAL_INCORRECT_HTLC_AMOUNT => set.amount_msat.to_be_bytes().to_vec(),
                _ => Vec::new(),
            };
            refusal(rule, refused.code, &data, &refused.violation.message)
        }
        other => refusal(
            None,
            code::INVALID_ONION_PAYLOAD,
            &[0, 0, 0],
            &other.to_string(),
        ),
    }
}

fn forward(
    hash: &[u8; 32],
    set: &Set,
    inner: &Payload,
    next: Option<PublicKey>,
    records: Vec<Record>,
) -> Result<Todo, Refusal> {
    let told = (
        inner.amt_to_forward.unwrap_or_default(),
        inner.outgoing_cltv_value.unwrap_or_default(),
    );
    // Inside a blinded path its creator has said what is kept.
    let (amount_msat, cltv_expiry) = inner.forward.unwrap_or(told);
    let unknown = || {
        let message = "the next trampoline is nobody that the probe knows";
        refusal(None, failure::PERM | 27, &[], message)
    };
    let next = next.ok_or_else(unknown)?;
    if inner.forward.is_none() {
        afforded(set, amount_msat, cltv_expiry)?;
    }
    let find = |kind| records.iter().find(|r: &&Record| r.kind == kind);
    let path_key = find(kind::PATH_KEY).and_then(|record| record.value[..].try_into().ok());
    let onion = find(kind::TRAMPOLINE_ONION).map(|record| record.value.clone());
    Ok(Todo::Relay(Box::new(Relay {
        next,
        hash: *hash,
        amount_msat,
        cltv_expiry,
        payment_data: None,
        onion,
        path_key,
        path: None,
        masked: masked(place(set, inner), set),
        metadata: None,
        payment: None,
        attempts: 0,
    })))
}

/// Where a trampoline stands in a blinded path of trampolines.
fn place(set: &Set, inner: &Payload) -> Place {
    match (set.path_key, inner.path_key) {
        (Some(_), _) => Place::Inside,
        (None, Some(_)) => Place::Introduction,
        (None, None) => Place::Outside,
    }
}

/// Pull request 836, receiver: what is told of a failure that comes back inside a blinded path, whatever it
/// says. `None` outside of one.
fn masked(place: Place, set: &Set) -> Option<Vec<u8>> {
    let onion = set.trampoline.as_deref().unwrap_or_default();
    let inside = place != Place::Outside;
    inside.then(|| trampoline::answer_failure(place, true, &[], onion))
}

/// What there is no fee or no time for is answered with what the probe asks for.
fn afforded(set: &Set, amount_msat: u64, cltv_expiry: u32) -> Result<(), Refusal> {
    if amount_msat.saturating_add(FEE_MSAT) > set.amount_msat
        || cltv_expiry.saturating_add(DELTA) > set.cltv_expiry
    {
        // Base fee, proportional fee, delta: what the probe asks for.
        let delta = u16::try_from(DELTA).unwrap_or(u16::MAX).to_be_bytes();
        let base = u32::try_from(FEE_MSAT).unwrap_or(u32::MAX).to_be_bytes();
        let data = [&base[..], &[0; 4], &delta].concat();
        let code = code::TRAMPOLINE_FEE_OR_EXPIRY_INSUFFICIENT;
        let message = format!(
            "{amount_msat} msat until {cltv_expiry} are to go on, and {} msat until {} have come",
            set.amount_msat, set.cltv_expiry
        );
        return Err(refusal(None, code, &data, &message));
    }
    Ok(())
}

/// Pull request 836, receiver: the payment goes along a path of the recipient's.
fn deliver(hash: &[u8; 32], set: &Set, inner: &Payload) -> Result<Todo, Refusal> {
    let amount_msat = inner.amt_to_forward.unwrap_or_default();
    let cltv_expiry = inner.outgoing_cltv_value.unwrap_or_default();
    let paths = inner.recipient_paths.iter().flatten();
    let path = paths.into_iter().find_map(Path::taken_over);
    let path = path.ok_or_else(|| {
        let message = "no path of the recipient's begins at a node id";
        refusal(None, code::TEMPORARY_TRAMPOLINE_FAILURE, &[], message)
    })?;
    afforded(set, path.with_fee(amount_msat), cltv_expiry)?;
    Ok(Todo::Relay(Box::new(Relay {
        // Who that is, the path says when it is paid along.
        next: path.first_node,
        hash: *hash,
        amount_msat,
        cltv_expiry,
        payment_data: None,
        onion: None,
        path_key: None,
        path: Some(path),
        masked: None,
        metadata: None,
        payment: None,
        attempts: 0,
    })))
}

/// The second payment in these numbers.
pub fn translate(plan: &mut Plan) {
    for record in &mut plan.records {
        if record.kind == kind::LEGACY_TRAMPOLINE_ONION {
            record.kind = kind::TRAMPOLINE_ONION;
        }
    }
}

/// Whether a payment secret is that of an invoice.
///
/// # Errors
/// What the payment is failed with.
fn settles(
    invoice: Option<&Invoice>,
    secret: Option<[u8; 32]>,
    set: &Set,
    height: u32,
) -> Result<Option<[u8; 32]>, Refusal> {
    let details = |rule, message: &str| {
        let data = [&set.amount_msat.to_be_bytes()[..], &height.to_be_bytes()];
        let code = code::INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS;
        refusal(rule, code, &data.concat(), message)
    };
    let Some(invoice) = invoice else {
        return Err(details(None, "nothing was asked for with this hash"));
    };
    if secret != Some(invoice.secret) {
        let message = "the payment secret inside is not that of the invoice";
        return Err(details(Some(PAYMENT_SECRET), message));
    }
    if invoice
        .amount_msat
        .is_some_and(|asked| set.amount_msat < asked)
    {
        return Err(details(None, "it is less than the invoice asks for"));
    }
    Ok(invoice.preimage)
}

impl Node {
    /// A set with a trampoline onion has come, all of it.
    pub(crate) fn relay_pr836(&self, hash: [u8; 32], set: &Set) {
        let channels = self.cm.list_channels();
        let by_channel = |scid| {
            let named = |c: &&lightning03::ln::channel_state::ChannelDetails| {
                [
                    c.short_channel_id,
                    c.outbound_scid_alias,
                    c.inbound_scid_alias,
                ]
                .contains(&Some(scid))
            };
            channels.iter().find(named).map(|c| c.counterparty.node_id)
        };
        let (shared, todo) = open(&self.hook.secret, &hash, set, by_channel);
        lock(&self.hook.pr836).keep(hash, shared);
        let mut refused = match todo {
            Ok(Todo::Relay(relay)) => {
                if relay.path.is_some()
                    || channels
                        .iter()
                        .any(|c| c.counterparty.node_id == relay.next)
                {
                    let fields = set_fields(hash, set).with("next", relay.next.to_string());
                    lock(&self.relays).insert(hash, *relay);
                    self.hook
                        .events
                        .push("payment-held", None, (), fields.done());
                    return;
                }
                let message = "the next trampoline has no channel with the probe";
                refusal(None, failure::PERM | 27, &[], message)
            }
            Ok(Todo::Receive(secret)) => {
                let invoice = {
                    let payee = lock(&self.hook.payee);
                    payee.invoice(&hash).or_else(|| payee.paths.of(&hash))
                };
                match settles(invoice.as_ref(), secret, set, self.hook.height()) {
                    Ok(Some(preimage)) => {
                        let preimage = PaymentPreimage(preimage);
                        self.cm.claim_funds_with_known_custom_tlvs(preimage);
                        return;
                    }
                    Ok(None) => {
                        lock(&self.held).insert(hash);
                        let fields = set_fields(hash, set).done();
                        self.hook.events.push("payment-held", None, (), fields);
                        return;
                    }
                    Err(refusal) => refusal,
                }
            }
            Err(refusal) => refusal,
        };
        if set.path_key.is_some() {
            // Pull request 836, receiver: inside a blinded path there is one answer to everything.
            let onion = set.trampoline.as_deref().unwrap_or_default();
            refused.failure =
                trampoline::answer_failure(Place::Inside, false, &refused.failure, onion);
        }
        lock(&self.hook.payee).failed(&hash);
        lock(&self.hook.book).fail_with(&hash, &refused.failure);
        let code = refused
            .failure
            .get(..2)
            .map(|c| u16::from_be_bytes([c[0], c[1]]));
        let fields = ResultObject::new()
            .with("payment_hash", hex(hash))
            .with("amount_msat", set.amount_msat.to_string())
            .maybe("rule", refused.rule)
            .maybe("code", code)
            .with("message", refused.message)
            .done();
        self.hook.events.push("payment-refused", None, (), fields);
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use crate::payee::{Arrived, Decision, Payee};
    use crate::shot::read_failure;
    use lnconform_spec::misbehaviours;

    const HASH: [u8; 32] = [1; 32];
    const SECRET: [u8; 32] = [4; 32];

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    fn id(n: u8) -> PublicKey {
        keys::public(&secret(n))
    }

    fn sent(lie: Option<&str>) -> (Plan, Vec<[u8; 32]>) {
        let through = Through {
            nodes: &[id(8), id(9)],
            hash: HASH,
            secret: SECRET,
            amount_msat: 90_000,
            delta: 60,
            height: 500,
            fee_msat: FEE_MSAT,
            step: DELTA,
            parts: &[],
        };
        through.plan([6; 32], &secret(3), lie).unwrap()
    }

    #[test]
    fn a_fee_or_an_expiry_that_is_too_low_is_answered_with_what_is_asked_for() {
        for (fee_msat, step) in [(FEE_MSAT - 1, DELTA), (FEE_MSAT, DELTA - 1)] {
            let through = Through {
                nodes: &[id(8), id(9)],
                hash: HASH,
                secret: SECRET,
                amount_msat: 90_000,
                delta: 60,
                height: 500,
                fee_msat,
                step,
                parts: &[],
            };
            let (plan, _) = through.plan([6; 32], &secret(3), None).unwrap();
            let refused = open(&secret(8), &HASH, &held(&plan, 8), |_| None)
                .1
                .unwrap_err();
            let expected = [0x20, 26, 0, 0, 3, 232, 0, 0, 0, 0, 0, 40];
            assert_eq!(refused.failure, expected);
        }
    }

    /// The set that a node holds when a payment has come.
    pub(crate) fn held(plan: &Plan, node: u8) -> Set {
        let mut payee = Payee::default();
        payee.pr836 = true;
        for shot in plan.shots(&[], || secret(5)) {
            let expiry = 500 + shot.first_delta();
            let packed = shot.pack(expiry).unwrap();
            let context = Context {
                associated_data: &HASH,
                size: Some(onion::PAYMENT_SIZE),
                path_key: None,
            };
            let peeled =
                onion::peel(&Rules::all(), &secret(node), &packed.packet, context).unwrap();
            let htlc = Arrived {
                hash: HASH,
                amount_msat: shot.htlc_msat,
                cltv_expiry: expiry,
                payload: &peeled.payload,
                shared_secret: crate::payee::tests::fresh(),
                height: 500,
                now: 1_000,
            };
            let judged =
                crate::blind::judge(&mut payee, &secret(node), &htlc, None, true, &[0; 32]);
            assert_eq!(judged, crate::blind::Judged::Plain);
            let decision = payee.arrive(&htlc);
            assert!(matches!(decision, Decision::Take { .. }), "{decision:?}");
        }
        payee.set(&HASH).unwrap().clone()
    }

    /// The rule by which the honest trampoline or the honest recipient refuses.
    fn judged(lie: Option<&str>) -> Result<(), Option<&'static str>> {
        let code = |r: Refusal| r.rule;
        let (plan, _) = sent(lie);
        let todo = open(&secret(8), &HASH, &held(&plan, 8), |_| None)
            .1
            .map_err(code)?;
        let Todo::Relay(relay) = todo else {
            panic!("{todo:?}");
        };
        assert_eq!(relay.next, id(9));
        let mut onward = relay.plan(500, [7; 32]);
        translate(&mut onward);
        let set = held(&onward, 9);
        let todo = open(&secret(9), &HASH, &set, |_| None).1.map_err(code)?;
        let Todo::Receive(secret) = todo else {
            panic!("{todo:?}");
        };
        let invoice = Invoice {
            preimage: Some([2; 32]),
            secret: SECRET,
            amount_msat: Some(90_000),
        };
        settles(Some(&invoice), secret, &set, 500)
            .map(|_| ())
            .map_err(code)
    }

    #[test]
    fn an_honest_payment_goes_through() {
        assert_eq!(judged(None), Ok(()));
        let (plan, _) = sent(None);
        assert_eq!(plan.parts[0].amount_msat, 91_000);
        assert_eq!(plan.delta, 100);
    }

    #[test]
    fn each_lie_is_noticed_by_the_statement_that_the_list_names() {
        let mut all = misbehaviours::all().unwrap();
        all.retain(|m| m.name.starts_with("trampoline-"));
        all.retain(|m| m.operations.iter().any(|o| o == "invoice.pay"));
        all.retain(|m| m.name != "trampoline-final-total");
        assert!(!all.is_empty());
        for m in all {
            let rule = judged(Some(&m.name)).unwrap_err();
            assert_eq!(rule, m.reader.as_deref(), "{}", m.name);
        }
    }

    /// A payment of two parts to 9, which is the recipient itself.
    fn in_parts(parts: &[u64], lie: Option<&str>) -> Result<Plan, OpError> {
        let through = Through {
            nodes: &[id(9)],
            hash: HASH,
            secret: SECRET,
            amount_msat: 90_000,
            delta: 60,
            height: 500,
            fee_msat: FEE_MSAT,
            step: DELTA,
            parts,
        };
        through.plan([6; 32], &secret(3), lie).map(|(plan, _)| plan)
    }

    #[test]
    fn parts_are_held_against_the_total() {
        let opened = |lie| {
            let plan = in_parts(&[50_000, 40_000], lie).unwrap();
            open(&secret(9), &HASH, &held(&plan, 9), |_| None).1
        };
        assert_eq!(opened(None), Ok(Todo::Receive(Some(SECRET))));
        let name = "trampoline-final-total";
        let refused = opened(Some(name)).unwrap_err();
        let reader = misbehaviours::find(name).unwrap().reader;
        assert_eq!(refused.rule, reader.as_deref());
    }

    #[test]
    fn a_lie_that_cannot_be_told_is_refused() {
        for (parts, lie) in [
            (&[][..], "trampoline-final-total"),
            (&[], "trampoline-no-node"),
            (&[80_000], "trampoline-hmac"),
        ] {
            assert!(in_parts(parts, Some(lie)).is_err(), "{lie}");
        }
    }

    #[test]
    fn a_failure_of_a_trampoline_is_read_with_the_inner_secrets() {
        let (plan, inner) = sent(None);
        let shot = plan.shots(&[], || secret(5)).remove(0);
        let outer = shot.pack(600).unwrap().secrets;
        let shared = open(&secret(8), &HASH, &held(&plan, 8), |_| None)
            .0
            .unwrap();
        assert_eq!(shared, inner[0]);
        let message = (failure::PERM | 27).to_be_bytes();
        let packet = failure(Some(shared), &outer[0], &message).unwrap();
        assert!(read_failure(&outer, &packet).is_err());
        let mut secrets = Secrets::default();
        secrets.sent.insert(HASH, inner);
        let both = secrets.both(Some(HASH), outer.clone());
        let decoded = read_failure(&both, &packet).unwrap();
        assert_eq!((decoded.hop, decoded.failure), (1, message.to_vec()));
        let plain = failure(None, &outer[0], &message).unwrap();
        assert_eq!(read_failure(&both, &plain).unwrap().hop, 0);
    }
}
