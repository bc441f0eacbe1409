use super::attacks::{Known, Settled, Waiting, from_settled, on_incomplete, on_shards};
use super::attempt::{Form, compare};
use super::designs::{Design, Game, MOST_SHARDS, Played, play};
use super::recipient::{Incoming, Recipient, Redeemed};
use super::*;
use crate::keys::{self, Point, SecretKey};
use crate::point_lock::recipient::{self as single, Mark, Memory, Window};
use crate::point_lock::{NoncePair, lock, opening, route_locks, route_sum};
use crate::rules::Shift;
use proptest::prelude::*;

const NOW: u64 = 1500;
const CHAIN: [u8; 32] = [3; 32];
const ADDRESS: [u8; 32] = [8; 32];

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn pair(byte: u8) -> NoncePair {
    NoncePair {
        r1: secret(byte),
        r2: secret(byte + 1),
    }
}

fn tweak(byte: u8) -> Scalar {
    Scalar::from(secret(byte))
}

/// Time 1000, amount 5000, a receipt is wanted.
fn request(nonce: u8) -> [u8; REQUEST_LENGTH] {
    let mut request = [0; REQUEST_LENGTH];
    request[1] = 1;
    request[2..34].fill(nonce);
    request[34..42].copy_from_slice(&1000u64.to_be_bytes());
    request[42..50].copy_from_slice(&5000u64.to_be_bytes());
    request[50..82].fill(7);
    request
}

/// A shard as the payer makes it.
#[derive(Clone)]
struct Shard {
    request: Vec<u8>,
    entry: u32,
    share: [u8; 32],
    index: u32,
    tweaks: Vec<Scalar>,
    msat: u64,
    lock: Option<Point>,
}

#[derive(Clone)]
struct World {
    nonces: Vec<NoncePair>,
    shards: Vec<Shard>,
    /// What the payer's locks are for, where it is not what it says.
    locked: Option<[u8; REQUEST_LENGTH]>,
    /// Shards that the payer made and that do not arrive.
    lost: Vec<usize>,
    /// Shards whose share is another one than the payer locked to.
    altered: Vec<usize>,
    now: u64,
    expiry: u64,
    window: Window,
    marks: Memory<[u8; 32]>,
}

impl World {
    fn new() -> Self {
        let shard = |at: u8, msat| Shard {
            request: request(1).to_vec(),
            entry: 0,
            share: [at + 50; 32],
            index: u32::from(at),
            tweaks: vec![tweak(70 + at), tweak(80 + at)],
            msat,
            lock: None,
        };
        Self {
            nonces: vec![pair(20)],
            shards: vec![shard(0, 1000), shard(1, 1500), shard(2, 2500)],
            locked: None,
            lost: vec![],
            altered: vec![],
            now: NOW,
            expiry: NOW,
            window: Window {
                past: 500,
                future: 500,
            },
            marks: Memory::default(),
        }
    }

