//! Fulfillment payloads (`specs/drafts/fulfillment-receipt.md`) of the probe in all three roles, and the
//! receipt of a keysend proof inside them. A node started with the option `attribution` makes them, passes
//! them on and reads them; others have nothing to do with this.
//!
//! They ride in `update_fulfill_htlc` itself, as its records 1 and 3: LDK has no place for the second
//! one, so both are put in and taken out below its connections ([`crate::node::tap`]). A node that
//! restarts makes and passes on those of what it held before ([`state`]).

pub(crate) mod state;

use crate::node::Node;
use crate::node::book::Htlc;
use crate::node::env::lock;
use crate::node::hook::now;
use crate::node::tap::{Listener, Secrets};
use crate::ops;
use lightning03::ln::types::ChannelId;
use lnconform_drafts::failure::{Attributed, Attribution};
use lnconform_drafts::fulfillment::{self, ATTRIBUTION_DATA, FULFILLMENT_PAYLOAD, LONGEST, Place};
use lnconform_drafts::keys;
use lnconform_drafts::keysend_proof::RECEIPT_TYPE;
use lnconform_drafts::rules::{self, Rules, Violation};
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::{Fail, Outcome};
use lnconform_protocol::params::{self, Params, ResultObject, hex};
use serde_json::{Value, json};
use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Feature bit `option_attribution_data`.
pub const FEATURE: usize = 37;
/// The operation that says what goes wrong with the next settlement.
pub const NEXT: &str = "fulfillment.next";
/// The event that tells what came with a settlement.
const EVENT: &str = "fulfillment";

/// Type of `update_fulfill_htlc`.
const UPDATE_FULFILL_HTLC: u16 = 130;
/// Bytes of it before its records: type, channel id, number, preimage.
const FIXED: usize = 2 + 32 + 8 + 32;

/// The records of one `update_fulfill_htlc`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Came {
    /// The payload.
    pub payload: Option<Vec<u8>>,
    /// Who held it how long.
    pub data: Option<Attribution>,
}

impl Came {
    fn read(records: &[Record]) -> Self {
        let of = |kind| records.iter().find(|record| record.kind == kind);
        let data = of(ATTRIBUTION_DATA).and_then(|record| record.value[..].try_into().ok());
        Self {
            payload: of(FULFILLMENT_PAYLOAD).map(|record| record.value.clone()),
            data,
        }
    }

    fn records(&self) -> Vec<Record> {
        let data = self
            .data
            .iter()
            .map(|d| Record::new(ATTRIBUTION_DATA, d.to_vec()));
        let payload = self.payload.iter();
        let payload = payload.map(|p| Record::new(FULFILLMENT_PAYLOAD, p.clone()));
        data.chain(payload).collect()
    }
}

/// What the payer has made of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Read {
    hash: [u8; 32],
    records: Option<Result<Vec<Record>, Violation>>,
    attributed: Option<Attributed>,
}

/// An HTLC for somebody else.
struct Passing {
    /// Shared with the payer.
    secret: [u8; 32],
    /// SHA-256 of the onion that it goes on with.
    onion: [u8; 32],
}

#[derive(Default)]
struct State {
    /// What goes wrong with the next settlement.
    lie: Option<String>,
    /// HTLCs that have come, and since when.
    since: HashMap<Htlc, Instant>,
    /// HTLCs on the way to somebody else.
    passing: HashMap<Htlc, Passing>,
    /// The HTLC that came, by the one that it goes on in.
    forwarded: HashMap<Htlc, Htlc>,
    /// Those that came with a path key.
    blinded: HashSet<Htlc>,
    /// Receipts that are due, by hash.
    receipts: HashMap<[u8; 32], Vec<u8>>,
    /// The receipt that went out last.
    earlier: Option<Vec<u8>>,
    /// What came from downstream, by the HTLC from upstream.
    downstream: HashMap<Htlc, Came>,
    /// What goes out with a settlement.
    out: HashMap<Htlc, Came>,
    /// What came with one.
    came: HashMap<Htlc, Came>,
    /// What the payer has to judge.
    read: Vec<Read>,
}

/// All of a node.
#[derive(Default)]
pub struct Fulfillments {
    secrets: Mutex<Option<Secrets>>,
    state: Mutex<State>,
}

