use super::*;
use crate::keys::{SecretKey, public};
use crate::rules::Shift;
use proptest::prelude::*;

const CHAIN: Hash = [0x06; 32];
const TIME: u64 = 1_700_000_000;
const AMOUNT: u64 = 50_000;

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn recipient() -> SecretKey {
    SecretKey::from_slice(&[0x42; 32]).unwrap()
}

fn payer() -> SecretKey {
    SecretKey::from_slice(&[0x24; 32]).unwrap()
}

fn recipient_id() -> Point {
    public(&recipient()).serialize()
}

fn request(flags: u8) -> Request {
    let mut nonce = Zeroizing::new([0; 32]);
    for (byte, value) in nonce.iter_mut().zip(0..) {
        *byte = value;
    }
    Request {
        version: 0,
        flags,
        nonce,
        payment_time: TIME,
        amount_msat: AMOUNT,
        payer_key: public(&payer()).x_only_public_key().0.serialize(),
        terms_hash: [0; 32],
    }
}

fn opening(request: &Request) -> Opening {
    Opening::derive(&Rules::all(), &CHAIN, &recipient_id(), request).unwrap()
}

fn statement(opening: &Opening, received_msat: u64) -> Statement {
    Statement {
        payment_hash: opening.payment_hash,
        received_msat,
        settled_time: TIME + 5,
    }
}

fn receipt(algorithm: u8, request: &Request, received_msat: u64) -> Receipt {
    let opening = opening(request);
    statement(&opening, received_msat)
        .sign(
            &Rules::all(),
            algorithm,
            &opening.commitment,
            &recipient(),
            None,
        )
        .unwrap()
        .0
}

/// Everything that a verifier is given, owned.
#[derive(Clone, Debug)]
struct Bundle {
    chain_hash: Hash,
    recipient_id: Point,
    request: Vec<u8>,
    receipt: Option<Vec<u8>>,
    challenge: Option<[u8; 32]>,
    claim: Option<Vec<u8>>,
}

impl Bundle {
    fn new(flags: u8, algorithm: Option<u8>, claimed: bool) -> Self {
        let request = request(flags);
        let challenge = [9; 32];
        let claim = sign_claim(
            &Rules::all(),
            &payer(),
            Some(&request.payer_key),
            &opening(&request).commitment,
            &challenge,
            None,
        );
        Self {
            chain_hash: CHAIN,
            recipient_id: recipient_id(),
            request: request.encode_unchecked().to_vec(),
            receipt: algorithm.map(|a| receipt(a, &request, AMOUNT).encode()),
            challenge: claimed.then_some(challenge),
            claim: claimed.then(|| claim.unwrap().0.to_vec()),
        }
    }

    fn verify(&self, rules: &Rules) -> Result<Verified, Violation> {
        let proof = Proof {
            chain_hash: &self.chain_hash,
            recipient_id: &self.recipient_id,
            request: &self.request,
            receipt: self.receipt.as_deref(),
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
        assert!(self.verify(&off).is_ok(), "{rule} is not alone");
    }
}

/// A payment as the recipient sees it, owned.
#[derive(Clone, Debug)]
struct Arrived {
    chain_hash: Hash,
    recipient_id: Point,
    request: Vec<u8>,
    preimage: Hash,
    payment_hash: Hash,
    received_msat: u64,
    now: u64,
    seen: Vec<Hash>,
    seen_commitments: Vec<Hash>,
}

impl Arrived {
    fn new(flags: u8) -> Self {
        let request = request(flags);
        let opening = opening(&request);
        Self {
            chain_hash: CHAIN,
            recipient_id: recipient_id(),
            request: request.encode_unchecked().to_vec(),
            preimage: *opening.preimage,
            payment_hash: opening.payment_hash,
            received_msat: AMOUNT,
            now: TIME,
            seen: vec![[1; 32]],
            seen_commitments: vec![[2; 32]],
        }
    }

    fn with(mut self, change: impl FnOnce(&mut Self)) -> Self {
        change(&mut self);
        self
    }