    fn recipient(&self) -> Recipient<'_> {
        Recipient {
            own: single::Recipient {
                secret: secret(1),
                chain_hash: CHAIN,
                nonces: &self.nonces,
                expiry: self.expiry,
                window: self.window,
            },
            payment_addr: ADDRESS,
        }
    }

    fn message(&self) -> [u8; 32] {
        let read = Rules::all().without(rules::AIT_POINT_REQUEST).unwrap();
        let sent = terms(&read, &self.shards[0].request).unwrap().request;
        let key = keys::public(&secret(1));
        message(&commitment(
            &CHAIN,
            &key,
            &ADDRESS,
            &self.locked.unwrap_or(sent),
        ))
    }

    fn lock(&self) -> Lock {
        let key = keys::public(&secret(1));
        lock(&key, &self.nonces[0].points(), &self.message()).unwrap()
    }

    fn children(&self) -> Vec<Scalar> {
        let root = root(self.shards.iter().map(|shard| &shard.share));
        let of = |shard: &Shard| child(&root, &shard.share, shard.index);
        self.shards.iter().map(of).collect()
    }

    /// The locks of every route.
    fn routes(&self) -> Vec<Vec<PublicKey>> {
        let point = self.lock().point;
        self.shards
            .iter()
            .zip(self.children())
            .map(|(shard, d)| route_locks(&shard_lock(&point, d).unwrap(), &shard.tweaks).unwrap())
            .collect()
    }

    fn last_locks(&self) -> Vec<Point> {
        let routes = self.routes();
        let last = routes.iter().map(|route| route.last().unwrap().serialize());
        last.collect()
    }

    fn waiting(&self) -> Vec<Waiting> {
        self.shards
            .iter()
            .zip(self.last_locks())
            .enumerate()
            .filter(|(at, _)| !self.lost.contains(at))
            .map(|(at, (shard, lock))| {
                let mut share = shard.share;
                if self.altered.contains(&at) {
                    share[31] ^= 1;
                }
                Waiting {
                    share,
                    child_index: shard.index,
                    lock: shard.lock.unwrap_or(lock),
                    tweak: route_sum(&shard.tweaks),
                }
            })
            .collect()
    }

    fn redeem(&mut self, rules: &Rules) -> Result<Redeemed> {
        let there = (0..self.shards.len()).filter(|at| !self.lost.contains(at));
        let incoming: Vec<Incoming<'_>> = there
            .zip(self.waiting())
            .map(|(at, waiting)| {
                let shard = &self.shards[at];
                Incoming {
                    entry: shard.entry,
                    request: &shard.request,
                    share: waiting.share,
                    child_index: waiting.child_index,
                    lock: waiting.lock,
                    tweak: waiting.tweak,
                    received_msat: shard.msat,
                }
            })
            .collect();
        let mut marks = self.marks.clone();
        let redeemed = self
            .recipient()
            .redeem(rules, &incoming, self.now, &mut marks);
        self.marks = marks;
        redeemed
    }

    fn rule(&mut self, rules: &Rules) -> Option<&'static str> {
        match self.redeem(rules) {
            Ok(_) => None,
            Err(PointLockError::Rule(violation)) => Some(violation.rule),
            Err(other) => panic!("{other}"),
        }
    }
}

fn changed(change: impl FnOnce(&mut World)) -> World {
    let mut world = World::new();
    change(&mut world);
    world
}

fn each(world: &mut World, change: impl Fn(&mut Shard)) {
    world.shards.iter_mut().for_each(change);
}

fn rule_of<T: std::fmt::Debug>(result: Result<T>) -> &'static str {
    match result.unwrap_err() {
        PointLockError::Rule(violation) => violation.rule,
        other => panic!("{other}"),
    }
}

#[test]
fn commitment_and_root_are_those_of_the_hash_form() {
    use crate::amp_tunnel::{Opening, Place, decode_request};
    let all = Rules::all();
    let recipient = keys::public(&secret(1));
    let place = Place {
        chain_hash: CHAIN,
        recipient_id: recipient.serialize(),
        payment_addr: ADDRESS,
    };
    let read = decode_request(&all, &request(1)).unwrap();
    let opening = Opening::derive(&all, &place, &read).unwrap();
    let own = commitment(&CHAIN, &recipient, &ADDRESS, &request(1));
    assert_eq!(*opening.commitment, own);
    assert_eq!(*opening.root, bound_root(&own));
}

#[test]
fn any_one_settled_shard_gives_the_payer_the_proof() {
    let all = Rules::all();
    let mut world = World::new();
    let redeemed = world.redeem(&all).unwrap();
    assert_eq!(redeemed.scalars.len(), 3);
    let (lock, children, routes) = (world.lock(), world.children(), world.routes());
    let recipient = keys::public(&secret(1));
    let mut proofs = Vec::new();
    for at in 0..3 {
        assert_eq!(redeemed.scalars[at].point(), Some(routes[at][1]));
        let tweaks = &world.shards[at].tweaks;
        let own = point_lock::route_scalars(redeemed.scalars[at], tweaks)[0];
        assert_eq!(own.point(), Some(routes[at][0]));
        let proof = extract(&all, &lock, children[at], tweaks[0], own).unwrap();
        proofs.push(proof);
        let read = verify(&all, &CHAIN, &recipient, &ADDRESS, &request(1), &proof).unwrap();
        assert_eq!(read.amount_msat, 5000);
        // With the child of another shard it is no settlement, and with that rule off no proof.
        let id = rules::AIT_POINT_SETTLED_SCALAR;
        let other = children[(at + 1) % 3];
        assert_eq!(rule_of(extract(&all, &lock, other, tweaks[0], own)), id);
        let off = Rules::all().without(id).unwrap();
        let wrong = extract(&off, &lock, other, tweaks[0], own).unwrap();
        assert!(verify(&all, &CHAIN, &recipient, &ADDRESS, &request(1), &wrong).is_err());
    }
    assert!(proofs.iter().all(|proof| *proof == proofs[0]));
    // No other lock of the set is opened by what settles one.
    assert_eq!(
        attacks::opened_by_others(&world.last_locks(), &redeemed.scalars),
        0
    );
}

