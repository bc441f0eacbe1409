//! Pull request 836 with blinded paths: trampolines that a path of the recipient's leads along, and a last
//! trampoline that is handed the path of a recipient who is none.

use crate::blind::{self, Path};
use crate::misbehave::Plan;
use crate::node::Node;
use crate::node::env::lock;
use crate::ops;
use crate::trampoline::pr836::{self, FEE_MSAT};
use crate::trampoline::relay::{ATTEMPTS, DELTA, Relay};
use bitcoin::secp256k1::{PublicKey, SecretKey};
use lnconform_drafts::failure::code;
use lnconform_drafts::onion::{self, Hop};
use lnconform_drafts::payload::kind;
use lnconform_drafts::rules::Rules;
use lnconform_drafts::tlv::{self, Record};
use lnconform_protocol::OpError;
use lnconform_protocol::outcome::Outcome;
use lnconform_protocol::params::{Params, hex};

/// A payment along a blinded path, by trampolines.
pub struct Along<'a> {
    /// The path.
    pub path: &'a Path,
    /// Of the invoice.
    pub hash: [u8; 32],
    /// What the recipient is to get, in msat.
    pub amount_msat: u64,
    /// Trampolines in front of the path.
    pub trampolines: &'a [PublicKey],
    /// The last of them gets the path, whose nodes are no trampolines.
    pub deliver: bool,
    /// Of the tip.
    pub height: u32,
    /// What each trampoline in front keeps, in msat.
    pub fee_msat: u64,
    /// What each of them has between the two expiries, in blocks.
    pub step: u32,
}

/// A layer of the inner onion.
struct Layer {
    key: PublicKey,
    records: Vec<Record>,
}

fn point(bytes: &[u8; 33]) -> Result<PublicKey, OpError> {
    PublicKey::from_slice(bytes).map_err(|e| OpError::invalid(format!("param path: {e}")))
}