impl Fulfillments {
    /// From now on the node makes, passes on and reads payloads.
    pub fn start(&self, secrets: Secrets) {
        *lock(&self.secrets) = Some(secrets);
    }

    /// The secrets by which connections are followed; `None` without the option.
    pub fn secrets(&self) -> Option<Secrets> {
        lock(&self.secrets).clone()
    }

    /// Whether the node has the option.
    pub fn is_on(&self) -> bool {
        lock(&self.secrets).is_some()
    }

    /// An HTLC has come, in a blinded path or not; where it goes on to somebody else, `passing` has the
    /// secret shared with the payer, and the onion that goes on.
    pub fn arrived(&self, htlc: Htlc, blinded: bool, passing: Option<([u8; 32], &[u8])>) {
        if !self.is_on() {
            return;
        }
        let mut state = lock(&self.state);
        state.since.entry(htlc).or_insert_with(Instant::now);
        if blinded {
            state.blinded.insert(htlc);
        }
        if let Some((secret, onion)) = passing {
            let onion = keys::sha256(&[onion]);
            state.passing.insert(htlc, Passing { secret, onion });
        }
    }

    /// LDK sends an HTLC on, with this onion.
    pub fn forwards(&self, htlc: Htlc, onion: &[u8]) {
        if !self.is_on() {
            return;
        }
        let onion = keys::sha256(&[onion]);
        let mut state = lock(&self.state);
        let came = state.passing.iter().find(|(_, p)| p.onion == onion);
        if let Some(came) = came.map(|(came, _)| *came) {
            state.forwarded.insert(htlc, came);
        }
    }

    /// The receipt of a payment that is about to be settled.
    fn due(&self, hash: [u8; 32], receipt: Vec<u8>) {
        lock(&self.state).receipts.insert(hash, receipt);
    }

    /// LDK settles an HTLC: `taken` has hash and shared secret where the payment was this node's.
    pub fn settles(&self, htlc: Htlc, hash: [u8; 32], taken: Option<[u8; 32]>) {
        if !self.is_on() {
            return;
        }
        let mut state = lock(&self.state);
        // What is said again after a reconnection is the same.
        if state.out.contains_key(&htlc) {
            return;
        }
        let held = state.since.get(&htlc).map(Instant::elapsed);
        let held = held.map_or(0, |held| {
            u32::try_from(held.as_millis() / 100).unwrap_or(u32::MAX)
        });
        let mut goes = match (taken, state.passing.remove(&htlc)) {
            (Some(secret), _) => state.finish(hash, &secret, held),
            (None, Some(passing)) => state.pass(&htlc, &passing.secret, held),
            (None, None) => return,
        };
        // BOLT 2, removing an HTLC: nobody in a blinded path says how long it held one.
        if state.blinded.contains(&htlc) {
            goes.data = None;
        }
        state.out.insert(htlc, goes);
    }

    /// A peer has settled an HTLC: `route` has the secrets of its hops where the payment was this node's, and
    /// how many of them are in no blinded path, or begin one.
    ///
    /// # Errors
    /// The rule by which the channel has to be failed.
    pub fn settled(
        &self,
        htlc: &Htlc,
        hash: [u8; 32],
        route: Option<(Vec<[u8; 32]>, usize)>,
    ) -> Result<(), Violation> {
        if !self.is_on() {
            return Ok(());
        }
        let mut state = lock(&self.state);
        let mut came = state.came.remove(htlc).unwrap_or_default();
        let payload = came.payload.as_deref().unwrap_or_default();
        let short = fulfillment::check_length(&Rules::all(), payload);
        match route {
            Some((secrets, open)) => {
                let read = read(hash, &secrets, open, &came);
                state.read.push(read);
            }
            None => {
                // It is not passed on either.
                if short.is_err() {
                    came.payload = None;
                }
                if let Some(upstream) = state.forwarded.remove(htlc) {
                    state.downstream.insert(upstream, came);
                }
            }
        }
        short
    }
}

impl State {
    fn takes(&mut self, name: &str) -> bool {
        let asked = self.lie.as_deref() == Some(name);
        if asked {
            self.lie = None;
        }
        asked
    }