#[test]
fn a_proof_is_of_one_chain_recipient_address_and_request() {
    let all = Rules::all();
    let proof = {
        let world = World::new();
        let s = opening(&secret(1), &world.nonces[0], &world.message()).unwrap();
        let mut proof = world.lock().nonce_x().to_vec();
        proof.extend(s.to_bytes());
        proof
    };
    let recipient = keys::public(&secret(1));
    let checked =
        |chain: &[u8; 32], key: &PublicKey, address: &[u8; 32], bytes: &[u8], p: &[u8]| {
            verify(&all, chain, key, address, bytes, p)
                .err()
                .map(|violation| violation.rule)
        };
    let good = request(1);
    assert_eq!(checked(&CHAIN, &recipient, &ADDRESS, &good, &proof), None);
    let signature = Some(rules::AIT_POINT_PROOF_SIGNATURE);
    let other = keys::public(&secret(2));
    assert_eq!(
        checked(&[4; 32], &recipient, &ADDRESS, &good, &proof),
        signature
    );
    assert_eq!(checked(&CHAIN, &other, &ADDRESS, &good, &proof), signature);
    assert_eq!(
        checked(&CHAIN, &recipient, &[9; 32], &good, &proof),
        signature
    );
    assert_eq!(
        checked(&CHAIN, &recipient, &ADDRESS, &request(2), &proof),
        signature
    );
    let length = Some(rules::AIT_POINT_PROOF_LENGTH);
    let long = [proof.as_slice(), &[0]].concat();
    assert_eq!(
        checked(&CHAIN, &recipient, &ADDRESS, &good, &proof[..63]),
        length
    );
    assert_eq!(checked(&CHAIN, &recipient, &ADDRESS, &good, &long), length);
    let off = Rules::all().without(rules::AIT_POINT_PROOF_LENGTH).unwrap();
    assert!(verify(&off, &CHAIN, &recipient, &ADDRESS, &good, &long).is_ok());
    // The keysend form's proof of the same request is another signature.
    assert!(point_lock::verify(&all, &CHAIN, &recipient, &good, &proof).is_err());
    let short = Some(rules::AIT_POINT_REQUEST);
    assert_eq!(
        checked(&CHAIN, &recipient, &ADDRESS, &good[..113], &proof),
        short
    );
}

#[test]
fn each_rule_returns_the_set_and_nothing_is_marked() {
    type Change = fn(&mut World);
    let changes: [(&str, Change); 20] = [
        (rules::AIT_POINT_REQUEST, |w| each(w, |s| s.request[1] = 4)),
        (rules::AIT_POINT_REQUEST, |w| each(w, |s| s.request.push(0))),
        (rules::AIT_POINT_SAME_REQUEST, |w| {
            w.shards[1].request[50] ^= 1
        }),
        (rules::AIT_POINT_SAME_REQUEST, |w| {
            w.shards[2].request.clear()
        }),
        (rules::AIT_POINT_SAME_ENTRY, |w| w.shards[2].entry = 1),
        (rules::AIT_POINT_ROOT_FREE, |w| {
            each(w, |s| s.request[1] = 2)
        }),
        (rules::AIT_POINT_ENTRY_KNOWN, |w| each(w, |s| s.entry = 1)),
        (rules::AIT_POINT_REDEEM_EXPIRY, |w| w.expiry = NOW - 1),
        (rules::AIT_POINT_SET_DISTINCT, |w| {
            w.shards[1].share = w.shards[0].share;
            w.shards[1].index = w.shards[0].index;
        }),
        (rules::AIT_POINT_LOCK, |w| w.locked = Some(request(2))),
        (rules::AIT_POINT_LOCK, |w| w.shards[2].lock = Some([4; 33])),
        (rules::AIT_POINT_LOCK, |w| w.altered = vec![1]),
        (rules::AIT_POINT_LOCK, |w| {
            w.shards[0].msat = 3000;
            w.lost = vec![1];
        }),
        (rules::AIT_POINT_AMOUNT, |w| w.shards[0].msat = 999),
        (rules::AIT_POINT_AMOUNT_EXCESS, |w| w.shards[0].msat = 6001),
        (rules::AIT_POINT_TIME_PAST, |w| w.window.past = 499),
        (rules::AIT_POINT_TIME_FUTURE, |w| w.now = 499),
        (rules::AIT_POINT_ENTRY_UNUSED, |w| {
            w.marks.marks.push(Mark {
                index: 0,
                message: [1; 32],
                lock: [2; 32],
            });
        }),
        (rules::AIT_POINT_ENTRY_UNUSED, |w| {
            // The same request, and another attempt at it.
            let mut earlier = w.clone();
            each(&mut earlier, |s| s.index += 10);
            earlier.redeem(&Rules::all()).unwrap();
            w.marks = earlier.marks;
        }),
        (rules::AIT_POINT_MARK, |w| w.marks.writable = false),
    ];
    for (id, change) in changes {
        let mut world = changed(change);
        let before = world.marks.clone();
        assert_eq!(world.rule(&Rules::all()), Some(id));
        assert_eq!(world.marks, before, "{id}");
        let off = Rules::all().without(id).unwrap();
        assert_eq!(changed(change).rule(&off), None, "{id}");
    }
}