impl Along<'_> {
    /// The payment to the first trampoline, and what is shared with the nodes of the inner onion.
    /// `outer` is the payment secret of the outer onion, `session` the key of the inner one.
    ///
    /// # Errors
    /// `invalid`: nobody is there to hand the path to, the payloads do not fit, or the wrong changes
    /// nothing.
    pub fn plan(
        &self,
        outer: [u8; 32],
        session: &SecretKey,
        wrong: Option<&str>,
    ) -> Result<(Plan, Vec<[u8; 32]>), OpError> {
        let (mut amount, mut delta) = (
            self.path.with_fee(self.amount_msat),
            self.path.cltv_expiry_delta,
        );
        let mut beside = Vec::new();
        let mut layers = Vec::new();
        let mut first = self.path.first_node;
        let mut in_front = self.trampolines.iter().rev();
        if self.deliver {
            let Some(last) = in_front.next() else {
                return Err(OpError::invalid("param trampolines is empty"));
            };
            let cltv = self.height.saturating_add(delta);
            layers.push(Layer {
                key: *last,
                records: vec![
                    Record::new(kind::AMOUNT, crate::shot::truncated(self.amount_msat)),
                    Record::new(kind::CLTV, crate::shot::truncated(cltv.into())),
                    Record::new(kind::RECIPIENT_PATHS, self.path.handed_over()?),
                ],
            });
            first = *last;
            amount = amount.saturating_add(self.fee_msat);
            delta = delta.saturating_add(self.step);
        } else {
            layers = self.along()?;
            if let Some(wrong) = wrong {
                self.misbehave(wrong, &mut layers, &mut beside)?;
            }
        }
        for node in in_front {
            let cltv = self.height.saturating_add(delta);
            let records = vec![
                Record::new(kind::AMOUNT, crate::shot::truncated(amount)),
                Record::new(kind::CLTV, crate::shot::truncated(cltv.into())),
                Record::new(kind::OUTGOING_NODE_ID, first.serialize()),
            ];
            layers.insert(
                0,
                Layer {
                    key: *node,
                    records,
                },
            );
            first = *node;
            amount = amount.saturating_add(self.fee_msat);
            delta = delta.saturating_add(self.step);
        }
        let hop = |layer: &Layer| Hop {
            pubkey: layer.key,
            framed: onion::frame(&tlv::encode_unchecked(&layer.records)),
        };
        let hops: Vec<Hop> = layers.iter().map(hop).collect();
        let size = onion::needed(&hops);
        let built = onion::build(&Rules::all(), session, &self.hash, &hops, size)
            .map_err(|e| OpError::invalid(format!("the trampoline onion cannot be made: {e}")))?;
        let mut plan = Plan::new(first, self.hash, vec![amount], delta);
        plan.with_secret(outer);
        plan.records = beside;
        plan.records
            .push(Record::new(kind::TRAMPOLINE_ONION, built.packet));
        Ok((plan, built.shared_secrets))
    }

    /// The layers of the nodes of the path.
    fn along(&self) -> Result<Vec<Layer>, OpError> {
        let mut layers = Vec::with_capacity(self.path.hops.len());
        for (at, hop) in self.path.hops.iter().enumerate() {
            let data = Record::new(kind::ENCRYPTED_DATA, hop.encrypted_data.clone());
            let mut records = vec![data];
            if at == 0 {
                records.push(Record::new(kind::PATH_KEY, self.path.path_key));
            }
            if at + 1 == self.path.hops.len() {
                let amount = crate::shot::truncated(self.amount_msat);
                records.push(Record::new(kind::AMOUNT, amount.clone()));
                // BOLT 4, payload format, writer: the current height is what the recipient is told.
                let height = crate::shot::truncated(self.height.into());
                records.push(Record::new(kind::CLTV, height));
                records.push(Record::new(kind::TOTAL, amount));
            }
            records.sort_by_key(|record| record.kind);
            let key = if at == 0 {
                self.path.first_node
            } else {
                point(&hop.blinded_node_id)?
            };
            layers.push(Layer { key, records });
        }
        Ok(layers)
    }

    /// Does wrong what `name` says; `beside` goes into the payload around the trampoline onion.
    fn misbehave(
        &self,
        name: &str,
        layers: &mut [Layer],
        beside: &mut Vec<Record>,
    ) -> Result<(), OpError> {
        let idle = || {
            OpError::invalid(format!(
                "param misbehave is {name}, which changes nothing in this payment"
            ))
        };
        let altered = |layer: &mut Layer| {
            let mut sealed = layer
                .records
                .iter_mut()
                .filter(|record| record.kind == kind::ENCRYPTED_DATA);
            if let Some(byte) = sealed.next().and_then(|record| record.value.first_mut()) {
                *byte ^= 1;
            }
        };
        match (name, layers) {
            ("trampoline-path-key-missing", [first, ..]) => {
                first.records.retain(|record| record.kind != kind::PATH_KEY);
            }
            ("trampoline-path-key-twice", [first, ..]) if self.trampolines.is_empty() => {
                let hop = self.path.hops.first().ok_or_else(idle)?;
                // With a path key around it, the onion is for the blinded key.
                first.key = point(&hop.blinded_node_id)?;
                beside.push(Record::new(kind::PATH_KEY, self.path.path_key));
            }
            ("trampoline-data-altered", [first, ..]) => altered(first),
            ("trampoline-inside-data-altered", [_, second, ..]) => altered(second),
            _ => return Err(idle()),
        }
        Ok(())
    }
}

/// `blinded_path.pay` with `trampolines` [node ids, may be empty], which go in front of the path:
/// the nodes of the path are trampolines too, or with `deliver` (bool) the last of `trampolines` is handed the
/// path of a recipient who is none. `trampoline_fee_msat` (1000) and `trampoline_delta` (blocks, 40) are for
/// each of `trampolines`.
pub(crate) fn pay(
    params: Params<'_>,
    node: &Node,
    (path, hash, amount_msat): (&Path, [u8; 32], u64),
    wrong: Option<&str>,
) -> Outcome {
    let trampolines = pr836::node_ids(params)?;
    let deliver = params.maybe("deliver", Params::bool)?.unwrap_or(false);
    if deliver && let Some(name) = wrong {
        let why = format!("param misbehave is {name}, which is for nodes of the path");
        return Err(OpError::invalid(why).into());
    }
    let fee_msat = params.maybe("trampoline_fee_msat", Params::number)?;
    let step = params.maybe("trampoline_delta", Params::u32)?;
    let along = Along {
        path,
        hash,
        amount_msat,
        trampolines: &trampolines,
        deliver,
        height: node.hook.height(),
        fee_msat: fee_msat.unwrap_or(FEE_MSAT),
        step: step.unwrap_or(DELTA),
    };
    let (plan, inner) = along.plan(node.hook.draw(), &node.hook.draw_key(), wrong)?;
    lock(&node.hook.pr836).sent(hash, inner);
    ops::start(node, &plan)
}