    fn accept(&self, rules: &Rules) -> Result<Decision, Violation> {
        let payment = Payment {
            chain_hash: &self.chain_hash,
            recipient_id: &self.recipient_id,
            request: &self.request,
            preimage: &self.preimage,
            payment_hash: &self.payment_hash,
            received_msat: self.received_msat,
            now: self.now,
        };
        let seen = Seen {
            payment_hashes: &self.seen,
            commitments: &self.seen_commitments,
        };
        accept(rules, &payment, Window::default(), seen)
    }

    fn due(&self) -> bool {
        matches!(self.accept(&Rules::all()), Ok(Decision::Due(_)))
    }

    fn isolates(&self, rule: &'static str) {
        let refused = self.accept(&Rules::all()).unwrap_err();
        assert_eq!(refused.rule, rule, "{refused}");
        let off = Rules::all().without(rule).unwrap();
        assert!(
            matches!(self.accept(&off), Ok(Decision::Due(_))),
            "{rule} is not alone"
        );
    }
}

/// Computed apart from this code, with hashlib and arithmetic of its own, from the draft's text.
#[test]
fn derivation_and_digests_agree_with_an_independent_computation() {
    let chain_hash: Hash = padded(&[
        0x06, 0x22, 0x6e, 0x46, 0x11, 0x1a, 0x0b, 0x59, 0xca, 0xaf, 0x12, 0x60, 0x43, 0xeb, 0x5b,
        0xbf, 0x28, 0xc3, 0x4f, 0x3a, 0x5e, 0x33, 0x2a, 0x1f, 0xc7, 0xb2, 0xb7, 0x3c, 0xf1, 0x88,
        0x91, 0x0f,
    ]);
    let all = Rules::all();
    let opening = Opening::derive(&all, &chain_hash, &recipient_id(), &request(3)).unwrap();
    assert_eq!(
        hex(&*opening.commitment),
        "3809af9b5ed4d7040b15fbbdbe867d07d9fef9edadfa7caba0b51667e357323c"
    );
    assert_eq!(
        hex(&*opening.preimage),
        "cf12c4b6e95c8ef0baf21ae37bec2042eb671fe0c8a6e334cd8d2b11bde80c5e"
    );
    assert_eq!(
        hex(&opening.payment_hash),
        "082bb6aabbff721019f11fe7d0c6dcdbefe924487b48ceb006b748de7e750720"
    );
    let stated = statement(&opening, AMOUNT);
    let digest = |algorithm| {
        let message = stated
            .message(&all, algorithm, &opening.commitment)
            .unwrap();
        hex(&message.digest)
    };
    assert_eq!(
        digest(0),
        "cd96e4541c8ddee7fea928c6fe5de7b1384c3f51c770aa7b152330bc0ec30de9"
    );
    assert_eq!(
        digest(1),
        "53da73d4beb0f9619d08a6ffaebdfccfcacb6f2c35bd60969fdf1508fa137a9c"
    );
    assert_eq!(
        hex(&claim_digest(&opening.commitment, &[9; 32])),
        "ef81230738be3ac6479984962f6a931c7fdf85da27b383441edaa5c0e2c557e8"
    );
    let signed = stated.sign(&all, 1, &opening.commitment, &recipient(), None);
    let (receipt, _) = signed.unwrap();
    assert_eq!(
        zbase32_encode(&receipt.signature),
        "d7mjgxmxffd9jrfs88jmrdicnx6i5sym4qduzx5tut8f9t7t71fga6xw3tso8g66at3yqx746tqounayisbz7t4xbf9reh7bmjzbzkxq"
    );
}

#[test]
fn a_request_has_one_form() {
    let all = Rules::all();
    let bytes = request(3).encode(&all).unwrap();
    assert_eq!(Request::decode(&all, &*bytes).unwrap(), request(3));
    let refused = |bytes: &[u8]| Request::decode(&all, bytes).unwrap_err().rule;
    assert_eq!(refused(&[]), rules::KSP_REQUEST_LENGTH);
    assert_eq!(refused(&bytes[..113]), rules::KSP_REQUEST_LENGTH);
    assert_eq!(
        refused(&[&bytes[..], &[0]].concat()),
        rules::KSP_REQUEST_LENGTH
    );
    let mut other = bytes.clone();
    other[0] = 1;
    assert_eq!(refused(&*other), rules::KSP_REQUEST_VERSION);
    for bit in 2..8 {
        let mut other = bytes.clone();
        other[1] |= 1 << bit;
        assert_eq!(refused(&*other), rules::KSP_REQUEST_FLAGS, "bit {bit}");
    }
}

#[test]
fn a_payer_writes_no_request_that_is_against_its_rules() {
    let all = Rules::all();
    let refused = |change: fn(&mut Request)| {
        let mut request = request(3);
        change(&mut request);
        let rule = request.encode(&all).unwrap_err().rule;
        let off = Rules::all().without(rule).unwrap();
        assert!(request.encode(&off).is_ok(), "{rule} is not alone");
        rule
    };
    assert_eq!(refused(|r| r.version = 1), rules::KSP_PAYER_VERSION);
    assert_eq!(refused(|r| r.flags = 4), rules::KSP_PAYER_FLAGS);
    assert_eq!(
        refused(|r| r.amount_msat = 0),
        rules::KSP_PAYER_AMOUNT_POSITIVE
    );
    assert_eq!(refused(|r| r.payer_key = [0; 32]), rules::KSP_PAYER_KEY);
    let mut least = request(0);
    least.amount_msat = 1;
    assert!(least.encode(&all).is_ok());
}

#[test]
fn secrets_stay_out_of_debug_output() {
    let shown = format!("{:?} {:?}", request(3), opening(&request(3)));
    assert!(shown.contains("amount_msat: 50000"), "{shown}");
    assert!(
        !shown.contains("nonce") && !shown.contains("preimage"),
        "{shown}"
    );
}

#[test]
fn a_recipient_signs_at_every_boundary() {
    for flags in [1, 3] {
        let base = Arrived::new(flags);
        for (received, now) in [
            (AMOUNT, TIME),
            (2 * AMOUNT, TIME),
            (AMOUNT, TIME + 604_800),
            (AMOUNT, TIME - 7_200),
        ] {
            let arrived = base.clone().with(|a| {
                (a.received_msat, a.now) = (received, now);
            });
            assert!(arrived.due(), "{received} msat at {now}, flags {flags}");
        }
    }
    for flags in [0, 2] {
        let decision = Arrived::new(flags).accept(&Rules::all()).unwrap();
        assert!(matches!(decision, Decision::NotWanted(_)), "flags {flags}");
        let off = Rules::all()
            .without(rules::KSP_RECIPIENT_RECEIPT_WANTED)
            .unwrap();
        let decision = Arrived::new(flags).accept(&off).unwrap();
        assert!(matches!(decision, Decision::Due(_)), "flags {flags}");
    }
}

#[test]
fn a_recipient_refuses_by_one_rule_at_a_time() {
    let bound = Arrived::new(3);
    let other: Hash = [7; 32];
    let hash = sha256(&[&other]);
    let cases: [(Arrived, &'static str); 12] = [
        (
            bound.clone().with(|a| a.request.truncate(113)),
            rules::KSP_REQUEST_LENGTH,
        ),
        (
            bound.clone().with(|a| a.payment_hash[0] ^= 1),
            rules::KSP_RECIPIENT_PREIMAGE_HASH,
        ),
        (
            bound
                .clone()
                .with(|a| (a.preimage, a.payment_hash) = (other, hash)),
            rules::KSP_RECIPIENT_PREIMAGE_BOUND,
        ),
        (
            bound.clone().with(|a| a.chain_hash[0] ^= 1),
            rules::KSP_RECIPIENT_PREIMAGE_BOUND,
        ),
        (
            bound
                .clone()
                .with(|a| a.recipient_id = public(&payer()).serialize()),
            rules::KSP_RECIPIENT_PREIMAGE_BOUND,
        ),
        (
            bound.clone().with(|a| a.received_msat = AMOUNT - 1),
            rules::KSP_RECIPIENT_AMOUNT_LEAST,
        ),
        (
            bound.clone().with(|a| a.received_msat = 2 * AMOUNT + 1),
            rules::KSP_RECIPIENT_AMOUNT_MOST,
        ),
        (
            bound.clone().with(|a| a.now = TIME + 604_801),
            rules::KSP_RECIPIENT_TIME_PAST,
        ),
        (
            bound.clone().with(|a| a.now = TIME - 7_201),
            rules::KSP_RECIPIENT_TIME_FUTURE,
        ),
        (
            bound.clone().with(|a| a.seen.push(a.payment_hash)),
            rules::KSP_RECIPIENT_SECOND_PAYMENT,
        ),
        (
            bound
                .clone()
                .with(|a| a.seen_commitments.push(*opening(&request(3)).commitment)),
            rules::KSP_RECIPIENT_ONE_RECEIPT,
        ),
        // The same unbound request with another hash.
        (
            Arrived::new(1).with(|a| {
                (a.preimage, a.payment_hash) = (other, hash);
                a.seen_commitments.push(*opening(&request(1)).commitment);
            }),
            rules::KSP_RECIPIENT_ONE_RECEIPT,
        ),
    ];
    for (arrived, rule) in cases {
        arrived.isolates(rule);
    }
    // An unbound preimage may be any that opens the hash.
    let unbound = Arrived::new(1).with(|a| (a.preimage, a.payment_hash) = (other, hash));
    assert!(unbound.due());
}

#[test]
fn an_amount_whose_double_does_not_fit_has_no_upper_bound() {
    let mut request = request(1);
    request.amount_msat = u64::MAX / 2 + 1;
    let arrived = Arrived::new(1).with(|a| {
        a.request = request.encode_unchecked().to_vec();
        a.received_msat = u64::MAX;
    });
    assert!(arrived.due());
}

#[test]
fn refusals_by_time_amount_and_state_are_contextual_and_those_by_bytes_are_not() {
    let kind = |arrived: Arrived| arrived.accept(&Rules::all()).unwrap_err().is_contextual();
    let bound = Arrived::new(3);
    assert!(kind(bound.clone().with(|a| a.now = 0)));
    assert!(kind(bound.clone().with(|a| a.received_msat = 0)));
    assert!(kind(bound.clone().with(|a| a.seen.push(a.payment_hash))));
    assert!(!kind(bound.clone().with(|a| a.preimage[0] ^= 1)));
    assert!(!kind(bound.with(|a| a.request.clear())));
}

#[test]
fn boundaries_move_by_one() {
    let lax = |rule| Rules::all().shift(rule, Shift::Lax).unwrap();
    let strict = |rule| Rules::all().shift(rule, Shift::Strict).unwrap();
    let base = Arrived::new(3);
    for (rule, inside, outside) in [
        (
            rules::KSP_RECIPIENT_AMOUNT_MOST,
            base.clone().with(|a| a.received_msat = 2 * AMOUNT),
            base.clone().with(|a| a.received_msat = 2 * AMOUNT + 1),
        ),
        (
            rules::KSP_RECIPIENT_AMOUNT_LEAST,
            base.clone(),
            base.clone().with(|a| a.received_msat = AMOUNT - 1),
        ),
        (
            rules::KSP_RECIPIENT_TIME_PAST,
            base.clone().with(|a| a.now = TIME + 604_800),
            base.clone().with(|a| a.now = TIME + 604_801),
        ),
        (
            rules::KSP_RECIPIENT_TIME_FUTURE,
            base.clone().with(|a| a.now = TIME - 7_200),
            base.clone().with(|a| a.now = TIME - 7_201),
        ),
    ] {
        assert!(outside.accept(&lax(rule)).is_ok(), "{rule}");
        let refused = inside.accept(&strict(rule)).unwrap_err();
        assert_eq!(refused.rule, rule);
    }
}

#[test]
fn proofs_have_the_tier_and_the_statement_of_what_was_given() {
    let paid = "That the recipient was paid or knows of the payment";
    for (flags, algorithm, claimed, tier) in [
        (3, None, false, 0),
        (3, None, true, 0),
        (2, Some(0), false, 1),
        (3, Some(1), false, 1),
        (0, Some(0), true, 2),
        (1, Some(1), true, 2),
    ] {
        let verified = Bundle::new(flags, algorithm, claimed)
            .verify(&Rules::all())
            .unwrap();
        let text = verified.statement();
        assert_eq!(verified.tier, tier, "{text}");
        assert_eq!(text.contains(paid), tier == 0, "{text}");
        assert_eq!(
            text.contains("The payment hash is that of a preimage"),
            flags & 2 != 0
        );
        assert_eq!(
            text.contains("controls the payer key"),
            claimed,
            "a claim shows in the statement"
        );
        assert_eq!(text.contains("anybody can name a key"), !claimed);
        for always in ["That value moved", "word of the payer", "Who stands behind"] {
            let (proven, not_proven) = text.split_once(" Not proven: ").unwrap();
            assert!(not_proven.contains(always) && !proven.contains(always));
        }
    }
}

#[test]
fn a_verifier_refuses_by_one_rule_at_a_time() {
    let full = |algorithm| Bundle::new(3, Some(algorithm), true);
    let with = |algorithm, change: &dyn Fn(&mut Bundle)| {
        let mut bundle = full(algorithm);
        change(&mut bundle);
        bundle
    };
    let receipt_byte =
        |at: usize, value: u8| move |b: &mut Bundle| b.receipt.as_mut().unwrap()[at] = value;
    with(0, &|b| b.request.push(0)).isolates(rules::KSP_REQUEST_LENGTH);
    with(0, &receipt_byte(0, 1)).isolates(rules::KSP_RECEIPT_VERSION);
    with(0, &receipt_byte(1, 2)).isolates(rules::KSP_RECEIPT_ALGORITHM);
    for algorithm in [0, 1] {
        with(algorithm, &|b| b.receipt.as_mut().unwrap().push(0))
            .isolates(rules::KSP_RECEIPT_LENGTH);
    }
    with(1, &|b| b.receipt.as_mut().unwrap()[50] -= 4).isolates(rules::KSP_RECEIPT_HEADER);
    with(1, &|b| {
        let signature = &mut b.receipt.as_mut().unwrap()[50..];
        let mut s = SecretKey::from_slice(&signature[33..]).unwrap();
        s = s.negate();
        signature[33..].copy_from_slice(&s.secret_bytes());
        signature[0] = 31 + ((signature[0] - 31) ^ 1);
    })
    .isolates(rules::KSP_RECEIPT_LOW_S);
    with(0, &|b| b.claim = None).isolates(rules::KSP_CHALLENGE_WITHOUT_CLAIM);
    with(0, &|b| b.challenge = None).isolates(rules::KSP_CLAIM_WITHOUT_CHALLENGE);
    with(0, &|b| b.claim.as_mut().unwrap()[0] ^= 1).isolates(rules::KSP_CLAIM);
    with(0, &|b| b.claim.as_mut().unwrap().truncate(63)).isolates(rules::KSP_CLAIM);
    Bundle::new(1, None, true).isolates(rules::KSP_NOTHING_PROVEN);
    with(0, &receipt_byte(60, 0)).isolates(rules::KSP_SIGNATURE_BIP340);
    with(1, &receipt_byte(60, 0)).isolates(rules::KSP_SIGNATURE_MESSAGE);
    // Signed by the recipient, and still against the request.
    let request = request(3);
    let little = receipt(0, &request, AMOUNT - 1).encode();
    with(0, &|b| b.receipt = Some(little.clone())).isolates(rules::KSP_AMOUNT);
    let opening = opening(&request);
    let elsewhere = Statement {
        payment_hash: [5; 32],
        ..statement(&opening, AMOUNT)
    };
    let elsewhere = elsewhere.sign(
        &Rules::all(),
        0,
        &opening.commitment,
        &recipient(),
        Some(&[3; 32]),
    );
    let elsewhere = elsewhere.unwrap().0.encode();
    with(0, &|b| b.receipt = Some(elsewhere.clone())).isolates(rules::KSP_PAYMENT_HASH);
}

#[test]
fn a_recipient_id_that_is_no_point_is_refused_everywhere() {
    let mut id = recipient_id();
    id[0] = 5;
    let off = Rules::all().without(rules::KSP_RECIPIENT_ID).unwrap();
    let derive = |rules: &Rules| Opening::derive(rules, &CHAIN, &id, &request(3));
    assert_eq!(
        derive(&Rules::all()).unwrap_err().rule,
        rules::KSP_RECIPIENT_ID
    );
    assert!(derive(&off).is_ok());
    let mut bundle = Bundle::new(3, None, false);
    bundle.recipient_id = id;
    bundle.isolates(rules::KSP_RECIPIENT_ID);
}

#[test]
fn a_reply_is_a_point() {
    let all = Rules::all();
    let id = recipient_id();
    assert_eq!(decode_reply(&all, &id).unwrap(), id);
    let refused = |bytes: &[u8]| decode_reply(&all, bytes).unwrap_err().rule;
    assert_eq!(refused(&id[..32]), rules::KSP_REPLY_LENGTH);
    assert_eq!(refused(&[&id[..], &[0]].concat()), rules::KSP_REPLY_LENGTH);
    assert_eq!(refused(&[5; 33]), rules::KSP_REPLY_POINT);
}

#[test]
fn a_receipt_is_put_together_from_a_node_s_signature() {
    let all = Rules::all();
    for algorithm in [0, 1] {
        let made = receipt(algorithm, &request(3), AMOUNT);
        assert_eq!(Receipt::decode(&all, &made.encode()).unwrap(), made);
        let again = Receipt::assemble(&all, algorithm, made.statement, &made.signature);
        assert_eq!(again.unwrap(), made);
        let short = &made.signature[1..];
        let refused = Receipt::assemble(&all, algorithm, made.statement, short).unwrap_err();
        assert_eq!(refused.rule, rules::KSP_RECEIPT_LENGTH);
    }
    let made = receipt(1, &request(3), AMOUNT);
    let mut other = made.signature.clone();
    other[0] = 27;
    let refused = Receipt::assemble(&all, 1, made.statement, &other).unwrap_err();
    assert_eq!(refused.rule, rules::KSP_WRITER_SIGNED_MESSAGE);
    let refused = Receipt::assemble(&all, 2, made.statement, &other).unwrap_err();
    assert_eq!(refused.rule, rules::KSP_WRITER_ALGORITHM);
    let opening = opening(&request(3));
    let refused = made
        .statement
        .sign(&all, 2, &opening.commitment, &recipient(), None);
    assert_eq!(refused.unwrap_err().rule, rules::KSP_WRITER_ALGORITHM);
}

#[test]
fn half_the_order_is_the_highest_low_s() {
    let all = Rules::all();
    let mut made = receipt(1, &request(3), AMOUNT);
    // (n - 1) / 2: two of it and one make the order, so its negative is the next number.
    let half = SecretKey::from_slice(&padded::<32>(&{
        let mut two = [0; 32];
        two[31] = 2;
        two
    }));
    // s such that 2 s = -1 mod n.
    let mut candidate = [0x7f; 32];
    candidate[1..16].fill(0xff);
    candidate[16..].copy_from_slice(&[
        0x5d, 0x57, 0x6e, 0x73, 0x57, 0xa4, 0x50, 0x1d, 0xdf, 0xe9, 0x2f, 0x46, 0x68, 0x1b, 0x20,
        0xa0,
    ]);
    let low = SecretKey::from_slice(&candidate).unwrap();
    let doubled = low
        .mul_tweak(
            &bitcoin::secp256k1::Scalar::from_be_bytes(half.unwrap().secret_bytes()).unwrap(),
        )
        .unwrap();
    assert_eq!(
        doubled.negate().secret_bytes(),
        padded::<32>(&[&[0; 31][..], &[1]].concat())
    );
    made.signature[33..].copy_from_slice(&low.secret_bytes());
    assert!(Receipt::decode(&all, &made.encode()).is_ok());
    made.signature[33..].copy_from_slice(&low.negate().secret_bytes());
    let refused = Receipt::decode(&all, &made.encode()).unwrap_err();
    assert_eq!(refused.rule, rules::KSP_RECEIPT_LOW_S);
}

#[test]
fn a_claim_is_signed_with_the_key_of_the_request_only() {
    let request = request(3);
    let opening = opening(&request);
    let sign = |rules: &Rules| {
        sign_claim(
            rules,
            &recipient(),
            Some(&request.payer_key),
            &opening.commitment,
            &[9; 32],
            None,
        )
    };
    assert_eq!(sign(&Rules::all()).unwrap_err().rule, rules::KSP_CLAIM_SIGN);
    let off = Rules::all().without(rules::KSP_CLAIM_SIGN).unwrap();
    let (claim, _) = sign(&off).unwrap();
    let mut bundle = Bundle::new(3, Some(0), true);
    bundle.claim = Some(claim.to_vec());
    bundle.isolates(rules::KSP_CLAIM);
}

#[test]
fn two_different_statements_convict_and_nothing_else_does() {
    let all = Rules::all();
    let request = request(3);
    let commitment = *opening(&request).commitment;
    let judge = |rules: &Rules, a: &Receipt, b: &Receipt| {
        let (a, b) = (a.encode(), b.encode());
        contradiction(rules, &recipient_id(), &commitment, [&a, &b]).unwrap()
    };
    let first = receipt(0, &request, AMOUNT);
    let more = receipt(1, &request, AMOUNT + 1);
    let convicted = judge(&all, &first, &more);
    assert!(convicted.proven);
    assert_eq!(convicted.differs, ["received_msat"]);
    // The same statement in the other algorithm.
    let same = judge(&all, &first, &receipt(1, &request, AMOUNT));
    assert!(!same.proven && same.differs.is_empty());
    let off = Rules::all()
        .without(rules::KSP_CONTRADICTION_DIFFERS)
        .unwrap();
    assert!(judge(&off, &first, &receipt(1, &request, AMOUNT)).proven);
    // A statement that somebody changed.
    let mut forged = first.clone();
    forged.statement.settled_time += 1;
    assert!(!judge(&all, &first, &forged).proven);
    assert!(!judge(&all, &forged, &first).proven);
    let off = Rules::all()
        .without(rules::KSP_CONTRADICTION_SIGNATURES)
        .unwrap();
    assert_eq!(judge(&off, &first, &forged).differs, ["settled_time"]);
    let malformed = contradiction(&all, &recipient_id(), &commitment, [&[], &first.encode()]);
    assert_eq!(malformed.unwrap_err().rule, rules::KSP_RECEIPT_LENGTH);
}

#[test]
fn zbase32_has_one_form() {
    // The alphabet in order, 20 bytes.
    let bytes: Vec<u8> = zbase32_decode("ybndrfg8ejkmcpqxot1uwisza345h769").unwrap();
    assert_eq!(bytes[..5], [0x00, 0x44, 0x32, 0x14, 0xc7]);
    assert_eq!(zbase32_encode(&[]), "");
    for bad in ["l", "y", "yn", "YY"] {
        assert_eq!(zbase32_decode(bad), None, "{bad}");
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

fn bytes(around: usize) -> impl Strategy<Value = Vec<u8>> {
    // Mostly zeros at first, so that version and algorithm are often known ones.
    (
        prop::collection::vec(0_u8..4, 2),
        prop::collection::vec(any::<u8>(), 0..around + 8),
    )
        .prop_map(|(head, rest)| [head, rest].concat())
}

proptest! {
    #[test]
    fn any_bytes_are_read_or_refused(bytes in bytes(120), rules in mutant()) {
        let _ = decode_reply(&rules, &bytes);
        if let Ok(request) = Request::decode(&rules, &bytes)
            && bytes.len() == REQUEST_LENGTH
        {
            let again = request.encode_unchecked();
            prop_assert_eq!(&again[..], &bytes[..]);
        }
        if let Ok(receipt) = Receipt::decode(&rules, &bytes) {
            let again = receipt.encode();
            prop_assert_eq!(Receipt::decode(&rules, &again).unwrap(), receipt);
        }
        let text = zbase32_encode(&bytes);
        prop_assert_eq!(zbase32_decode(&text), Some(bytes));
    }

    #[test]
    fn a_request_comes_back(
        nonce: [u8; 32], payment_time: u64, amount_msat: u64, terms_hash: [u8; 32], flags in 0_u8..4,
    ) {
        let request = Request {
            nonce: nonce.into(), payment_time, amount_msat, terms_hash, ..request(flags)
        };
        let read = Request::decode(&Rules::all(), &*request.encode_unchecked()).unwrap();
        prop_assert_eq!(read, request);
    }

    #[test]
    fn no_recipient_panics(
        request in bytes(112), preimage: [u8; 32], received_msat: u64, now: u64, right: bool,
        rules in mutant(),
    ) {
        let arrived = Arrived::new(3).with(|a| {
            (a.received_msat, a.now) = (received_msat, now);
            if !right {
                (a.request, a.preimage) = (request, preimage);
            }
        });
        let decided = arrived.accept(&rules);
        if received_msat < AMOUNT && right && rules == Rules::all() {
            prop_assert!(decided.is_err());
        }
    }

    #[test]
    fn no_verifier_panics(
        request in bytes(112), receipt in bytes(113), claim in prop::collection::vec(any::<u8>(), 0..70),
        id: [u8; 33], real_id: bool, rules in mutant(),
    ) {
        let bundle = Bundle {
            chain_hash: CHAIN,
            recipient_id: if real_id { recipient_id() } else { id },
            request, receipt: Some(receipt.clone()), challenge: Some([1; 32]), claim: Some(claim),
        };
        let _ = bundle.verify(&rules);
        let _ = contradiction(&rules, &bundle.recipient_id, &CHAIN, [&receipt, &receipt]);
    }

    #[test]
    fn no_single_changed_bit_passes(algorithm in 0_u8..2, part in 0..5, at: prop::sample::Index, bit in 0..8) {
        let mut bundle = Bundle::new(3, Some(algorithm), true);
        prop_assert_eq!(bundle.verify(&Rules::all()).unwrap().tier, 2);
        let changed = match part {
            0 => &mut bundle.chain_hash[..],
            1 => &mut bundle.recipient_id[..],
            2 => &mut bundle.request[..],
            3 => bundle.receipt.as_mut().unwrap(),
            _ => bundle.claim.as_mut().unwrap(),
        };
        let at = at.index(changed.len());
        changed[at] ^= 1_u8 << bit;
        prop_assert!(bundle.verify(&Rules::all()).is_err());
    }
}

/// The fuzz target: right inputs, damaged in every way that bytes can be, through every decoder and decision and
/// every mutant, for two seconds. The damage is drawn from a fixed seed, so a failure comes back.
#[test]
fn fuzz_damaged_inputs_never_panic_and_never_pass_as_another_proof() {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut draw = |below: usize| {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        (state % below.max(1) as u64) as usize
    };
    let originals: Vec<Bundle> = [(3, 0), (3, 1), (1, 0), (1, 1)]
        .map(|(flags, algorithm)| Bundle::new(flags, Some(algorithm), true))
        .to_vec();
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(2);
    let mut rounds = 0_u32;
    while rounds < 100 || std::time::Instant::now() < deadline {
        rounds += 1;
        let original = &originals[draw(originals.len())];
        let mut bundle = original.clone();
        for _ in 0..=draw(2) {
            let part = match draw(3) {
                0 => &mut bundle.request,
                1 => bundle.receipt.get_or_insert_default(),
                _ => bundle.claim.get_or_insert_default(),
            };
            let at = draw(part.len());
            match draw(5) {
                0 => part.truncate(at),
                1 => part.push(draw(256) as u8),
                2 if at < part.len() => part[at] ^= 1_u8 << draw(8),
                3 if at < part.len() => part[at] = [0, 1, 0x7f, 0xff][draw(4)],
                _ => part.rotate_left(at),
            }
        }
        let passed = bundle.verify(&Rules::all());
        if passed.is_ok() {
            assert_eq!(
                (&bundle.request, &bundle.receipt, &bundle.claim),
                (&original.request, &original.receipt, &original.claim),
            );
        }
        let rule = rules::ALL[draw(rules::ALL.len())];
        let mutant = Rules::all().without(rule.id).unwrap();
        let _ = bundle.verify(&mutant);
        let arrived = Arrived::new(3).with(|a| {
            a.request.clone_from(&bundle.request);
            a.received_msat = draw(usize::MAX) as u64;
        });
        let _ = arrived.accept(&mutant);
        let receipt = bundle.receipt.unwrap_or_default();
        let _ = contradiction(&mutant, &recipient_id(), &CHAIN, [&receipt, &receipt]);
    }
}
