//! Pools and tunnels (`specs/drafts/amp-tunneling.md`) played by three probes: the recipient makes a pool
//! and decides about what is paid through it, the LSP hands its entries out, the payer looks at what it is
//! handed before it pays.
//!
//! How an entry gets from the LSP to the payer is no matter of the draft's; a step carries it.
//!
//! - `tunnel.pool` (recipient; `lsp_id`, `payment_secret` of the AMP part, `amount_msat` of each entry's
//!   invoice; `count` (2), `expiry` in seconds since 1970, `misbehave`) → `header`, `signature`, `hashes`,
//!   `invoices`;
//! - `tunnel.assign` (LSP; those four, `index`, `assignee`, `misbehave`) → `header`, `signature`, `index`,
//!   `hash`, `path`, `assignment`, `invoice`;
//! - `tunnel.pay` (payer; `offer`, what the LSP answered; `lsp_id`, `payment_secret`, `request`,
//!   `misbehave`) → what `invoice.pay` answers, or `rejected` with the rule by which nothing is sent;
//! - `tunnel.settle` (recipient; `payment_hash`, `misbehave`) → `index` and `preimage` of the entry whose
//!   secret is released, or `rejected` with the rule by which it is kept.

use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::ops;
use crate::payee::Set;
use crate::proofs::form::{another, flip};
use crate::proofs::tunnel::Arrival;
use crate::proofs::{chain_hash, value};
use bitcoin::constants::ChainHash;
use bitcoin::secp256k1::SecretKey;
use lightning03::bolt11_invoice::Bolt11Invoice;
use lightning03::types::payment::PaymentPreimage;
use lnconform_drafts::amp_tunnel::{
    ASSIGNMENT_TYPE, Assigned, Assignment, Entry, Header, Opening, OwnPool, Payment, Place, Pool,
    REQUEST_TYPE, Tunnel, TunnelPart, Used, check_offer, decode_request, settle,
};
use lnconform_drafts::keys;
use lnconform_drafts::keysend_proof::Window;
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::Record;
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{Params, ResultObject, hex, hex_bytes};
use serde_json::{Value, json};
use std::collections::HashMap;
use std::sync::Arc;

/// The operations.
pub const OPERATIONS: [&str; 4] = [
    "tunnel.pool",
    "tunnel.assign",
    "tunnel.pay",
    "tunnel.settle",
];

/// Payer: the tunnel's invoice is one of the recipient with the hash of the entry.
const TUNNEL_INVOICE: &str = "amp-tunnel/payer/tunnel-invoice";
/// Payer: no AMP part once the tunnel was settled.
pub const EARLY_SETTLE: &str = "amp-tunnel/payer/early-settle";

/// Entries of a pool, unless a step says otherwise.
const COUNT: u32 = 2;
/// Seconds that a pool lasts, unless a step says otherwise.
const LASTS: u64 = 3_600;

/// What is said of a tunnel that is not paid, and of a secret that is kept, beside the rule. The numbers
/// are in the log.
const NOT_PAID: &str = "nothing is paid with this entry";
const KEPT: &str = "the secret of the entry is kept";

type Hash = [u8; 32];

/// A pool of the recipient's.
#[derive(Clone, Debug)]
pub(super) struct Own {
    pub(super) place: Place,
    pub(super) header: Vec<u8>,
    pub(super) hashes: Vec<Hash>,
    pub(super) secrets: Vec<Hash>,
    pub(super) used: Vec<Used>,
}

/// What recipient, LSP and payer remember of tunnels.
#[derive(Default)]
pub struct Tunnels {
    pub(super) pools: Vec<Own>,
    /// AMP sets that were settled.
    pub(super) settled: Vec<(Hash, Arrival)>,
    /// By root of the pool.
    pub(super) assigned: HashMap<Hash, Vec<Assigned>>,
    /// Requests that were sent with a tunnel, and the payments.
    pub(super) sent: Vec<(Vec<u8>, String)>,
    /// Set ids of AMP payments that were sent, and the payments.
    pub sets: Vec<(Hash, String)>,
}