    /// The final node's.
    fn finish(&mut self, hash: [u8; 32], secret: &[u8; 32], held: u32) -> Came {
        let honest = Rules::all();
        let mistaken = |id, name| Rules::all().mistake(id, name).unwrap_or_default();
        let mut receipt = self.receipts.get(&hash).cloned();
        let own = receipt.clone();
        if self.takes("fulfillment-receipt-of-another") {
            receipt = self.earlier.clone();
        }
        if self.takes("fulfillment-receipt-altered")
            && let Some(last) = receipt.as_mut().and_then(|receipt| receipt.last_mut())
        {
            *last ^= 1;
        }
        if self.takes("fulfillment-without-receipt") {
            receipt = None;
        }
        if own.is_some() {
            self.earlier = own;
        }
        let records: Vec<Record> = receipt
            .into_iter()
            .map(|receipt| Record::new(RECEIPT_TYPE, receipt))
            .collect();
        // The records of a receipt are in order.
        let mut stream = fulfillment::stream(&honest, &records).unwrap_or_default();
        if self.takes("fulfillment-record-twice") {
            stream.extend([3, 0, 3, 0]);
        }
        if self.takes("fulfillment-length-beyond") {
            stream.extend([0xfe, 0x7f, 0xff, 0xff, 0xff, 1]);
        }
        if self.takes("fulfillment-unknown-even") {
            stream.extend(Record::new(0x7fff_fffe, []).encode());
        }
        let rules = if self.takes("fulfillment-other-key") {
            mistaken(rules::FULFILLMENT_ENCRYPTION, "key-of-failures")
        } else if self.takes("fulfillment-hidden-twice") {
            mistaken(rules::FULFILLMENT_NO_AMMAG, "hidden-at-once")
        } else {
            honest.clone()
        };
        let mut payload = fulfillment::seal(&rules, secret, &stream);
        if self.takes("fulfillment-truncated") {
            payload.truncate(payload.len() - 16);
        }
        if self.takes("fulfillment-too-long") {
            payload.resize(LONGEST + 1, 0);
        }
        let omitted = self.takes("fulfillment-omitted");
        let payload = (!omitted).then_some(payload);
        let rules = if self.takes("fulfillment-covered") {
            mistaken(rules::FULFILLMENT_FINAL_ATTRIBUTION, "covered")
        } else {
            honest
        };
        let place = Place::Final(payload.as_deref());
        let data = fulfillment::attribute(&rules, secret, place, None, held);
        Came {
            payload,
            data: Some(data),
        }
    }

    /// That of a node on the way.
    fn pass(&mut self, htlc: &Htlc, secret: &[u8; 32], held: u32) -> Came {
        let rules = Rules::all();
        let Came { mut payload, data } = self.downstream.remove(htlc).unwrap_or_default();
        if self.takes("fulfillment-garbled-early") {
            garble(&mut payload);
        }
        let covers = if self.takes("fulfillment-not-covered") {
            None
        } else {
            payload.as_deref()
        };
        let place = Place::Intermediate(covers);
        let data = fulfillment::attribute(&rules, secret, place, data.as_ref(), held);
        let mut passed = if self.takes("fulfillment-not-hidden") {
            payload
        } else {
            // One that is too long has not come as far as this.
            payload.and_then(|payload| fulfillment::pass(&rules, secret, &payload).ok())
        };
        if self.takes("fulfillment-garbled-late") {
            garble(&mut passed);
        }
        if self.takes("fulfillment-dropped") {
            passed = None;
        }
        Came {
            payload: passed,
            data: Some(data),
        }
    }
}

fn garble(payload: &mut Option<Vec<u8>>) {
    if let Some(first) = payload.as_mut().and_then(|payload| payload.first_mut()) {
        *first ^= 1;
    }
}

fn read(hash: [u8; 32], secrets: &[[u8; 32]], open: usize, came: &Came) -> Read {
    let rules = Rules::all();
    let payload = came.payload.as_deref();
    let data = came.data.as_ref();
    Read {
        hash,
        records: payload.map(|payload| fulfillment::open(&rules, secrets, payload)),
        attributed: data.map(|data| fulfillment::attributed(&rules, secrets, open, payload, data)),
    }
}

/// Where an `update_fulfill_htlc` belongs, and its records.
fn fulfil(message: &[u8]) -> Option<(Htlc, Vec<Record>)> {
    let (kind, rest) = message.split_first_chunk::<2>()?;
    if u16::from_be_bytes(*kind) != UPDATE_FULFILL_HTLC {
        return None;
    }
    let (channel, rest) = rest.split_first_chunk::<32>()?;
    let (number, _) = rest.split_first_chunk::<8>()?;
    let htlc = (ChannelId(*channel), u64::from_be_bytes(*number));
    let records = tlv::frames(&Rules::all(), message.get(FIXED..)?).ok()?;
    Some((htlc, records))
}