#[test]
fn the_boundaries_pass() {
    type Change = fn(&mut World);
    let changes: [Change; 5] = [
        |_| (),
        |w| w.shards[0].msat = 6000,
        |w| w.now = 500,
        |w| each(w, |s| s.request[1] = 0),
        // One share twice is two shards, as long as the indexes differ.
        |w| w.shards[1].share = w.shards[0].share,
    ];
    for change in changes {
        assert_eq!(changed(change).rule(&Rules::all()), None);
    }
    for id in [
        rules::AIT_POINT_AMOUNT,
        rules::AIT_POINT_ENTRY_KNOWN,
        rules::AIT_POINT_REDEEM_EXPIRY,
        rules::AIT_POINT_TIME_PAST,
    ] {
        let strict = Rules::all().shift(id, Shift::Strict).unwrap();
        assert_eq!(World::new().rule(&strict), Some(id));
    }
}

#[test]
fn the_marked_set_is_redeemed_again_and_no_other() {
    let all = Rules::all();
    let mut world = World::new();
    let first = world.redeem(&all).unwrap();
    assert!(!first.resumed);
    // The shards come in another order after a restart; it is the same set.
    world.shards.swap(0, 2);
    let again = world.redeem(&all).unwrap();
    assert!(again.resumed);
    assert_eq!(again.mark, first.mark);
    assert_eq!(again.scalars[0], first.scalars[2]);
    assert_eq!(world.marks.marks.len(), 1);
    each(&mut world, |s| s.request = request(2).to_vec());
    assert_eq!(world.rule(&all), Some(rules::AIT_POINT_ENTRY_UNUSED));
    assert!(
        World::new()
            .recipient()
            .redeem(&all, &[], NOW, &mut world.marks)
            .is_err()
    );
}

#[test]
fn a_missing_share_leaves_the_recipient_with_nothing() {
    for lost in [vec![0], vec![1], vec![2], vec![0, 1]] {
        let world = changed(|w| w.lost = lost);
        let s = opening(&secret(1), &world.nonces[0], &world.message()).unwrap();
        let tried = on_incomplete(s, &[0; 32], &world.waiting());
        assert_eq!(tried.len(), 5);
        assert!(tried.iter().all(|one| one.opens == 0));
    }
    // The ways are judged by locks that they can open: with all shares, and with a root that the
    // request gives away, which is why no request may bind it.
    let world = World::new();
    let s = opening(&secret(1), &world.nonces[0], &world.message()).unwrap();
    let tried = on_incomplete(s, &[0; 32], &world.waiting());
    assert_eq!(
        tried.iter().map(|t| t.opens).collect::<Vec<_>>(),
        [0, 3, 0, 0, 0]
    );
    let opened = |world: &World| {
        let bytes: [u8; REQUEST_LENGTH] = world.shards[0].request.clone().try_into().unwrap();
        let c = commitment(&CHAIN, &keys::public(&secret(1)), &ADDRESS, &bytes);
        let whole = bound_root(&c);
        let mut world = world.clone();
        let others = root(world.shards[..2].iter().map(|shard| &shard.share));
        world.shards[2].share = root([&whole, &others]);
        world.lost = vec![0, 2];
        on_incomplete(s, &c, &world.waiting())[4].opens
    };
    assert_eq!(opened(&world), 1);
    let single = changed(|w| w.shards.truncate(1));
    let tried = on_incomplete(s, &[0; 32], &single.waiting());
    assert_eq!(
        tried.iter().map(|t| t.opens).collect::<Vec<_>>(),
        [0, 1, 1, 0, 0]
    );
}