impl Tunnels {
    /// An AMP set is settled, with its set id.
    pub fn amp_settled(&mut self, set_id: Hash, arrival: &Arrival) {
        self.settled.push((set_id, arrival.clone()));
    }

    /// The payments of the tunnels that carry this request.
    pub fn sent_with(&self, request: &[u8]) -> Vec<String> {
        let ours = self.sent.iter().filter(|(sent, _)| sent == request);
        ours.map(|(_, payment)| payment.clone()).collect()
    }

    /// The set that belongs to a tunnel: the last one with its request, or else the last one to the
    /// pool's payment address, of which the rules say why it is another payment.
    fn set_of(&self, place: &Place, request: Option<&[u8]>) -> Option<&(Hash, Arrival)> {
        let of_place = |(_, a): &&(Hash, Arrival)| a.payment_addr == place.payment_addr;
        let same = |(_, a): &&(Hash, Arrival)| {
            a.parts
                .iter()
                .any(|part| part.request.as_deref() == request)
        };
        let mut here = self.settled.iter().rev().filter(of_place);
        let first = here.clone().find(same);
        first.or_else(|| here.next())
    }

    /// Decides about the secret of the entry that a tunnel is locked to, `now` in seconds: the pool and
    /// the entry's index in it, the set's id, and the commitment.
    ///
    /// # Errors
    /// The rule by which the secret is kept.
    fn decide(
        &self,
        seen: lnconform_drafts::amp_tunnel::Seen<'_>,
        hash: Hash,
        set: Option<&Set>,
        now: u64,
    ) -> Result<(usize, u32, Hash, Hash), Violation> {
        let known = self
            .pools
            .iter()
            .position(|pool| pool.hashes.contains(&hash));
        // A hash of no pool is judged as one of the last pool.
        let at = known.or(self.pools.len().checked_sub(1));
        let Some((at, pool)) = at.and_then(|at| Some((at, self.pools.get(at)?))) else {
            return Err(Violation {
                rule: rules::AIT_ENTRY_KNOWN,
                message: "there is no pool".into(),
            });
        };
        let request = set.and_then(|set| value(&set.records, REQUEST_TYPE));
        let tunnel = set.map(|set| Tunnel {
            payment_hash: hash,
            total_msat: set.total_msat(),
            assignment: value(&set.records, ASSIGNMENT_TYPE).map(<[u8]>::to_vec),
            htlcs: set
                .amounts()
                .map(|amount_msat| TunnelPart {
                    request: request.map(<[u8]>::to_vec),
                    amount_msat,
                })
                .collect(),
        });
        let amp = self.set_of(&pool.place, request);
        let payment = Payment {
            place: &pool.place,
            set_id: amp.map_or(&[0; 32], |(set_id, _)| set_id),
            total_msat: amp.map_or(0, |(_, arrival)| arrival.total_msat),
            parts: amp.map_or(&[], |(_, arrival)| &arrival.parts),
            tunnel: tunnel.as_ref(),
            now,
            window: Window::default(),
            seen,
        };
        let own = OwnPool {
            header: &pool.header,
            hashes: &pool.hashes,
        };
        let release = settle(&Rules::all(), &payment, amp.is_some(), own, &pool.used)?;
        let commitment = *release.judged.opening.commitment;
        Ok((at, release.index, *payment.set_id, commitment))
    }
}

/// Answers one operation.
pub(crate) fn call(
    op: &str,
    params: Params<'_>,
    node: impl Fn() -> Result<Arc<Node>, Fail>,
) -> Outcome {
    match op {
        "tunnel.pool" => make(params, node),
        "tunnel.assign" => assign(params, node),
        "tunnel.pay" => pay(params, node),
        _ => release(params, node),
    }
}