impl Node {
    /// Pays a relay's payment along the path of its recipient.
    pub(crate) fn deliver(&self, mut relay: Relay, path: &Path) {
        relay.attempts += 1;
        match blind::shot_along(self, path, relay.hash, relay.amount_msat, None) {
            Ok(shot) => {
                let payment = hex(self.hook.draw());
                relay.payment = Some(payment.clone());
                self.put(relay);
                self.send(&payment, vec![shot]);
            }
            Err(e) if relay.attempts >= ATTEMPTS => {
                let code = code::TEMPORARY_TRAMPOLINE_FAILURE;
                self.give_up(relay.hash, code, &format!("the path leads nowhere: {e:?}"));
            }
            Err(_) => self.put(relay),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::blind::tests::trampolines;
    use crate::trampoline::pr836::receiver::{Refusal, Todo, open};
    use crate::trampoline::pr836::tests::held;
    use crate::trampoline::pr836::translate;
    use lnconform_drafts::keys;
    use lnconform_spec::misbehaviours;

    const HASH: [u8; 32] = [1; 32];
    const MARK: [u8; 32] = [3; 32];

    fn secret(n: u8) -> SecretKey {
        SecretKey::from_slice(&[n; 32]).unwrap()
    }

    fn id(n: u8) -> PublicKey {
        keys::public(&secret(n))
    }

    /// A payment along a path over 8 and 9 to 10, with `in_front` before it.
    fn sent(in_front: &[PublicKey], deliver: bool, wrong: Option<&str>) -> Plan {
        let path = trampolines();
        let along = Along {
            path: &path,
            hash: HASH,
            amount_msat: 300_000,
            trampolines: in_front,
            deliver,
            height: 500,
            fee_msat: FEE_MSAT,
            step: DELTA,
        };
        along.plan([6; 32], &secret(3), wrong).unwrap().0
    }

    fn opened(plan: &Plan, node: u8) -> Result<Todo, Refusal> {
        let next = |scid| match scid {
            8 => Some(id(9)),
            9 => Some(id(10)),
            _ => None,
        };
        open(&secret(node), &HASH, &held(plan, node), next).1
    }

    /// Where the payment is refused, and by which rule.
    fn travel(
        in_front: &[PublicKey],
        wrong: Option<&str>,
    ) -> Result<(), (u8, Option<&'static str>)> {
        let mut plan = sent(in_front, false, wrong);
        let begins = if in_front.is_empty() { 8 } else { 7 };
        for node in begins..=9 {
            let todo = opened(&plan, node).map_err(|refused| (node, refused.rule))?;
            let Todo::Relay(relay) = todo else {
                panic!("{todo:?}");
            };
            assert_eq!(relay.next, id(node + 1));
            // Inside the path nobody says what is wrong further on.
            assert_eq!(relay.masked.is_some(), node >= 8);
            plan = relay.plan(500, [7; 32]);
            translate(&mut plan);
        }
        let todo = opened(&plan, 10).map_err(|refused| (10, refused.rule))?;
        assert_eq!(todo, Todo::Receive(Some(MARK)));
        Ok(())
    }

    #[test]
    fn an_honest_payment_goes_along_the_path() {
        assert_eq!(travel(&[], None), Ok(()));
        assert_eq!(travel(&[id(7)], None), Ok(()));
    }

    #[test]
    fn each_wrong_is_noticed_by_the_statement_that_the_list_names() {
        let mut all = misbehaviours::all().unwrap();
        all.retain(|m| m.name.starts_with("trampoline-"));
        all.retain(|m| m.operations.iter().any(|o| o == blind::PAY));
        assert_eq!(all.len(), 4);
        for m in all {
            let at = if m.name.contains("inside") { 9 } else { 8 };
            let refused = travel(&[], Some(&m.name)).unwrap_err();
            assert_eq!(refused, (at, m.reader.as_deref()), "{}", m.name);
        }
    }

    #[test]
    fn a_recipient_who_is_no_trampoline_is_paid_along_its_path() {
        let plan = sent(&[id(7)], true, None);
        let Ok(Todo::Relay(relay)) = opened(&plan, 7) else {
            panic!("it is to be passed on");
        };
        assert_eq!(relay.path, Some(trampolines()));
        assert_eq!((relay.amount_msat, relay.masked), (300_000, None));
        let path = trampolines();
        let along = Along {
            path: &path,
            hash: HASH,
            amount_msat: 300_000,
            trampolines: &[],
            deliver: true,
            height: 500,
            fee_msat: FEE_MSAT,
            step: DELTA,
        };
        assert!(along.plan([6; 32], &secret(3), None).is_err());
    }
}