#[test]
fn an_lsp_opens_no_shard_of_a_second_payment() {
    let first = World::new();
    let second = changed(|w| each(w, |s| s.request = request(2).to_vec()));
    let s = opening(&secret(1), &first.nonces[0], &first.message()).unwrap();
    let known = [Known {
        lock: first.lock(),
        s,
    }];
    let opens = |world: &World, children: &[Scalar], known: &[Known]| -> Vec<usize> {
        let tried = on_shards(&world.lock(), children, known).unwrap();
        tried.iter().map(|one| one.opens).collect()
    };
    assert_eq!(opens(&second, &second.children(), &known), [0; 6]);
    // Nor of another attempt at the same request, whose children nobody tells it.
    assert_eq!(opens(&first, &first.children(), &known), [0; 6]);
    // The ways are judged by locks that they can open.
    let zero = [Scalar::ZERO];
    assert_eq!(opens(&first, &zero, &known), [0, 1, 0, 0, 0, 0]);
    let given = [Known {
        lock: second.lock(),
        s,
    }];
    assert_eq!(opens(&first, &first.children(), &given)[..3], [0, 0, 3]);
}

#[test]
fn twins_on_routes_without_tweaks_of_their_own_open_each_other() {
    let mut world = changed(|w| {
        let msat = w.shards[1].msat;
        w.shards[1] = w.shards[0].clone();
        w.shards[1].msat = msat;
    });
    let off = Rules::all().without(rules::AIT_POINT_SET_DISTINCT).unwrap();
    let redeemed = world.redeem(&off).unwrap();
    let opened = |world: &World| attacks::opened_by_others(&world.last_locks(), &redeemed.scalars);
    assert_eq!(opened(&world), 2);
    world.shards[1].tweaks = vec![tweak(99)];
    let redeemed = world.redeem(&off.clone().without(rules::AIT_POINT_ENTRY_UNUSED).unwrap());
    let scalars = redeemed.unwrap().scalars;
    assert_eq!(attacks::opened_by_others(&world.last_locks(), &scalars), 0);
}

#[test]
fn a_payer_leaves_the_root_unbound() {
    let all = Rules::all();
    let mut bytes = request(1);
    assert_eq!(payable(&all, &terms(&all, &bytes).unwrap()), Ok(()));
    bytes[1] |= ROOT_BOUND;
    let bound = terms(&all, &bytes).unwrap();
    let id = rules::AIT_POINT_ROOT_UNBOUND;
    assert_eq!(payable(&all, &bound).unwrap_err().rule, id);
    assert!(payable(&Rules::all().without(id).unwrap(), &bound).is_ok());
}

#[test]
fn a_payer_makes_no_lock_of_zero_or_twice() {
    let lock = World::new().lock();
    let all = Rules::all();
    let (zero, distinct) = (
        rules::AIT_POINT_CHILD_NONZERO,
        rules::AIT_POINT_CHILD_DISTINCT,
    );
    let children = [Scalar::ONE, Scalar::ZERO];
    assert_eq!(rule_of(shard_locks(&all, &lock, &children)), zero);
    let off = Rules::all().without(zero).unwrap();
    assert_eq!(shard_locks(&off, &lock, &children).unwrap()[1], lock.point);
    let children = [tweak(5), tweak(6), tweak(5)];
    assert_eq!(rule_of(shard_locks(&all, &lock, &children)), distinct);
    let off = Rules::all().without(distinct).unwrap();
    let locks = shard_locks(&off, &lock, &children).unwrap();
    assert_eq!(locks[0], locks[2]);
    assert_eq!(shard_locks(&all, &lock, &[]), Ok(vec![]));
    let s = opening(&secret(1), &pair(20), &World::new().message()).unwrap();
    assert_eq!(
        shard_locks(&all, &lock, &[s.negated()]),
        Err(PointLockError::NoPoint("shard lock"))
    );
}

