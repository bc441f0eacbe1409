use super::*;
use crate::keys::public;
use crate::rules::Shift;
use proptest::prelude::*;

const TIME: u64 = 1_700_000_000;
const AMOUNT: u64 = 50_000;
const TUNNEL: u64 = 10_000;
const EXPIRY: u64 = TIME + 600;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn secret(byte: u8) -> SecretKey {
    SecretKey::from_slice(&[byte; 32]).unwrap()
}

fn id(byte: u8) -> Point {
    public(&secret(byte)).serialize()
}

const RECIPIENT: u8 = 0x42;
const PAYER: u8 = 0x24;
const LSP: u8 = 0x77;

fn place() -> Place {
    Place {
        chain_hash: [6; 32],
        recipient_id: id(RECIPIENT),
        payment_addr: [0xaa; 32],
    }
}

/// A request whose nonce begins with `nonce`.
fn request(flags: u8, nonce: u8) -> Request {
    Request {
        version: 0,
        flags,
        nonce: [nonce; 32].into(),
        payment_time: TIME,
        amount_msat: AMOUNT,
        payer_key: public(&secret(PAYER)).x_only_public_key().0.serialize(),
        terms_hash: [0; 32],
    }
}

fn open(request: &Request) -> Opening {
    Opening::derive(&Rules::all(), &place(), request).unwrap()
}

fn secrets(count: u8) -> Vec<Hash> {
    (0..count).map(|i| [0x50 + i; 32]).collect()
}

fn hashes(count: u8) -> Vec<Hash> {
    secrets(count).iter().map(|z| sha256(&[z])).collect()
}

fn header(count: u8) -> Header {
    Header {
        version: 0,
        place: place(),
        lsp_id: id(LSP),
        expiry: EXPIRY,
        count: count.into(),
        root: Pool::build(&hashes(count)).unwrap().root(),
    }
}

fn assign(root: &Hash, index: u32, assignee: &Hash) -> Vec<u8> {
    let message = Assignment::message(root, index, assignee);
    let signed = Assignment::sign(root, index, &message, &secret(LSP), None);
    signed.encode().to_vec()
}

/// A payment at its recipient, owned. The tunnel is on entry 1 of three.
#[derive(Clone)]
struct Case {
    place: Place,
    set_id: Hash,
    total_msat: u64,
    parts: Vec<Part>,
    tunnel: Option<Tunnel>,
    now: u64,
    seen_commitments: Vec<Hash>,
    seen_set_ids: Vec<Hash>,
    amp_settled: bool,
    header: Vec<u8>,
    hashes: Vec<Hash>,
    used: Vec<Used>,
}

impl Case {
    /// A tunnel of `tunnel` msat, none for 0; root and set id are derived whatever the flags say.
    fn new(flags: u8, tunnel: u64) -> Self {
        Self::of(&request(flags, 1), tunnel)
    }