impl Listener for Fulfillments {
    fn came(&self, message: &[u8]) {
        if let Some((htlc, records)) = fulfil(message) {
            lock(&self.state).came.insert(htlc, Came::read(&records));
        }
    }

    fn goes(&self, message: &[u8]) -> Option<Vec<u8>> {
        let (htlc, _) = fulfil(message)?;
        let records = lock(&self.state).out.get(&htlc)?.records();
        // In the place of LDK's, which are made with the secret of the onion that it was handed.
        let mut goes = message[..FIXED].to_vec();
        goes.extend(tlv::encode_unchecked(&records));
        Some(goes)
    }
}

impl Node {
    /// LDK is about to settle a payment: its receipt, if one is due.
    pub(crate) fn receipt_ahead(&self, hash: [u8; 32]) {
        if !self.hook.fulfillments.is_on() {
            return;
        }
        let set = lock(&self.hook.payee).set(&hash).cloned();
        let Some(set) = set.filter(|set| set.set_id.is_none()) else {
            return;
        };
        let mut proofs = lock(&self.proofs);
        if proofs.settle_ahead(hash, &set, now())
            && let Ok((_, receipt)) = proofs.receipt(&hash, 0, &self.hook.secret, None)
        {
            self.hook.fulfillments.due(hash, receipt);
        }
    }

    /// Tells what has come with settlements.
    pub(crate) fn tell_fulfillments(&self) {
        let read = std::mem::take(&mut lock(&self.hook.fulfillments.state).read);
        for read in read {
            let mut proofs = lock(&self.proofs);
            let wanted = proofs.wants(&read.hash);
            let receipt = wanted.then(|| {
                let records = match &read.records {
                    Some(Ok(records)) => &records[..],
                    // One that is ignored is as if it were none.
                    _ => &[],
                };
                fulfillment::receipt(&Rules::all(), records, &read.hash)
                    .and_then(|receipt| proofs.judge(&receipt))
            });
            drop(proofs);
            let fields = fields(&read, receipt);
            self.hook.tell(EVENT, fields);
        }
    }
}

/// `payment_hash`; `payload` (bool), its `records`, or the `rule` and `message` by which it is ignored;
/// `hold_times` (units of 100 ms, from the first hop on) and `blame` (a hop, counted from 0 at the peer, or the
/// one behind it); and of a payment with a request `receipt` {`tier`, or `rule` and `message`}.
fn fields(read: &Read, receipt: Option<Result<u8, Violation>>) -> Value {
    let (records, ignored) = match &read.records {
        None => (None, None),
        Some(Ok(records)) => (Some(records), None),
        Some(Err(violation)) => (None, Some(violation)),
    };
    let records = records.map(|list| params::records(list.iter().map(|r| (r.kind, &r.value[..]))));
    let receipt = receipt.map(|judged| match judged {
        Ok(tier) => json!({"tier": tier}),
        Err(violation) => json!({"rule": violation.rule, "message": violation.message}),
    });
    let attributed = read.attributed.as_ref();
    ResultObject::new()
        .with("payment_hash", hex(read.hash))
        .with("payload", read.records.is_some())
        .maybe("records", records)
        .maybe("rule", ignored.map(|violation| violation.rule))
        .maybe(
            "message",
            ignored.map(|violation| violation.message.clone()),
        )
        .maybe("hold_times", attributed.map(|read| read.hold_times.clone()))
        .maybe("blame", attributed.and_then(|read| read.blame))
        .maybe("receipt", receipt)
        .done()
}

/// `fulfillment.next`: `misbehave` → `{}`. The next HTLC that this node settles, as payee or on the way,
/// goes wrong in that way.
pub(crate) fn next(params: Params<'_>, node: impl Fn() -> Result<Arc<Node>, Fail>) -> Outcome {
    let lie = ops::misbehaviour(params, NEXT)?
        .ok_or_else(|| OpError::invalid("param misbehave is missing"))?;
    let node = node()?;
    if !node.hook.fulfillments.is_on() {
        return Err(
            OpError::rejected("the node was started without the option attribution").into(),
        );
    }
    lock(&node.hook.fulfillments.state).lie = Some(lie);
    Ok(json!({}))
}