fn hashes(params: Params<'_>, name: &str) -> Result<Vec<Hash>, OpError> {
    let hash = |value: &Value| value.as_str().and_then(hex_bytes)?.try_into().ok();
    let read = params.list(name)?.iter().map(hash).collect();
    let wrong = || OpError::invalid(format!("param {name} is no list of 32 bytes each"));
    Option::ok_or_else(read, wrong)
}

// ---- recipient

fn make(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let lsp_id = params.array::<33>("lsp_id")?;
    let payment_addr = params.array::<32>("payment_secret")?;
    let amount = params.number("amount_msat")?;
    let count = params.maybe("count", Params::u32)?.unwrap_or(COUNT);
    let expiry = params.maybe("expiry", Params::number)?;
    let lie = ops::misbehaviour(params, "tunnel.pool")?;
    let node = node()?;
    let secrets: Vec<Hash> = (0..count).map(|_| node.hook.draw()).collect();
    let hashes: Vec<Hash> = secrets.iter().map(|z| keys::sha256(&[z])).collect();
    let pool = Pool::build(&hashes)
        .ok_or_else(|| OpError::invalid("param count is 0, and a pool has an entry at least"))?;
    let mut invoices = Vec::with_capacity(hashes.len());
    for hash in &hashes {
        let asked = json!({
            "amount_msat": amount.to_string(), "description": "an entry", "payment_hash": hex(hash),
        });
        let made = ops::create_invoice(Params::new(&asked), || Ok(node.clone()))?;
        invoices.push(made["invoice"].clone());
    }
    let place = Place {
        chain_hash: chain_hash(),
        recipient_id: keys::public(&node.hook.secret).serialize(),
        payment_addr,
    };
    let header = Header {
        version: 0,
        place,
        lsp_id,
        expiry: expiry.unwrap_or_else(|| node.hook.now() + LASTS),
        count,
        root: pool.root(),
    };
    let (shown, signature) = sign(&header, &node.hook.secret, lie.as_deref())?;
    lock(&node.hook.payee).entries.extend(&hashes);
    let answer = json!({
        "header": hex(&shown),
        "signature": hex(signature),
        "hashes": hashes.iter().map(hex).collect::<Value>(),
        "invoices": invoices,
    });
    lock(&node.proofs).tunnels.pools.push(Own {
        place,
        header: header.encode().to_vec(),
        hashes,
        secrets,
        used: Vec::new(),
    });
    Ok(answer)
}

/// A header as it is shown, and its signature. A lie is under the signature, unless it is in it.
fn sign(
    header: &Header,
    secret: &SecretKey,
    lie: Option<&str>,
) -> Result<(Vec<u8>, [u8; 64]), OpError> {
    let mut said = *header;
    match lie {
        Some("pool-version") => said.version = 1,
        Some("pool-lsp-point") => said.lsp_id[0] = 4,
        Some("pool-chain") => said.place.chain_hash = ChainHash::BITCOIN.to_bytes(),
        Some("pool-recipient") => said.place.recipient_id[0] ^= 1,
        Some("pool-payment-addr") => said.place.payment_addr[0] ^= 1,
        Some("pool-root") => said.root[0] ^= 1,
        Some("pool-length" | "pool-signature" | "pool-key") | None => {}
        Some(other) => return Err(no_lie(other)),
    }
    let mut bytes = said.encode().to_vec();
    if lie == Some("pool-length") {
        bytes.push(0);
    }
    let key = match lie {
        Some("pool-key") => another(secret).unwrap_or(*secret),
        _ => *secret,
    };
    let mut signature = Header::message(&bytes).sign(&key, None);
    if lie == Some("pool-signature") {
        flip(&mut signature, 63);
    }
    Ok((bytes, signature))
}

fn rejected(what: &str, violation: &Violation) -> OpError {
    eprintln!("adapter: {what}: {violation}");
    OpError::rejected(what).with_rule(violation.rule)
}

fn no_lie(name: &str) -> OpError {
    OpError::internal(format!(
        "the probe has {name} in its list and does not know how"
    ))
}