    fn of(request: &Request, tunnel: u64) -> Self {
        let opening = open(request);
        let bytes = request.encode_unchecked().to_vec();
        let total_msat = AMOUNT - tunnel;
        let amounts = [15_000, total_msat - 15_000];
        let shards = shards(&Rules::all(), &opening.root, &amounts, &[[0x31; 32]], 0).unwrap();
        let part = |shard: &Shard| Part {
            request: Some(bytes.clone()),
            share: shard.share.clone(),
            index: shard.index,
            htlc: Htlc {
                payment_hash: shard.child.payment_hash,
                amount_msat: shard.amount_msat,
            },
        };
        let pool = header(3);
        Self {
            place: place(),
            set_id: *opening.set_id,
            total_msat,
            parts: shards.iter().map(part).collect(),
            tunnel: (tunnel > 0).then(|| Tunnel {
                payment_hash: hashes(3)[1],
                total_msat: tunnel,
                assignment: Some(assign(&pool.root, 1, &opening.assignee)),
                htlcs: vec![TunnelPart {
                    request: Some(bytes.clone()),
                    amount_msat: tunnel,
                }],
            }),
            now: TIME + 5,
            seen_commitments: Vec::new(),
            seen_set_ids: Vec::new(),
            amp_settled: true,
            header: pool.encode().to_vec(),
            hashes: hashes(3),
            used: Vec::new(),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Another request in every HTLC, the rest as it was.
    fn resend(self, request: &Request) -> Self {
        self.with(|c| {
            let bytes = request.encode_unchecked().to_vec();
            for part in &mut c.parts {
                part.request = Some(bytes.clone());
            }
            for part in c.tunnel.iter_mut().flat_map(|tunnel| &mut tunnel.htlcs) {
                part.request = Some(bytes.clone());
            }
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
            window: Window::default(),
            seen: Seen {
                commitments: &self.seen_commitments,
                set_ids: &self.seen_set_ids,
            },
        }
    }

    fn accept(&self, rules: &Rules) -> Result<Decision, Violation> {
        accept(rules, &self.payment())
    }

    fn settle(&self, rules: &Rules) -> Result<Release, Violation> {
        let pool = OwnPool {
            header: &self.header,
            hashes: &self.hashes,
        };
        settle(rules, &self.payment(), self.amp_settled, pool, &self.used)
    }

    fn due(&self) -> Judged {
        match self.accept(&Rules::all()).unwrap() {
            Decision::Due(due) => due,
            Decision::NotWanted(reason) => panic!("{reason}"),
        }
    }

    /// Both decisions are refused by `rule`, and by no other rule.
    fn isolates(&self, rule: &'static str) {
        let off = Rules::all().without(rule).unwrap();
        let refused = self.accept(&Rules::all()).unwrap_err();
        assert_eq!(refused.rule, rule, "{refused}");
        assert!(self.accept(&off).is_ok(), "{rule} is not alone");
        if self.tunnel.is_some() {
            self.isolates_settling(rule);
        }
    }

    /// The secret is kept by `rule`, and by no other rule.
    fn isolates_settling(&self, rule: &'static str) {
        let refused = self.settle(&Rules::all()).unwrap_err();
        assert_eq!(refused.rule, rule, "{refused}");
        let off = Rules::all().without(rule).unwrap();
        let passed = self.settle(&off);
        assert!(passed.is_ok(), "{rule} is not alone: {passed:?}");
    }
}

/// Everything that a verifier is given, owned. The tunnel is on entry 1 of three.
#[derive(Clone)]
struct Bundle {
    place: Place,
    request: Vec<u8>,
    receipt: Option<Vec<u8>>,
    htlcs: Option<Vec<Htlc>>,
    tunnel: bool,
    header: Vec<u8>,
    header_signature: Vec<u8>,
    index: u32,
    path: Vec<Hash>,
    secret: Hash,
    assignment: Option<Vec<u8>>,
    others: Vec<(Hash, Vec<u8>)>,
    challenge: Option<[u8; 32]>,
    claim: Option<Vec<u8>>,
}

fn set(case: &Case) -> Vec<Htlc> {
    let parts = case.parts.iter().map(|part| part.htlc);
    let tunnel = case.tunnel.iter().flat_map(|tunnel| {
        tunnel.htlcs.iter().map(|part| Htlc {
            payment_hash: tunnel.payment_hash,
            amount_msat: part.amount_msat,
        })
    });
    parts.chain(tunnel).collect()
}

fn statement(case: &Case) -> Statement {
    let due = case.due();
    Statement {
        set_id: case.set_id,
        root_hash: due.root_hash,
        set_digest: due.set_digest,
        received_msat: due.received_msat,
        settled_time: TIME + 9,
    }
}

impl Bundle {
    /// With a receipt, its HTLCs, a tunnel with its assignment, and a claim, as is asked for.
    fn new(flags: u8, receipt: bool, tunnel: bool, claim: bool) -> Self {
        let request = request(flags, 1);
        let opening = open(&request);
        let case = Case::new(flags | 1, if tunnel { TUNNEL } else { 0 });
        let pool = Pool::build(&hashes(3)).unwrap();
        let header = header(3).encode();
        let challenge = [9; 32];
        let message = claim_message(&opening.commitment, &challenge);
        let signed = sign_claim(
            &Rules::all(),
            &secret(PAYER),
            Some(&request.payer_key),
            &message,
            None,
        );
        // What was stated is about the case, whose request may have one flag more.
        let stated = statement(&case);
        let stated = if root_bound(&request) {
            Statement {
                set_id: *opening.set_id,
                root_hash: root_hash(&opening.root),
                ..stated
            }
        } else {
            stated
        };
        let receipt = receipt.then(|| {
            stated
                .sign(&opening.commitment, &secret(RECIPIENT), None)
                .encode()
                .to_vec()
        });
        Self {
            place: place(),
            request: request.encode_unchecked().to_vec(),
            htlcs: receipt.is_some().then(|| set(&case)),
            receipt,
            tunnel,
            header_signature: Header::message(&header)
                .sign(&secret(RECIPIENT), None)
                .to_vec(),
            header: header.to_vec(),
            index: 1,
            path: pool.path(1).unwrap(),
            secret: secrets(3)[1],
            assignment: Some(assign(&pool.root(), 1, &opening.assignee)),
            others: Vec::new(),
            challenge: claim.then_some(challenge),
            claim: claim.then(|| signed.unwrap().to_vec()),
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    /// Changes the header, which the recipient signs again, and the assignment with it.
    fn reissue(self, change: impl FnOnce(&mut Header)) -> Self {
        self.with(|b| {
            let mut header = Header::decode(&Rules::all(), &b.header).unwrap();
            change(&mut header);
            b.header = header.encode().to_vec();
            b.header_signature = Header::message(&b.header)
                .sign(&secret(RECIPIENT), None)
                .to_vec();
        })
    }

    fn verify(&self, rules: &Rules) -> Result<Verified, Violation> {
        let others: Vec<Other<'_>> = self
            .others
            .iter()
            .map(|(assignee, assignment)| Other {
                assignee: *assignee,
                assignment,
            })
            .collect();
        let proof = Proof {
            place: &self.place,
            request: &self.request,
            receipt: self.receipt.as_deref(),
            htlcs: self.htlcs.as_deref(),
            tunnel: self.tunnel.then_some(Shown {
                header: &self.header,
                header_signature: &self.header_signature,
                index: self.index,
                path: &self.path,
                secret: self.secret,
                assignment: self.assignment.as_deref(),
                others: &others,
            }),
            challenge: self.challenge.as_ref(),
            claim: self.claim.as_deref(),
        };
        verify(rules, &proof)
    }

    /// Refused by `rule`, and by no other rule.
    fn isolates(&self, rule: &'static str) {
        let refused = self.verify(&Rules::all()).unwrap_err();
        assert_eq!(refused.rule, rule, "{refused}");
        let off = Rules::all().without(rule).unwrap();
        let passed = self.verify(&off);
        assert!(passed.is_ok(), "{rule} is not alone: {passed:?}");
    }
}

// The values were computed with another SHA-256, from the text alone.
#[test]
fn derivations_are_those_of_the_text() {
    let all = Rules::all();
    let mut bytes = vec![0, 3];
    bytes.extend(0..32_u8);
    bytes.extend(TIME.to_be_bytes());
    bytes.extend(AMOUNT.to_be_bytes());
    bytes.extend([0x11; 32]);
    bytes.extend([0; 32]);
    let request = decode_request(&all, &bytes).unwrap();
    let mut one = [0; 32];
    one[31] = 1;
    let place = Place {
        // The generator.
        recipient_id: public(&SecretKey::from_slice(&one).unwrap()).serialize(),
        ..place()
    };
    let opening = Opening::derive(&all, &place, &request).unwrap();
    assert_eq!(
        [
            &*opening.commitment,
            &*opening.root,
            &*opening.set_id,
            &opening.assignee
        ]
        .map(|hash| hex(hash)),
        [
            "21da428fe77a56e6e4d5426d9457e6eba837050eaf177552b2a874859a6f89f1",
            "85e42ccfd04d0b8f60f9c90e2a7853fc1f83f66067943f76502baa9c4eae0aa0",
            "40180c962e113942b5c99cf6863e0b5ffb1050fe6766b9f5a144f9e1bea0ad84",
            "ea2d9e741ebae09eb40fc5892df7405548ed87d68e50f478d40a2c2d91aea404",
        ]
    );
    let hashes: Vec<Hash> = (0..3).map(|i| sha256(&[&[i; 32]])).collect();
    assert_eq!(
        hex(&Pool::build(&hashes).unwrap().root()),
        "20fa97166b0ba8ffc79ee9916c8c628a0862a56e7474e601d856bdb0e095f3ab"
    );
    let set: Vec<Htlc> = hashes
        .iter()
        .zip([5, 4, 3])
        .map(|(hash, amount_msat)| Htlc {
            payment_hash: *hash,
            amount_msat,
        })
        .collect();
    assert_eq!(
        hex(&set_digest(&set)),
        "3cf24f5ca98b5a9cb82c219c388c7cc5d21124ec00bdb1e2e03e0512047879ba"
    );
    let stated = Statement {
        set_id: [1; 32],
        root_hash: [2; 32],
        set_digest: [3; 32],
        received_msat: AMOUNT,
        settled_time: TIME + 5,
    };
    assert_eq!(
        [
            claim_message(&opening.commitment, &[9; 32]),
            Assignment::message(&[1; 32], 7, &[2; 32]),
            stated.message(&opening.commitment),
        ]
        .map(|message| hex(&message.digest())),
        [
            "a3d98badbccda42612f1e9700378b5e280141a86246d04ead9a1d0ec3c700b82",
            "aa18acc974cca78858a6fcae58b7ef945e9fb4f160a0d46d25e4ab2626d15b70",
            "546780153921dc44a139fd903c4218ac71613857e62cdd184893a2748c5ec6d2",
        ]
    );
    assert_eq!(stated.message(&opening.commitment).bytes.len(), 144);
}

#[test]
fn a_payment_is_judged_right() {
    for flags in [1, 3] {
        for tunnel in [0, TUNNEL] {
            let case = Case::new(flags, tunnel);
            let due = case.due();
            assert_eq!(due.received_msat, AMOUNT);
            assert_eq!(due.opening, open(&request(flags, 1)));
            assert_eq!(due.root_hash, root_hash(&due.opening.root));
            assert_eq!(due.set_digest, set_digest(&set(&case)));
            assert_eq!(set(&case).len(), if tunnel > 0 { 3 } else { 2 });
        }
    }
    for flags in [0, 2] {
        let case = Case::new(flags, TUNNEL);
        let Ok(Decision::NotWanted(reason)) = case.accept(&Rules::all()) else {
            panic!("no receipt was wanted");
        };
        assert!(reason.contains("bit 0"));
        let off = Rules::all().without(rules::AIT_RECEIPT_WANTED).unwrap();
        assert!(matches!(case.accept(&off), Ok(Decision::Due(_))));
        // A secret is no receipt.
        let released = case.settle(&Rules::all()).unwrap();
        assert_eq!(released.index, 1);
        assert_eq!(released.judged.received_msat, AMOUNT);
    }
}

#[test]
fn each_rule_of_the_recipient_refuses_one_thing() {
    let case = |tunnel| Case::new(3, tunnel);
    for tunnel in [0, TUNNEL] {
        let other = request(3, 2).encode_unchecked().to_vec();
        case(tunnel)
            .with(|c| c.parts[1].request = Some(other.clone()))
            .isolates(rules::AIT_SAME_REQUEST);
        case(tunnel)
            .with(|c| c.parts[1].request = None)
            .isolates(rules::AIT_SAME_REQUEST);
        case(tunnel)
            .with(|c| c.parts[0].request = None)
            .isolates(rules::AIT_SAME_REQUEST);
        case(tunnel)
            .with(|c| c.parts[1].htlc.payment_hash[0] ^= 1)
            .isolates(rules::AIT_CHILD_HASH);
        case(tunnel)
            .with(|c| c.set_id[31] ^= 1)
            .isolates(rules::AIT_SET_ID_BOUND);
        case(tunnel)
            .with(|c| c.total_msat -= 1)
            .isolates(rules::AIT_TOTAL);
        case(tunnel)
            .with(|c| c.total_msat += 1)
            .isolates(rules::AIT_TOTAL);
        case(tunnel)
            .with(|c| c.parts[0].htlc.amount_msat -= 1)
            .isolates(rules::AIT_AMOUNT_LEAST);
        case(tunnel)
            .with(|c| c.parts[0].htlc.amount_msat += AMOUNT + 1)
            .isolates(rules::AIT_AMOUNT_MOST);
        case(tunnel)
            .with(|c| c.seen_commitments.push(*open(&request(3, 1)).commitment))
            .isolates(rules::AIT_ONE_PAYMENT);
        case(tunnel)
            .with(|c| c.seen_set_ids.push(c.set_id))
            .isolates(rules::AIT_ONE_SET);
    }
    // A pool that lasts, so that the window alone decides.
    let forever = |c: &mut Case| {
        c.header = Header {
            expiry: u64::MAX,
            ..header(3)
        }
        .encode()
        .to_vec();
    };
    let at = |now| case(TUNNEL).with(forever).with(|c| c.now = now);
    at(TIME + 604_801).isolates(rules::AIT_TIME_PAST);
    at(TIME - 7_201).isolates(rules::AIT_TIME_FUTURE);
    for edge in [TIME + 604_800, TIME - 7_200] {
        assert!(at(edge).accept(&Rules::all()).is_ok());
        assert!(at(edge).settle(&Rules::all()).is_ok());
    }
    // Children of another root, bound to this request.
    let foreign = open(&request(3, 2));
    let swapped = Case::new(3, 0).with(|c| {
        let again = shards(
            &Rules::all(),
            &foreign.root,
            &[15_000, 35_000],
            &[[0x31; 32]],
            0,
        );
        for (part, shard) in c.parts.iter_mut().zip(again.unwrap()) {
            part.share = shard.share.clone();
            part.htlc.payment_hash = shard.child.payment_hash;
        }
    });
    swapped.isolates(rules::AIT_ROOT_BOUND);
    // Unbound, nobody minds.
    let unbound = swapped
        .clone()
        .resend(&request(1, 1))
        .with(|c| c.set_id = [1; 32]);
    assert!(unbound.accept(&Rules::all()).is_ok());
    // A request that is none.
    let malformed = |change: fn(&mut Vec<u8>)| {
        Case::new(1, 0).with(|c| {
            for part in &mut c.parts {
                change(part.request.as_mut().unwrap());
            }
        })
    };
    malformed(|r| r.push(0)).isolates(rules::AIT_REQUEST_LENGTH);
    malformed(|r| r[0] = 1).isolates(rules::AIT_REQUEST_VERSION);
    malformed(|r| r[1] |= 4).isolates(rules::AIT_REQUEST_FLAGS);
    let mut off_curve = Case::new(1, 0);
    off_curve.place.recipient_id[0] = 5;
    off_curve.isolates(rules::AIT_RECIPIENT_ID);
}

#[test]
fn each_rule_on_settling_keeps_the_secret_for_one_reason() {
    let case = || Case::new(3, TUNNEL);
    let tunnel = |change: fn(&mut Tunnel)| case().with(|c| change(c.tunnel.as_mut().unwrap()));
    assert!(case().settle(&Rules::all()).is_ok());
    // Nothing to settle: D3.
    let refused = Case::new(3, 0).settle(&Rules::all()).unwrap_err();
    assert_eq!(refused.rule, rules::AIT_TUNNEL_HELD);
    assert!(refused.is_contextual());
    let refused = tunnel(|t| t.htlcs.clear())
        .settle(&Rules::all())
        .unwrap_err();
    assert_eq!(refused.rule, rules::AIT_TUNNEL_HELD);
    // Half a tunnel, where the other part brings more.
    tunnel(|t| t.htlcs[0].amount_msat -= 1)
        .with(|c| c.parts[0].htlc.amount_msat += 1)
        .isolates_settling(rules::AIT_TUNNEL_COMPLETE);
    case()
        .with(|c| c.amp_settled = false)
        .isolates_settling(rules::AIT_AMP_SETTLED);
    case()
        .with(|c| c.now = EXPIRY + 1)
        .isolates_settling(rules::AIT_SETTLE_POOL_EXPIRY);
    assert!(
        case()
            .with(|c| c.now = EXPIRY)
            .settle(&Rules::all())
            .is_ok()
    );
    tunnel(|t| t.assignment = None).isolates_settling(rules::AIT_SETTLE_ASSIGNMENT);
    tunnel(|t| t.assignment.as_mut().unwrap().push(0))
        .isolates_settling(rules::AIT_ASSIGNMENT_LENGTH);
    tunnel(|t| t.assignment.as_mut().unwrap()[0] = 1)
        .isolates_settling(rules::AIT_ASSIGNMENT_VERSION);
    tunnel(|t| t.assignment.as_mut().unwrap()[100] ^= 1)
        .isolates_settling(rules::AIT_ASSIGNMENT_SIGNATURE);
    let assignee = open(&request(3, 1)).assignee;
    let root = header(3).root;
    for (root, index) in [(root, 2), ([1; 32], 1)] {
        case()
            .with(|c| {
                c.tunnel.as_mut().unwrap().assignment = Some(assign(&root, index, &assignee));
            })
            .isolates_settling(rules::AIT_ASSIGNMENT_ENTRY);
    }
    // An assignment to somebody else's request.
    let foreign = open(&request(3, 2));
    case()
        .with(|c| {
            c.tunnel.as_mut().unwrap().assignment = Some(assign(&root, 1, &foreign.assignee));
        })
        .isolates_settling(rules::AIT_ASSIGNMENT_SIGNATURE);
    case()
        .with(|c| {
            c.used.push(Used {
                index: 1,
                commitment: *foreign.commitment,
            });
        })
        .isolates_settling(rules::AIT_ENTRY_UNUSED);
    let again = case().with(|c| {
        c.used = vec![
            Used {
                index: 1,
                commitment: *open(&request(3, 1)).commitment,
            },
            Used {
                index: 2,
                commitment: *foreign.commitment,
            },
        ];
    });
    assert!(again.settle(&Rules::all()).is_ok(), "after a crash");
    // The hash is nobody's; the assignment is then of another entry too.
    let unknown = tunnel(|t| t.payment_hash[0] ^= 1);
    let refused = unknown.settle(&Rules::all()).unwrap_err();
    assert_eq!(refused.rule, rules::AIT_ENTRY_KNOWN);
    let off = Rules::all().without(rules::AIT_ENTRY_KNOWN).unwrap();
    let refused = unknown.settle(&off).unwrap_err();
    assert_eq!(refused.rule, rules::AIT_ASSIGNMENT_ENTRY);
    // Its own header.
    case()
        .with(|c| c.header.push(0))
        .isolates_settling(rules::AIT_HEADER_LENGTH);
    case()
        .with(|c| c.header[0] = 1)
        .isolates_settling(rules::AIT_HEADER_VERSION);
}

#[test]
fn tiers_and_statements_follow_what_is_given() {
    let all = Rules::all();
    let of = |flags, receipt, tunnel, claim| {
        Bundle::new(flags, receipt, tunnel, claim)
            .verify(&all)
            .unwrap()
    };
    for claim in [false, true] {
        assert_eq!(of(2, false, false, claim).tier, 0);
        assert_eq!(of(3, false, true, claim).tier, 2);
        assert_eq!(of(1, false, true, claim).tier, 2);
        assert_eq!(of(3, true, false, claim).tier, 3);
        assert_eq!(of(1, true, true, claim).tier, 3);
        let told = of(3, true, true, claim);
        assert_eq!((told.tier, told.claimed), (3, claim));
        let text = told.statement();
        assert_eq!(text.contains("controls the payer key"), claim);
        assert_eq!(text.contains("anybody can name a key"), !claim);
        let (proven, not_proven) = text.split_once(" Not proven: ").unwrap();
        for always in ["That value moved", "word of the payer", "Who stands behind"] {
            assert!(not_proven.contains(always) && !proven.contains(always));
        }
    }
    let bearer = Bundle::new(3, false, true, true)
        .with(|b| b.assignment = None)
        .verify(&all)
        .unwrap();
    assert_eq!(bearer.tier, 1);
    assert!(bearer.statement().contains("whoever learned it"));
    assert!(!bearer.statement().contains("assigned this entry"));
    let assigned = of(3, false, true, true);
    assert!(
        assigned
            .statement()
            .contains("which only another assignment refutes")
    );
    let (header, hash) = assigned.tunnel.unwrap();
    assert_eq!((header.lsp_id, hash), (id(LSP), hashes(3)[1]));
    assert!(
        of(1, true, false, false)
            .statement()
            .contains("That any AMP set belongs to this request")
    );
}

#[test]
fn another_assignment_takes_the_tier_away() {
    let all = Rules::all();
    let root = header(3).root;
    let foreign = open(&request(3, 2)).assignee;
    let own = open(&request(3, 1)).assignee;
    let with = |assignee: Hash, assignment: Vec<u8>| {
        Bundle::new(3, false, true, true).with(|b| b.others = vec![(assignee, assignment)])
    };
    let rebutted = with(foreign, assign(&root, 1, &foreign));
    let told = rebutted.verify(&all).unwrap();
    assert_eq!((told.tier, told.rebutted), (1, true));
    assert!(
        told.statement()
            .contains("assigned this entry to two requests")
    );
    assert!(!told.statement().contains("whoever learned it"));
    let off = Rules::all().without(rules::AIT_REBUTTAL).unwrap();
    assert_eq!(rebutted.verify(&off).unwrap().tier, 2);
    // What rebuts nothing.
    let mut malformed = assign(&root, 1, &foreign);
    malformed.push(0);
    for (assignee, assignment) in [
        (own, assign(&root, 1, &own)),
        (foreign, assign(&root, 2, &foreign)),
        (foreign, assign(&[1; 32], 1, &foreign)),
        (foreign, assign(&root, 1, &own)),
        (foreign, malformed),
    ] {
        let told = with(assignee, assignment).verify(&all).unwrap();
        assert_eq!((told.tier, told.rebutted), (2, false));
    }
    // A receipt stands; the tunnel beside it does not.
    let told = Bundle::new(3, true, true, false)
        .with(|b| b.others = vec![(foreign, assign(&root, 1, &foreign))])
        .verify(&all)
        .unwrap();
    assert_eq!((told.tier, told.rebutted), (3, true));
}

#[test]
fn each_rule_of_the_verifier_refuses_one_thing() {
    let full = || Bundle::new(3, true, true, true);
    let with = |change: &dyn Fn(&mut Bundle)| full().with(|b| change(b));
    assert!(full().verify(&Rules::all()).is_ok());
    with(&|b| b.request.push(0)).isolates(rules::AIT_REQUEST_LENGTH);
    with(&|b| b.receipt.as_mut().unwrap().push(0)).isolates(rules::AIT_RECEIPT_LENGTH);
    with(&|b| b.receipt.as_mut().unwrap()[0] = 1).isolates(rules::AIT_RECEIPT_VERSION);
    with(&|b| b.assignment.as_mut().unwrap().push(0)).isolates(rules::AIT_ASSIGNMENT_LENGTH);
    with(&|b| b.assignment.as_mut().unwrap()[0] = 1).isolates(rules::AIT_ASSIGNMENT_VERSION);
    with(&|b| b.challenge = None).isolates(rules::AIT_CLAIM_WITHOUT_CHALLENGE);
    with(&|b| b.claim = None).isolates(rules::AIT_CHALLENGE_WITHOUT_CLAIM);
    with(&|b| b.receipt = None).isolates(rules::AIT_SET_WITHOUT_RECEIPT);
    Bundle::new(1, false, false, true).isolates(rules::AIT_NOTHING_PROVEN);
    with(&|b| b.receipt.as_mut().unwrap()[176] ^= 1).isolates(rules::AIT_SIGNATURE);
    with(&|b| b.htlcs.as_mut().unwrap()[0].payment_hash[0] ^= 1).isolates(rules::AIT_SET_DIGEST);
    with(&|b| b.claim.as_mut().unwrap()[0] ^= 1).isolates(rules::AIT_CLAIM);
    with(&|b| b.claim.as_mut().unwrap().truncate(63)).isolates(rules::AIT_CLAIM);
    // Signed by the recipient, and still against the request or the HTLCs.
    let stating = |change: fn(&mut Statement)| {
        with(&|b| {
            let mut receipt = Receipt::decode(&Rules::all(), b.receipt.as_ref().unwrap()).unwrap();
            change(&mut receipt.statement);
            let opening = open(&request(3, 1));
            let signed = receipt
                .statement
                .sign(&opening.commitment, &secret(RECIPIENT), None);
            b.receipt = Some(signed.encode().to_vec());
        })
    };
    stating(|s| s.set_id[0] ^= 1).isolates(rules::AIT_SET_ID);
    stating(|s| s.root_hash[0] ^= 1).isolates(rules::AIT_ROOT);
    stating(|s| s.received_msat -= 1)
        .with(|b| b.htlcs = None)
        .isolates(rules::AIT_AMOUNT);
    stating(|s| s.set_digest[0] ^= 1).isolates(rules::AIT_SET_DIGEST);
    stating(|s| s.received_msat += 1).isolates(rules::AIT_SET_SUM);
    // A receipt for the AMP set alone, beside a tunnel.
    let alone = Bundle::new(3, true, false, true);
    with(&|b| {
        b.receipt.clone_from(&alone.receipt);
        b.htlcs.clone_from(&alone.htlcs);
    })
    .isolates(rules::AIT_TUNNEL_IN_SET);
    // The pool.
    with(&|b| {
        b.header.push(0);
        b.header_signature = Header::message(&b.header)
            .sign(&secret(RECIPIENT), None)
            .to_vec();
    })
    .isolates(rules::AIT_HEADER_LENGTH);
    full()
        .reissue(|h| h.version = 1)
        .isolates(rules::AIT_HEADER_VERSION);
    full()
        .reissue(|h| h.lsp_id[0] = 5)
        .isolates(rules::AIT_LSP_POINT);
    full()
        .reissue(|h| h.place.chain_hash[0] ^= 1)
        .isolates(rules::AIT_POOL_CHAIN);
    full()
        .reissue(|h| h.place.recipient_id = id(9))
        .isolates(rules::AIT_POOL_RECIPIENT);
    full()
        .reissue(|h| h.place.payment_addr[0] ^= 1)
        .isolates(rules::AIT_POOL_PAYMENT_ADDR);
    with(&|b| b.header_signature[63] ^= 1).isolates(rules::AIT_POOL_SIGNATURE);
    with(&|b| b.header_signature.truncate(63)).isolates(rules::AIT_POOL_SIGNATURE);
    full()
        .reissue(|h| h.count = 1)
        .isolates(rules::AIT_POOL_INDEX);
    assert!(
        full()
            .reissue(|h| h.count = 2)
            .verify(&Rules::all())
            .is_ok()
    );
    with(&|b| b.path[1][0] ^= 1).isolates(rules::AIT_POOL_INCLUSION);
    with(&|b| b.path.push([0; 32])).isolates(rules::AIT_POOL_INCLUSION);
    with(&|b| {
        b.secret[0] ^= 1;
        b.receipt = None;
        b.htlcs = None;
    })
    .isolates(rules::AIT_POOL_INCLUSION);
    // The assignment.
    with(&|b| b.assignment.as_mut().unwrap()[100] ^= 1).isolates(rules::AIT_ASSIGNMENT_SIGNATURE);
    let assignee = open(&request(3, 1)).assignee;
    let root = header(3).root;
    with(&|b| b.assignment = Some(assign(&root, 2, &assignee)))
        .isolates(rules::AIT_ASSIGNMENT_ENTRY);
    with(&|b| b.assignment = Some(assign(&[1; 32], 1, &assignee)))
        .isolates(rules::AIT_ASSIGNMENT_ENTRY);
    let mut off_curve = Bundle::new(2, false, false, false);
    off_curve.place.recipient_id[0] = 5;
    off_curve.isolates(rules::AIT_RECIPIENT_ID);
    // Neither the age of the pool nor the wish for a receipt matters.
    assert!(
        full()
            .reissue(|h| h.expiry = 0)
            .verify(&Rules::all())
            .is_ok()
    );
    assert!(
        Bundle::new(2, true, true, true)
            .verify(&Rules::all())
            .is_ok()
    );
}

#[test]
fn a_payer_checks_what_it_is_handed() {
    let bundle = Bundle::new(3, false, true, false);
    let opening = open(&request(3, 1));
    let offer = |rules: &Rules, served_by: Point, now| {
        let entry = Entry {
            header: &bundle.header,
            signature: &bundle.header_signature,
            index: 1,
            hash: hashes(3)[1],
            path: &bundle.path,
        };
        let assignment = bundle.assignment.as_ref().unwrap();
        check_offer(
            rules,
            &place(),
            &opening,
            &entry,
            assignment,
            &served_by,
            now,
        )
    };
    let all = Rules::all();
    assert_eq!(offer(&all, id(LSP), EXPIRY), Ok(header(3)));
    for (rule, served_by, now) in [
        (rules::AIT_PAYER_LSP, id(9), EXPIRY),
        (rules::AIT_PAYER_POOL_EXPIRY, id(LSP), EXPIRY + 1),
    ] {
        let refused = offer(&all, served_by, now).unwrap_err();
        assert_eq!(refused.rule, rule);
        assert!(refused.is_contextual());
        let off = Rules::all().without(rule).unwrap();
        assert!(offer(&off, served_by, now).is_ok());
    }
    let lax = Rules::all()
        .shift(rules::AIT_PAYER_POOL_EXPIRY, Shift::Lax)
        .unwrap();
    assert!(offer(&lax, id(LSP), EXPIRY + 1).is_ok());
}

#[test]
fn every_entry_leads_to_the_root() {
    assert_eq!(Pool::build(&[]), None);
    for count in 1..12 {
        let hashes = hashes(count);
        let pool = Pool::build(&hashes).unwrap();
        assert_eq!(pool.leaves().len(), usize::from(count));
        for index in 0..u32::from(count) {
            let header = Header {
                count: count.into(),
                root: pool.root(),
                ..header(3)
            };
            let bytes = header.encode();
            let signature = Header::message(&bytes).sign(&secret(RECIPIENT), None);
            let path = pool.path(index).unwrap();
            let entry = Entry {
                header: &bytes,
                signature: &signature,
                index,
                hash: hashes[index as usize],
                path: &path,
            };
            assert_eq!(check_entry(&Rules::all(), &place(), &entry), Ok(header));
            // Nor does any other index with its path.
            let other = Entry {
                index: (index + 1) % u32::from(count),
                ..entry
            };
            let passed = check_entry(&Rules::all(), &place(), &other).is_ok();
            assert_eq!(passed, count == 1, "{index} of {count}");
        }
        assert_eq!(pool.path(count.into()), None);
    }
    let one = hashes(1);
    assert_eq!(Pool::build(&one).unwrap().root(), leaf(0, &one[0]));
}

#[test]
fn an_entry_is_assigned_once() {
    let all = Rules::all();
    let new = |index, assignee| Assigned {
        index,
        assignee: [assignee; 32],
    };
    let ask = |rules: &Rules, earlier: &[Assigned]| {
        Assignment::message_once(rules, &[1; 32], new(4, 7), earlier)
    };
    assert!(ask(&all, &[]).is_ok());
    assert!(ask(&all, &[new(4, 7), new(5, 8)]).is_ok());
    let refused = ask(&all, &[new(5, 8), new(4, 8)]).unwrap_err();
    assert_eq!(refused.rule, rules::AIT_ASSIGN_ONCE);
    assert!(refused.is_contextual());
    let off = Rules::all().without(rules::AIT_ASSIGN_ONCE).unwrap();
    assert_eq!(ask(&off, &[new(4, 8)]), ask(&all, &[]));
}

#[test]
fn two_assignments_of_one_entry_convict_the_lsp() {
    let judge = |rules: &Rules, lsp: u8, a: (Hash, &[u8]), b: (Hash, &[u8])| {
        let other = |(assignee, assignment)| Other {
            assignee,
            assignment,
        };
        fraud(rules, &id(lsp), [other(a), other(b)])
    };
    let all = Rules::all();
    let (x, y, root) = ([7; 32], [8; 32], [1; 32]);
    let (first, second) = (assign(&root, 4, &x), assign(&root, 4, &y));
    let convicted = judge(&all, LSP, (x, &first), (y, &second)).unwrap();
    assert!(convicted.proven);
    assert_eq!(convicted.entry, Some((root, 4)));
    let innocent = |rule, lsp, a, b| {
        let judged = judge(&all, lsp, a, b).unwrap();
        assert!(!judged.proven && judged.entry.is_none(), "{rule}");
        let off = Rules::all().without(rule).unwrap();
        assert!(judge(&off, lsp, a, b).unwrap().proven, "{rule}");
    };
    innocent(rules::AIT_FRAUD_SIGNATURES, 9, (x, &first), (y, &second));
    innocent(rules::AIT_FRAUD_SIGNATURES, LSP, (x, &first), (y, &first));
    innocent(rules::AIT_FRAUD_SIGNATURES, LSP, (y, &first), (x, &first));
    let elsewhere = assign(&root, 5, &y);
    innocent(
        rules::AIT_FRAUD_SAME_ENTRY,
        LSP,
        (x, &first),
        (y, &elsewhere),
    );
    let elsewhere = assign(&[2; 32], 4, &y);
    innocent(
        rules::AIT_FRAUD_SAME_ENTRY,
        LSP,
        (x, &first),
        (y, &elsewhere),
    );
    innocent(rules::AIT_FRAUD_DIFFERS, LSP, (x, &first), (x, &first));
    let refused = judge(&all, LSP, (x, &[]), (y, &second)).unwrap_err();
    assert_eq!(refused.rule, rules::AIT_ASSIGNMENT_LENGTH);
}

#[test]
fn two_different_statements_convict_the_recipient() {
    let all = Rules::all();
    let case = Case::new(3, TUNNEL);
    let opening = open(&request(3, 1));
    let commitment = &opening.commitment;
    let sign = |stated: &Statement, aux: u8| {
        stated
            .sign(commitment, &secret(RECIPIENT), Some(&[aux; 32]))
            .encode()
    };
    let stated = statement(&case);
    let first = sign(&stated, 0);
    let judge = |rules: &Rules, b: &[u8]| {
        contradiction(rules, &id(RECIPIENT), commitment, [&first, b]).unwrap()
    };
    type Change = fn(&mut Statement);
    let changes: [(&str, Change); 5] = [
        ("set_id", |s| s.set_id[0] ^= 1),
        ("root_hash", |s| s.root_hash[0] ^= 1),
        ("set_digest", |s| s.set_digest[0] ^= 1),
        ("received_msat", |s| s.received_msat += 1),
        ("settled_time", |s| s.settled_time += 1),
    ];
    for (name, change) in changes {
        let mut other = stated;
        change(&mut other);
        let convicted = judge(&all, &sign(&other, 0));
        assert!(convicted.proven);
        assert_eq!(convicted.differs, [name]);
        // The same statement that nobody signed.
        let mut forged = Receipt::decode(&all, &first).unwrap();
        forged.statement = other;
        assert!(!judge(&all, &forged.encode()).proven);
        let off = Rules::all()
            .without(rules::AIT_CONTRADICTION_SIGNATURES)
            .unwrap();
        assert!(judge(&off, &forged.encode()).proven);
    }
    // Two signatures of one statement.
    let again = sign(&stated, 3);
    assert_ne!(first, again);
    assert!(!judge(&all, &again).proven);
    let off = Rules::all()
        .without(rules::AIT_CONTRADICTION_DIFFERS)
        .unwrap();
    assert!(judge(&off, &again).proven);
}

#[test]
fn a_request_is_written_by_its_own_rules() {
    let all = Rules::all();
    let right = request(3, 1);
    let bytes = encode_request(&all, &right).unwrap();
    assert_eq!(decode_request(&all, &*bytes), Ok(right.clone()));
    let refused = |change: fn(&mut Request)| {
        let mut request = right.clone();
        change(&mut request);
        encode_request(&all, &request).unwrap_err().rule
    };
    assert_eq!(refused(|r| r.version = 1), rules::AIT_PAYER_VERSION);
    assert_eq!(refused(|r| r.flags = 4), rules::AIT_PAYER_FLAGS);
    assert_eq!(
        refused(|r| r.amount_msat = 0),
        rules::AIT_PAYER_AMOUNT_POSITIVE
    );
    assert_eq!(refused(|r| r.payer_key = [0xff; 32]), rules::AIT_PAYER_KEY);
    let opening = open(&right);
    let message = claim_message(&opening.commitment, &[9; 32]);
    let sign = |key: u8| sign_claim(&all, &secret(key), Some(&right.payer_key), &message, None);
    assert!(sign(PAYER).is_ok());
    assert_eq!(sign(9).unwrap_err().rule, rules::AIT_CLAIM_SIGN);
}

#[test]
fn a_retry_has_the_same_root_and_other_hashes() {
    let all = Rules::all();
    let opening = open(&request(3, 1));
    let cut = |first| shards(&all, &opening.root, &[1, 2, 3], &[[1; 32], [2; 32]], first).unwrap();
    let (first, again) = (cut(0), cut(3));
    for shard in &again {
        assert!(
            first
                .iter()
                .all(|old| old.child.payment_hash != shard.child.payment_hash)
        );
    }
    let root = again.iter().fold(Zeroizing::new([0; 32]), |root, shard| {
        amp::split(&root, &shard.share)
    });
    assert_eq!(root, opening.root);
    let wrapped = cut(u32::MAX);
    assert_eq!(
        wrapped.iter().map(|s| s.index).collect::<Vec<_>>(),
        [u32::MAX, 0, 1]
    );
}

#[test]
fn debug_output_keeps_secrets() {
    let opening = open(&request(3, 1));
    let case = Case::new(3, TUNNEL);
    let shown = format!(
        "{opening:?} {:?} {:?} {:?}",
        case.parts,
        claim_message(&opening.commitment, &[9; 32]),
        shards(&Rules::all(), &opening.root, &[1], &[], 0)
    );
    for secret in [&opening.commitment, &opening.root, &opening.set_id] {
        assert!(!shown.contains(&format!("{:?}", **secret)));
    }
}

fn mutant() -> impl Strategy<Value = Rules> {
    (0..=rules::ALL.len(), any::<bool>()).prop_map(|(which, lax)| {
        let Some(rule) = rules::ALL.get(which) else {
            return Rules::all();
        };
        let shift = if lax { Shift::Lax } else { Shift::Strict };
        match Rules::all().shift(rule.id, shift) {
            Ok(rules) if lax => rules,
            _ => Rules::all().without(rule.id).unwrap(),
        }
    })
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in prop::collection::vec(any::<u8>(), 0..190), rules in mutant()) {
        let _ = decode_request(&rules, &bytes);
        if let Ok(header) = Header::decode(&rules, &bytes) && bytes.len() == HEADER_LENGTH {
            prop_assert_eq!(&header.encode()[..], &bytes[..]);
        }
        if let Ok(receipt) = Receipt::decode(&rules, &bytes) && bytes.len() == RECEIPT_LENGTH {
            prop_assert_eq!(&receipt.encode()[..], &bytes[..]);
        }
        if let Ok(assignment) = Assignment::decode(&rules, &bytes) && bytes.len() == ASSIGNMENT_LENGTH {
            prop_assert_eq!(&assignment.encode()[..], &bytes[..]);
        }
    }

    #[test]
    fn records_come_back(
        chain_hash: Hash, payment_addr: Hash, expiry: u64, count: u32, root: Hash, index: u32,
        received_msat: u64, settled_time: u64, half: Hash,
    ) {
        let all = Rules::all();
        let header = Header {
            version: 0, place: Place { chain_hash, payment_addr, ..place() }, lsp_id: id(LSP), expiry, count, root,
        };
        prop_assert_eq!(Header::decode(&all, &header.encode()), Ok(header));
        let mut signature = [0; 64];
        signature[32..].copy_from_slice(&half);
        let assignment = Assignment { version: 0, root, index, signature };
        prop_assert_eq!(Assignment::decode(&all, &assignment.encode()), Ok(assignment));
        let statement = Statement {
            set_id: chain_hash, root_hash: root, set_digest: payment_addr, received_msat, settled_time,
        };
        let receipt = Receipt { version: 0, statement, signature };
        prop_assert_eq!(Receipt::decode(&all, &receipt.encode()), Ok(receipt));
    }

    #[test]
    fn no_recipient_panics(
        request in prop::collection::vec(any::<u8>(), 0..120), right: bool, amounts: [u64; 3],
        assignment in prop::option::of(prop::collection::vec(any::<u8>(), 0..110)),
        header in prop::collection::vec(any::<u8>(), 0..180), now: u64, total_msat: u64, rules in mutant(),
    ) {
        let case = Case::new(3, TUNNEL).with(|c| {
            (c.now, c.total_msat) = (now, total_msat);
            c.parts[0].htlc.amount_msat = amounts[0];
            c.parts[1].htlc.amount_msat = amounts[1];
            let tunnel = c.tunnel.as_mut().unwrap();
            tunnel.htlcs[0].amount_msat = amounts[2];
            if !right {
                c.parts[0].request = Some(request);
                tunnel.assignment = assignment;
                c.header = header;
            }
        });
        let _ = case.accept(&rules);
        let settled = case.settle(&rules);
        if total_msat != AMOUNT - TUNNEL && rules == Rules::all() {
            prop_assert!(settled.is_err());
        }
    }

    #[test]
    fn no_single_changed_bit_passes_as_it_was(part in 0..8, at: prop::sample::Index, bit in 0..8) {
        let mut bundle = Bundle::new(3, true, true, true);
        prop_assert!(bundle.verify(&Rules::all()).is_ok());
        let changed = match part {
            0 => &mut bundle.place.chain_hash[..],
            1 => &mut bundle.place.recipient_id[..],
            2 => &mut bundle.place.payment_addr[..],
            3 => &mut bundle.request,
            4 => bundle.receipt.as_mut().unwrap(),
            5 => &mut bundle.header,
            6 => bundle.assignment.as_mut().unwrap(),
            _ => bundle.claim.as_mut().unwrap(),
        };
        let at = at.index(changed.len());
        changed[at] ^= 1_u8 << bit;
        prop_assert!(bundle.verify(&Rules::all()).is_err());
    }

    #[test]
    fn no_verifier_panics(
        request in prop::collection::vec(any::<u8>(), 0..120), receipt in prop::collection::vec(any::<u8>(), 0..180),
        header in prop::collection::vec(any::<u8>(), 0..180), assignment in prop::collection::vec(any::<u8>(), 0..110),
        index: u32, which in 0..16_u8, rules in mutant(),
    ) {
        let bundle = Bundle::new(3, true, true, true).with(|b| {
            if which & 1 != 0 { b.request = request; }
            if which & 2 != 0 { b.receipt = Some(receipt); }
            if which & 4 != 0 { b.header = header; }
            if which & 8 != 0 { b.assignment = Some(assignment.clone()); }
            b.index = index;
            b.others = vec![([1; 32], assignment)];
        });
        let _ = bundle.verify(&rules);
    }

    #[test]
    fn the_two_gains_add_up_to_the_amount(amount: u64, ppm in 0..=PPM) {
        let (tunnel, amp) = split(amount, ppm);
        prop_assert_eq!(u128::from(tunnel) + u128::from(amp), u128::from(amount));
        prop_assert_eq!(u128::from(tunnel), u128::from(amount) * u128::from(ppm) / 1_000_000);
        prop_assert_eq!(split(amount, 0), (0, amount));
        prop_assert_eq!(split(amount, PPM), (amount, 0));
    }

    #[test]
    fn the_order_of_htlcs_does_not_matter(mut amounts in prop::collection::vec(any::<(u8, u64)>(), 1..6), by: prop::sample::Index) {
        let set = |list: &[(u8, u64)]| {
            let htlcs: Vec<Htlc> = list
                .iter()
                .map(|(hash, amount_msat)| Htlc { payment_hash: [*hash; 32], amount_msat: *amount_msat })
                .collect();
            set_digest(&htlcs)
        };
        let before = set(&amounts);
        let by = by.index(amounts.len());
        amounts.rotate_left(by);
        prop_assert_eq!(set(&amounts), before);
        amounts[0].1 ^= 1;
        prop_assert_ne!(set(&amounts), before);
    }
}