#[cfg(test)]
mod tests {
    use super::*;
    use lnconform_drafts::keysend_proof::Statement;
    use lnconform_spec::misbehaviours::{self, Misbehaviour};

    const HASH: [u8; 32] = [5; 32];
    const SECRETS: [[u8; 32]; 2] = [[1; 32], [2; 32]];

    fn receipt(hash: [u8; 32]) -> Vec<u8> {
        let statement = Statement {
            payment_hash: hash,
            received_msat: 1,
            settled_time: 2,
        };
        let secret = keys::SecretKey::from_slice(&[9; 32]).unwrap();
        let signed = statement.sign(&Rules::all(), 0, &[6; 32], &secret, None);
        signed.unwrap().0.encode()
    }

    fn node() -> Fulfillments {
        let node = Fulfillments::default();
        node.start(Secrets {
            node: keys::SecretKey::from_slice(&[9; 32]).unwrap(),
            random: [0; 32],
        });
        node
    }

    fn htlc(number: u64) -> Htlc {
        (ChannelId([7; 32]), number)
    }

    fn message(htlc: Htlc) -> Vec<u8> {
        [
            &[0, 130][..],
            &htlc.0.0,
            &htlc.1.to_be_bytes(),
            &[3; 32],
            &[1, 1, 0],
        ]
        .concat()
    }

    /// What a payer reads over one hop; each of the nodes may have a lie for it.
    fn told(
        hash: [u8; 32],
        payer: &Fulfillments,
        hop: &Fulfillments,
        payee: &Fulfillments,
    ) -> Read {
        let number = u64::from(hash[0]);
        let (near, far) = (htlc(number), htlc(1000 + number));
        hop.arrived(near, false, Some((SECRETS[0], &hash)));
        hop.forwards(far, &hash);
        payee.arrived(far, false, None);
        payee.settles(far, hash, Some(SECRETS[1]));
        hop.came(&payee.goes(&message(far)).unwrap());
        let received = hop.settled(&far, hash, None);
        hop.settles(near, hash, None);
        payer.came(&hop.goes(&message(near)).unwrap());
        assert_eq!(
            payer.settled(&near, hash, Some((SECRETS.to_vec(), 2))),
            Ok(())
        );
        let mut read = lock(&payer.state).read.pop().unwrap();
        if let Err(violation) = received {
            assert_eq!(read.records, None);
            read.records = Some(Err(violation));
        }
        read
    }