#[test]
fn shards_of_one_set_are_one_equation() {
    let key = keys::public(&secret(1));
    let settled = |byte: u8, nonces: u8| {
        let world = changed(|w| {
            w.nonces = vec![pair(nonces)];
            each(w, |s| s.request = request(byte).to_vec());
        });
        let s = opening(&secret(1), &world.nonces[0], &world.message()).unwrap();
        let of = |child: &Scalar| Settled {
            message: world.message(),
            nonces: world.nonces[0].points(),
            child: *child,
            scalar: s.plus(*child),
        };
        world.children().iter().map(of).collect::<Vec<_>>()
    };
    let worth = |sets: &[(u8, u8)]| {
        let all: Vec<Settled> = sets.iter().flat_map(|(m, n)| settled(*m, *n)).collect();
        let recovery = from_settled(&key, &all).unwrap();
        if let Some(found) = recovery.key {
            assert_eq!(found, secret(1));
        }
        (
            recovery.equations,
            recovery.unknowns,
            recovery.key.is_some(),
        )
    };
    assert_eq!(worth(&[(1, 20)]), (1, 3, false));
    assert_eq!(worth(&[(1, 20), (2, 20)]), (2, 3, false));
    assert_eq!(worth(&[(1, 20), (2, 20), (3, 20)]), (3, 3, true));
    assert_eq!(worth(&[(1, 20), (2, 30), (3, 40)]), (3, 7, false));
}

#[test]
fn only_a_point_gives_a_secret_of_the_attempt() {
    let attempts = [[1; 32], [2; 32], [3; 32]];
    let compared = |form, count: usize| {
        compare(
            form,
            &secret(1),
            &pair(20),
            &[6; 32],
            &[7; 32],
            &attempts[..count],
        )
        .unwrap()
    };
    let flags = |form| {
        let c = compared(form, 2);
        (
            c.lock_follows_attempt,
            c.secrets_distinct,
            c.payer_opens,
            c.settlements_shown,
        )
    };
    assert_eq!(flags(Form::PayerHash), (true, true, true, 0));
    assert_eq!(flags(Form::RecipientHash), (false, false, false, 1));
    assert_eq!(flags(Form::RequestPoint), (false, false, false, 1));
    assert_eq!(flags(Form::AttemptPoint), (true, true, false, 2));
    // Who takes an attempt a third time gives its key away.
    let keys: Vec<bool> = Form::ALL
        .iter()
        .map(|form| compared(*form, 3).recovery.key.is_some())
        .collect();
    assert_eq!(keys, [false, false, false, true]);
    assert!(compared(Form::AttemptPoint, 2).recovery.key.is_none());
    assert_eq!(compared(Form::RequestPoint, 3).recovery.equations, 1);
    assert_eq!(Form::ALL.map(Form::name).len(), 4);
}

fn played(design: Design, tunnel_msat: u64, shards: usize) -> Played {
    play(Game {
        design,
        amount_msat: 1_000_000,
        tunnel_msat,
        shards,
        seed: [5; 32],
    })
    .unwrap()
}

const TUNNEL: Design = Design::Tunnel {
    open_commitment: false,
};
const OPEN: Design = Design::Tunnel {
    open_commitment: true,
};

#[test]
fn what_the_lsp_risks_and_the_recipient_keeps_is_the_amount_unless_it_is_a_point() {
    for shards in [1, 3] {
        let sums = |design, tunnel| {
            let p = played(design, tunnel, shards);
            assert_eq!(
                p.lsp_takes_msat + p.recipient_takes_msat + p.returned_msat,
                1_000_000
            );
            assert!(!p.unpaid_payer_proves);
            (p.lsp_takes_msat, p.recipient_keeps_msat)
        };
        assert_eq!(sums(Design::Amp, 0), (0, 1_000_000));
        for tunnel in [0, 1, 200_000, 999_999, 1_000_000] {
            assert_eq!(sums(TUNNEL, tunnel), (tunnel, 1_000_000 - tunnel));
        }
        assert_eq!(sums(Design::InvoiceStack, 0), (1_000_000, 0));
        assert_eq!(sums(Design::PointLock, 0), (0, 0));
    }
}

#[test]
fn an_lsp_that_knows_the_commitment_takes_a_set_of_one() {
    assert_eq!(played(OPEN, 200_000, 1).lsp_takes_msat, 1_000_000);
    assert_eq!(played(OPEN, 200_000, 2).lsp_takes_msat, 200_000);
    assert_eq!(played(TUNNEL, 200_000, 1).lsp_takes_msat, 200_000);
}

