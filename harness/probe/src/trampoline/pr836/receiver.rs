//! Whoever gets a trampoline onion: a trampoline that passes the payment on, or its recipient.

use super::FEE_MSAT;
use crate::blind::Path;
use crate::node::env::lock;
use crate::node::{Node, set_fields};
use crate::payee::{Invoice, Set};
use crate::trampoline::relay::{DELTA, Relay};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lightning03::types::payment::PaymentPreimage;
use lnconform_drafts::failure::{self, code};
use lnconform_drafts::keys;
use lnconform_drafts::onion::{self, Context};
use lnconform_drafts::payload::{self, Payload, kind};
use lnconform_drafts::rules::{self, Rules};
use lnconform_drafts::tlv::Record;
use lnconform_drafts::trampoline::{self, Action, Place, Receiver};
use lnconform_protocol::params::{ResultObject, hex};

/// BOLT 4, failure messages: a payment secret that is not the invoice's.
const PAYMENT_SECRET: &str = "bolt04/failure/payment-secret";

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

/// Whether a payment secret is that of an invoice.
///
/// # Errors
/// What the payment is failed with.
pub(super) fn settles(
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
        let by_channel = |scid| self.peer_of(scid);
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
                    self.hook.tell("payment-held", fields.done());
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
                        self.hook.tell("payment-held", fields);
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
        self.hook.tell("payment-refused", fields);
    }
}