fn release(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let hash = params.array::<32>("payment_hash")?;
    let lie = ops::misbehaviour(params, "tunnel.settle")?;
    let node = node()?;
    let set = lock(&node.hook.payee).set(&hash).cloned();
    let now = node.hook.now();
    let mut proofs = lock(&node.proofs);
    let at = |pool: &Own| {
        let index = pool.hashes.iter().position(|h| *h == hash)?;
        pool.secrets.get(index).copied()
    };
    let secret = proofs.tunnels.pools.iter().find_map(at);
    let decided = proofs
        .tunnels
        .decide(proofs.seals.seen(), hash, set.as_ref(), now);
    let released = match decided {
        Ok(released) => Some(released),
        // The recipient takes the tunnel, and has nothing of the rest.
        Err(v)
            if lie.as_deref() == Some("tunnel-settled-early")
                && v.rule == rules::AIT_AMP_SETTLED =>
        {
            None
        }
        Err(v) => return Err(rejected(KEPT, &v).into()),
    };
    let secret = secret.ok_or_else(|| OpError::internal("the entry has no secret"))?;
    if !lock(&node.held).remove(&hash) {
        return Err(OpError::rejected("no payment with this hash is held").into());
    }
    if let Some((pool, index, set_id, commitment)) = released {
        proofs.seals.signed_for(commitment, set_id);
        if let Some(pool) = proofs.tunnels.pools.get_mut(pool) {
            pool.used.push(Used { index, commitment });
        }
    }
    drop(proofs);
    node.cm
        .claim_funds_with_known_custom_tlvs(PaymentPreimage(secret));
    Ok(ResultObject::new()
        .maybe("index", released.map(|(_, index, ..)| index))
        .with("preimage", hex(secret))
        .done())
}

// ---- LSP

fn assign(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let shown = params.hex("header")?;
    let signature = params.str("signature")?;
    let hashes = hashes(params, "hashes")?;
    let invoices = params.list("invoices")?;
    let index = params.u32("index")?;
    let assignee = params.array::<32>("assignee")?;
    let lie = ops::misbehaviour(params, "tunnel.assign")?;
    let node = node()?;
    let place = usize::try_from(index).unwrap_or(usize::MAX);
    let outside = || {
        OpError::invalid(format!(
            "param index is {index}, and the pool has no such entry"
        ))
    };
    let pool = Pool::build(&hashes).ok_or_else(outside)?;
    let path = pool.path(index).ok_or_else(outside)?;
    let entry = (index, *hashes.get(place).ok_or_else(outside)?, path);
    // What the recipient says of its pool is for the payer to judge.
    let root = root_of(&shown).unwrap_or_else(|| pool.root());
    let new = Assigned { index, assignee };
    let mut proofs = lock(&node.proofs);
    let earlier = proofs.tunnels.assigned.entry(root).or_default();
    if lie.as_deref() != Some("lsp-assigns-again") {
        Assignment::message_once(&Rules::all(), &root, new, earlier)
            .map_err(|v| OpError::rejected(v.message).with_rule(v.rule))?;
    }
    earlier.push(new);
    drop(proofs);
    let secret = &node.hook.secret;
    let (entry, assignment) = hand_out(&root, entry, &assignee, secret, lie.as_deref())?;
    let (index, hash, path) = entry;
    Ok(json!({
        "header": hex(shown),
        "signature": signature,
        "index": index,
        "hash": hex(hash),
        "path": path.iter().map(hex).collect::<Value>(),
        "assignment": hex(assignment.encode()),
        "invoice": invoices.get(place),
    }))
}

/// The root that a header names, if it is long enough to name one.
fn root_of(header: &[u8]) -> Option<Hash> {
    header.get(143..175)?.try_into().ok()
}

/// Index, hash and path.
type Handed = (u32, Hash, Vec<Hash>);