#[test]
fn who_has_a_proof_depends_on_what_it_names() {
    let proofs = |design| {
        let p = played(design, 200_000, 2);
        [
            p.payer_proves,
            p.robbed_payer_proves,
            p.lsp_proves,
            p.hop_proves,
        ]
    };
    assert_eq!(proofs(Design::Amp), [false, false, false, false]);
    assert_eq!(proofs(TUNNEL), [true, true, true, false]);
    assert_eq!(proofs(Design::InvoiceStack), [true, true, true, true]);
    assert_eq!(proofs(Design::PointLock), [true, false, false, false]);
}

#[test]
fn a_game_has_bounds() {
    let most = played(Design::PointLock, 0, 100);
    assert_eq!(most, played(Design::PointLock, 0, MOST_SHARDS));
    assert_eq!(played(TUNNEL, u64::MAX, 0).lsp_takes_msat, 1_000_000);
    assert_eq!(Design::ALL.map(Design::name).len(), 5);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn every_split_settles_and_no_part_of_it_does(
        shares in prop::collection::vec(any::<[u8; 32]>(), 1..6),
        indices in prop::collection::vec(any::<u32>(), 6),
        lost in 0usize..6,
    ) {
        let mut world = World::new();
        let model = world.shards[0].clone();
        world.shards = shares
            .iter()
            .zip(&indices)
            .map(|(share, index)| Shard { share: *share, index: *index, msat: 5000, ..model.clone() })
            .collect();
        let count = world.shards.len() as u64;
        each(&mut world, |s| s.msat = 5000u64.div_ceil(count));
        let all = Rules::all();
        let redeemed = world.redeem(&all).unwrap();
        for (scalar, route) in redeemed.scalars.iter().zip(world.routes()) {
            prop_assert_eq!(scalar.point(), route.last().copied());
        }
        prop_assume!(shares.len() > 1 && shares.iter().all(|share| *share != [0; 32]));
        let s = opening(&secret(1), &world.nonces[0], &world.message()).unwrap();
        world.lost = vec![lost % world.shards.len()];
        let tried = on_incomplete(s, &[0; 32], &world.waiting());
        prop_assert!(tried.iter().all(|one| one.opens == 0));
    }

    #[test]
    fn deciding_never_panics(request: Vec<u8>, entry: u32, share: [u8; 32], lock: Vec<u8>, msat: u64, now: u64) {
        let mut off = Rules::all();
        for rule in rules::ALL.iter().filter(|r| r.id.starts_with("amp-tunnel/point-lock/")) {
            off = off.without(rule.id).unwrap();
        }
        let mut world = World::new();
        world.now = now;
        let shard = &mut world.shards[1];
        (shard.request, shard.entry, shard.share, shard.msat) = (request, entry, share, msat);
        shard.lock = <[u8; 33]>::try_from(lock).ok().or(Some([0; 33]));
        prop_assert!(world.redeem(&off).is_ok());
    }

    #[test]
    fn verifying_never_panics(request: Vec<u8>, proof: Vec<u8>, off: bool) {
        let mut rules = Rules::all();
        if off {
            for id in [rules::AIT_POINT_REQUEST, rules::AIT_POINT_PROOF_LENGTH] {
                rules = rules.without(id).unwrap();
            }
        }
        let key = keys::public(&secret(1));
        prop_assert!(verify(&rules, &[0; 32], &key, &ADDRESS, &request, &proof).is_err());
    }
}

proptest! {
    // Every game is some hundred signatures.
    #![proptest_config(ProptestConfig::with_cases(8))]

    #[test]
    fn the_risk_of_a_tunnel_is_the_amount(amount_msat in 1u64.., tunnel_msat: u64, shards in 1usize..4, seed: [u8; 32]) {
        let game = |design| play(Game { design, amount_msat, tunnel_msat, shards, seed }).unwrap();
        let tunnel = game(TUNNEL);
        prop_assert_eq!(tunnel.lsp_takes_msat, tunnel_msat.min(amount_msat));
        prop_assert_eq!(tunnel.recipient_keeps_msat, amount_msat - tunnel.lsp_takes_msat);
        let point = game(Design::PointLock);
        prop_assert_eq!((point.lsp_takes_msat, point.recipient_keeps_msat), (0, 0));
    }
}