    /// The rules by which the payer notices, of payload, attribution and receipt.
    fn noticed(read: &Read) -> Vec<&'static str> {
        let mut noticed = Vec::new();
        let mut records = Vec::new();
        match &read.records {
            Some(Ok(found)) => records.clone_from(found),
            Some(Err(violation)) => noticed.push(violation.rule),
            None => {}
        }
        if read.attributed.as_ref().unwrap().blame.is_some() {
            noticed.push("fulfillment/origin/blame");
        }
        if noticed.is_empty() {
            let found = fulfillment::receipt(&Rules::all(), &records, &read.hash);
            match found {
                Err(violation) => noticed.push(violation.rule),
                Ok(found) if found != receipt(HASH) => {
                    noticed.push("keysend-proof/verifier/signature");
                }
                Ok(_) => {}
            }
        }
        noticed
    }

    fn all() -> Vec<Misbehaviour> {
        let all = misbehaviours::all().unwrap();
        all.into_iter().filter(|m| m.operations == [NEXT]).collect()
    }

    #[test]
    fn the_payer_notices_each_by_the_statement_that_the_list_names() {
        assert!(all().len() >= 10);
        for misbehaviour in all() {
            let (payer, hop, payee) = (node(), node(), node());
            for node in [&payee, &hop] {
                node.due([4; 32], receipt([4; 32]));
                node.due(HASH, receipt(HASH));
            }
            told([4; 32], &payer, &hop, &payee);
            assert_eq!(noticed(&told(HASH, &payer, &hop, &payee)), [""; 0]);
            let (payer, hop, payee) = (node(), node(), node());
            payee.due([4; 32], receipt([4; 32]));
            payee.due(HASH, receipt(HASH));
            told([4; 32], &payer, &hop, &payee);
            for node in [&payee, &hop] {
                lock(&node.state).lie = Some(misbehaviour.name.clone());
            }
            let noticed = noticed(&told(HASH, &payer, &hop, &payee));
            let left = [&payee, &hop].map(|node| lock(&node.state).lie.is_some());
            assert_ne!(
                left[0], left[1],
                "{} is nobody's, or both's",
                misbehaviour.name
            );
            let reader = misbehaviour.reader.as_deref().unwrap();
            let rule = match reader {
                "fulfillment/origin/order" => rules::TLV_ORDER,
                "fulfillment/origin/lengths" => rules::TLV_LENGTH,
                "fulfillment/origin/unknown-even" => rules::TLV_UNKNOWN_EVEN,
                other => other,
            };
            assert!(
                noticed.contains(&rule),
                "{}: {noticed:?}",
                misbehaviour.name
            );
        }
    }

    #[test]
    fn without_the_option_a_settlement_goes_out_as_ldk_has_made_it() {
        let node = Fulfillments::default();
        node.arrived(htlc(1), false, Some((SECRETS[0], &[])));
        node.settles(htlc(1), HASH, Some(SECRETS[0]));
        assert_eq!(node.goes(&message(htlc(1))), None);
        assert_eq!(node.goes(&[0, 128, 1]), None);
    }

    #[test]
    fn what_comes_from_a_node_without_the_feature_is_none() {
        let (payer, hop, payee) = (node(), node(), node());
        let read = told(HASH, &payer, &hop, &payee);
        assert_eq!(read.records, Some(Ok(Vec::new())));
        // Downstream of the hop nobody has said anything.
        hop.arrived(htlc(8), false, Some((SECRETS[0], &[8])));
        hop.forwards(htlc(9), &[8]);
        hop.came(&[&message(htlc(9))[..FIXED], &[5, 0]].concat());
        assert_eq!(hop.settled(&htlc(9), [8; 32], None), Ok(()));
        hop.settles(htlc(8), [8; 32], None);
        payer.came(&hop.goes(&message(htlc(8))).unwrap());
        assert_eq!(
            payer.settled(&htlc(8), [8; 32], Some((SECRETS.to_vec(), 2))),
            Ok(())
        );
        let read = lock(&payer.state).read.pop().unwrap();
        assert_eq!(read.records, None);
        let attributed = read.attributed.unwrap();
        assert_eq!(
            (attributed.hold_times.len(), attributed.blame),
            (1, Some(1))
        );
    }

    fn restarted(before: &Fulfillments) -> Fulfillments {
        let text = serde_json::to_string(&before.remember()).unwrap();
        let after = node();
        after.recall(serde_json::from_str(&text).unwrap());
        after
    }

    #[test]
    fn a_node_on_the_way_and_the_payee_go_on_after_a_restart() {
        let (payer, hop, payee) = (node(), node(), node());
        let (near, far) = (htlc(1), htlc(2));
        hop.arrived(near, false, Some((SECRETS[0], &HASH)));
        hop.forwards(far, &HASH);
        payee.arrived(far, false, None);
        payee.due(HASH, receipt(HASH));

        let (hop, payee) = (restarted(&hop), restarted(&payee));
        payee.settles(far, HASH, Some(SECRETS[1]));
        let said = payee.goes(&message(far)).unwrap();
        // What the peer has not confirmed is said again as it was.
        assert_eq!(restarted(&payee).goes(&message(far)), Some(said.clone()));
        hop.came(&said);
        assert_eq!(hop.settled(&far, HASH, None), Ok(()));

        let hop = restarted(&hop);
        hop.settles(near, HASH, None);
        payer.came(&hop.goes(&message(near)).unwrap());
        let route = Some((SECRETS.to_vec(), 2));
        assert_eq!(payer.settled(&near, HASH, route), Ok(()));
        let read = lock(&payer.state).read.pop().unwrap();
        assert_eq!(noticed(&read), [""; 0]);
    }

    #[test]
    fn in_a_blinded_path_nobody_tells_how_long_it_held_after_a_restart_either() {
        let payee = node();
        payee.arrived(htlc(1), true, None);
        lock(&payee.state).lie = Some("fulfillment-omitted".into());
        let payee = restarted(&payee);
        payee.settles(htlc(1), HASH, Some(SECRETS[0]));
        let out = lock(&payee.state).out[&htlc(1)].clone();
        assert_eq!(out, Came::default());
    }
}