/// What the LSP hands out for an entry: the entry, and the assignment that it signs.
fn hand_out(
    root: &Hash,
    mut entry: Handed,
    assignee: &Hash,
    secret: &SecretKey,
    lie: Option<&str>,
) -> Result<(Handed, Assignment), OpError> {
    let (mut assigned, mut whose, mut key) = (entry.0, *assignee, *secret);
    match lie {
        Some("lsp-assigns-again") | None => {}
        Some("lsp-other-entry") => assigned ^= 1,
        Some("lsp-other-assignee") => whose[0] ^= 1,
        Some("lsp-other-key") => key = another(secret).unwrap_or(*secret),
        // Beyond any pool; what it signs agrees.
        Some("lsp-index") => {
            entry.0 = u32::MAX;
            assigned = u32::MAX;
        }
        Some("lsp-path") => entry.2.iter_mut().for_each(|node| node[0] ^= 1),
        Some("lsp-hash") => entry.1[0] ^= 1,
        Some(other) => return Err(no_lie(other)),
    }
    let message = Assignment::message(root, assigned, &whose);
    let assignment = Assignment::sign(root, assigned, &message, &key, None);
    Ok((entry, assignment))
}

// ---- payer

fn pay(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let offer = Params::new(params.need("offer")?);
    let served_by = params.array::<33>("lsp_id")?;
    let payment_addr = params.array::<32>("payment_secret")?;
    let request = params.hex("request")?;
    let header = offer.hex("header")?;
    let signature = offer.hex("signature")?;
    let path = hashes(offer, "path")?;
    let assignment = offer.hex("assignment")?;
    let entry = Entry {
        header: &header,
        signature: &signature,
        index: offer.u32("index")?,
        hash: offer.array::<32>("hash")?,
        path: &path,
    };
    let invoice: Bolt11Invoice = offer
        .str("invoice")?
        .parse()
        .map_err(|e| OpError::invalid(format!("param invoice: {e:?}")))?;
    let lie = ops::misbehaviour(params, "tunnel.pay")?;
    let to = params.maybe("to", ops::public_key)?;
    let node = node()?;
    // Whom it means to pay it has from elsewhere; a step that does not say has it from the invoice.
    let signed_by = invoice.get_payee_pub_key();
    let to = to.unwrap_or(signed_by);
    let place = Place {
        chain_hash: chain_hash(),
        recipient_id: to.serialize(),
        payment_addr,
    };
    let refused = |v: Violation| rejected(NOT_PAID, &v);
    let decoded = decode_request(&Rules::all(), &request).map_err(refused)?;
    let opening = Opening::derive(&Rules::all(), &place, &decoded).map_err(refused)?;
    // It believes its clock not to have passed what the pool says.
    let now = match lie.as_deref() {
        Some("tunnel-after-expiry") => 0,
        _ => node.hook.now(),
    };
    check_offer(
        &Rules::all(),
        &place,
        &opening,
        &entry,
        &assignment,
        &served_by,
        now,
    )
    .map_err(refused)?;
    if signed_by != to || invoice.payment_hash().0 != entry.hash {
        let why = "the invoice is none of the recipient's with the hash of the entry";
        return Err(OpError::rejected(why).with_rule(TUNNEL_INVOICE).into());
    }
    let amount = invoice.amount_milli_satoshis();
    let amount =
        amount.ok_or_else(|| OpError::invalid("the invoice of the entry has no amount"))?;
    let delta = u32::try_from(invoice.min_final_cltv_expiry_delta()).unwrap_or(u32::MAX);
    let mut plan = Plan::new(to, entry.hash, vec![amount], delta);
    plan.with_secret(invoice.payment_secret().0);
    plan.records = vec![
        Record::new(REQUEST_TYPE, request.clone()),
        Record::new(ASSIGNMENT_TYPE, assignment),
    ];
    match lie.as_deref() {
        None | Some("tunnel-after-expiry") => {}
        Some("tunnel-incomplete") => {
            plan.parts.iter_mut().for_each(|part| part.amount_msat /= 2);
        }
        Some("tunnel-amount-more") => {
            let more = amount.saturating_add(1);
            plan.parts
                .iter_mut()
                .for_each(|part| part.amount_msat = more);
            plan.with_total(more);
        }
        Some(other) => return Err(no_lie(other).into()),
    }
    let sent = ops::start(&node, &plan)?;
    let payment = sent["payment"].as_str().unwrap_or_default().to_owned();
    lock(&node.proofs).tunnels.sent.push((request, payment));
    Ok(sent)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::proofs::Proofs;
    use crate::proofs::testing::{NOW, id, restarted, secret};
    use lnconform_spec::misbehaviours;

    const ADDR: Hash = [4; 32];
    const ASSIGNEE: Hash = [6; 32];

    /// What recipient 9 is paid at.
    fn place() -> Place {
        Place {
            chain_hash: chain_hash(),
            recipient_id: id(9).serialize(),
            payment_addr: ADDR,
        }
    }

    /// The rule by which an honest payer refuses what recipient 9 and LSP 7 say of an entry.
    fn refused(pool_lie: Option<&str>, lsp_lie: Option<&str>, now: u64) -> Option<&'static str> {
        let place = place();
        let hashes = [[31; 32], [32; 32], [33; 32]];
        let pool = Pool::build(&hashes).unwrap();
        let header = Header {
            version: 0,
            place,
            lsp_id: id(7).serialize(),
            expiry: NOW,
            count: 3,
            root: pool.root(),
        };
        let (header, signature) = sign(&header, &secret(9), pool_lie).unwrap();
        let root = root_of(&header).unwrap();
        let entry = (1, hashes[1], pool.path(1).unwrap());
        let (entry, assignment) = hand_out(&root, entry, &ASSIGNEE, &secret(7), lsp_lie).unwrap();
        let entry = Entry {
            header: &header,
            signature: &signature,
            index: entry.0,
            hash: entry.1,
            path: &entry.2,
        };
        let opening = Opening {
            commitment: [1; 32].into(),
            root: [2; 32].into(),
            set_id: [3; 32].into(),
            assignee: ASSIGNEE,
        };
        let (served_by, assignment) = (id(7).serialize(), assignment.encode());
        let rules = Rules::all();
        let checked = check_offer(
            &rules,
            &place,
            &opening,
            &entry,
            &assignment,
            &served_by,
            now,
        );
        checked.err().map(|violation| violation.rule)
    }

    #[test]
    fn the_honest_payer_notices_each_lie_by_the_statement_that_the_list_names() {
        assert_eq!(refused(None, None, NOW), None);
        assert_eq!(
            refused(None, None, NOW + 1),
            Some(rules::AIT_PAYER_POOL_EXPIRY)
        );
        let all = misbehaviours::all().unwrap();
        let does = |op: &str| {
            let of = all.iter().filter(|m| m.operations.iter().any(|o| o == op));
            of.collect::<Vec<_>>()
        };
        let (pool, lsp) = (does("tunnel.pool"), does("tunnel.assign"));
        assert!(!pool.is_empty() && !lsp.is_empty());
        for m in pool {
            assert_eq!(
                refused(Some(&m.name), None, NOW),
                m.reader.as_deref(),
                "{}",
                m.name
            );
        }
        for m in lsp {
            // That an entry is assigned again the recipient sees, and not the payer.
            let seen_here = m.name != "lsp-assigns-again";
            let reader = m.reader.as_deref().filter(|_| seen_here);
            assert_eq!(refused(None, Some(&m.name), NOW), reader, "{}", m.name);
        }
        assert!(sign_err("pool-nothing") && lsp_err("lsp-nothing"));
    }

    fn sign_err(lie: &str) -> bool {
        let header = Header {
            version: 0,
            place: place(),
            lsp_id: id(7).serialize(),
            expiry: NOW,
            count: 1,
            root: [0; 32],
        };
        sign(&header, &secret(9), Some(lie)).is_err()
    }

    fn lsp_err(lie: &str) -> bool {
        hand_out(
            &[0; 32],
            (0, [1; 32], Vec::new()),
            &ASSIGNEE,
            &secret(7),
            Some(lie),
        )
        .is_err()
    }

    #[test]
    fn a_secret_is_kept_while_there_is_no_tunnel_or_no_pool() {
        let mut tunnels = Tunnels::default();
        let seen = lnconform_drafts::amp_tunnel::Seen::default();
        let kept = |tunnels: &Tunnels| tunnels.decide(seen, [1; 32], None, NOW).unwrap_err().rule;
        assert_eq!(kept(&tunnels), rules::AIT_ENTRY_KNOWN);
        let place = place();
        tunnels.pools.push(Own {
            place,
            header: Vec::new(),
            hashes: vec![[1; 32]],
            secrets: vec![[2; 32]],
            used: Vec::new(),
        });
        assert_eq!(kept(&tunnels), rules::AIT_TUNNEL_HELD);
    }

    #[test]
    fn the_set_of_a_tunnel_is_that_with_its_request() {
        let mut tunnels = Tunnels::default();
        let place = place();
        for (n, addr) in [(1_u8, ADDR), (2, ADDR), (3, [5; 32])] {
            let mut arrival = Arrival {
                payment_addr: addr,
                ..Arrival::default()
            };
            let part = lnconform_drafts::amp::Part {
                share: [n; 32].into(),
                index: 0,
                payment_hash: [n; 32],
            };
            arrival.add(&part, 1, &[Record::new(REQUEST_TYPE, [n])]);
            tunnels.amp_settled([n; 32], &arrival);
        }
        let of = |request: &[u8]| tunnels.set_of(&place, Some(request)).unwrap().0[0];
        assert_eq!((of(&[1]), of(&[2])), (1, 2));
        // Of another payment address, and of nobody: the last to this address.
        assert_eq!((of(&[3]), of(&[9])), (2, 2));
    }

    #[test]
    fn pools_and_what_became_of_them_are_known_after_a_restart() {
        let mut proofs = Proofs::new(&id(9));
        let arrival = {
            let mut arrival = Arrival {
                payment_addr: ADDR,
                total_msat: 7,
                ..Arrival::default()
            };
            let part = lnconform_drafts::amp::Part {
                share: [1; 32].into(),
                index: 3,
                payment_hash: [4; 32],
            };
            arrival.add(&part, 7, &[Record::new(REQUEST_TYPE, [5])]);
            arrival
        };
        let assigned = Assigned {
            index: 1,
            assignee: ASSIGNEE,
        };
        let used = Used {
            index: 0,
            commitment: [8; 32],
        };
        let tunnels = &mut proofs.tunnels;
        tunnels.pools.push(Own {
            place: place(),
            header: vec![1, 2],
            hashes: vec![[1; 32]],
            secrets: vec![[2; 32]],
            used: vec![used],
        });
        tunnels.amp_settled([6; 32], &arrival);
        tunnels.assigned.insert([7; 32], vec![assigned]);
        tunnels.sent.push((vec![5], "tunnel".into()));
        tunnels.sets.push(([6; 32], "set".into()));

        let after = restarted(&proofs, 9).tunnels;
        let (pool, before) = (&after.pools[0], &proofs.tunnels.pools[0]);
        assert_eq!((pool.place, &pool.header), (before.place, &before.header));
        assert_eq!(
            (&pool.hashes, &pool.secrets, &pool.used),
            (&before.hashes, &before.secrets, &before.used)
        );
        let (set_id, set) = after.set_of(&place(), Some(&[5])).unwrap();
        assert_eq!((*set_id, set.json()), ([6; 32], arrival.json()));
        assert_eq!(after.assigned[&[7; 32]], [assigned]);
        assert_eq!(after.sent_with(&[5]), ["tunnel"]);
        assert_eq!(after.sets, proofs.tunnels.sets);
    }
}
