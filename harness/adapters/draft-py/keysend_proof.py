"""Keysend proofs, version 0, written from the text of `specs/drafts/keysend-proof.md` alone.

It shares no code with the reference in Rust, so that where the two agree the text has said
enough, and where they do not, one of the three is wrong. Amounts are in millisatoshi, times in
seconds since 1970, everything that is hashed or signed is bytes.

Section names in comments are those of the draft.
"""

import hmac
import struct

from coincurve import PrivateKey, PublicKey

from common import (
    ORDER,
    Rules,
    is_point,
    is_x_only,
    schnorr_sign,
    schnorr_valid,
    sha256,
    tagged,
    x_only_of,
)

RECEIPT_WANTED, PREIMAGE_BOUND = 1, 2
# Recipient: the default window on `payment_time`, in seconds.
WINDOW_PAST, WINDOW_FUTURE = 604_800, 7_200

# Records: the layouts of the request, and of a receipt without its signature.
REQUEST = struct.Struct(">BB32sQQ32s32s")
RECEIPT = struct.Struct(">BB32sQQ")
SIGNATURE_LENGTH = {0: 64, 1: 65}

# Verifier: the sentences of the two tables.
OPENING = (
    "The payment hash is that of a preimage that commits to this chain, this recipient key and "
    "this request with its nonce, time, amount, payer key and terms."
)
STATED = (
    "The recipient key states that it received the amount in the receipt for this request and "
    "this payment hash."
)
DISTINCT = "The receipt belongs to this request alone."
CLAIMED = "Whoever answered the challenge controls the payer key in the request."
NOT_PAID = (
    "That the recipient was paid or knows of the payment: the payer alone can make this."
)
NOT_HASH = (
    "That the payment hash belongs to this request, other than by the word of the recipient."
)
NOT_VALUE = (
    "That value moved: payer and recipient together can make any receipt."
)
NOT_PAYMENT_TIME = (
    "That the payment was made at the time in the request, which is the word of the payer."
)
NOT_SETTLED_TIME = (
    "That the payment was settled at the time in the receipt, which is the word of the recipient."
)
NOT_FRAMING = "That the holder of the payer key took part: anybody can name a key."
NOT_FUNDS = (
    "That the funds came from whoever answered the challenge: another may have paid and named "
    "that key."
)
NOT_FEES = "What was paid in routing fees."
NOT_IDENTITY = "Who stands behind the keys."


refuse_if = Rules("keysend-proof").refuse_if


# Keys and hashes.


def recoverable_sign(secret_key, digest):
    """Header, r and s: 65 bytes, with the lower s."""
    raw = PrivateKey(secret_key).sign_recoverable(digest, hasher=None)
    return bytes([31 + raw[64]]) + raw[:64]


def recovered(signature, digest):
    """The compressed key under which this signature of 65 bytes is valid, or None."""
    try:
        raw = signature[1:] + bytes([signature[0] - 31])
        return PublicKey.from_signature_and_message(raw, digest, hasher=None).format()
    except Exception:  # The library raises bare `Exception` where no key can be recovered.
        return None


# Records.


class Request:
    """A well-formed request; `raw` are its 114 bytes, which is what is hashed."""

    def __init__(self, raw):
        rule = "record/request-"
        refuse_if(
            len(raw) != REQUEST.size,
            rule + "length",
            "the request has %d bytes instead of %d" % (len(raw), REQUEST.size),
        )
        self.raw = raw
        (
            self.version,
            self.flags,
            self.nonce,
            self.payment_time,
            self.amount_msat,
            self.payer_key,
            self.terms_hash,
        ) = REQUEST.unpack(raw)
        refuse_if(self.version != 0, rule + "version", "request of version %d" % self.version)
        unknown = self.flags & ~(RECEIPT_WANTED | PREIMAGE_BOUND)
        refuse_if(unknown, rule + "flags", "unknown flags %#04x" % unknown)

    @property
    def receipt_wanted(self):
        return bool(self.flags & RECEIPT_WANTED)

    @property
    def preimage_bound(self):
        return bool(self.flags & PREIMAGE_BOUND)


def encode_request(
    version, flags, nonce, payment_time, amount_msat, payer_key, terms_hash, checked=True
):
    """The 114 bytes; unless `checked` is off, by the requirements for the payer."""
    if checked:
        refuse_if(version != 0, "payer/version", "a payer writes version 0")
        refuse_if(flags & ~3, "payer/flags", "a payer sets no flag beside bits 0 and 1")
        refuse_if(amount_msat == 0, "payer/amount-positive", "a payer asks for more than 0 msat")
        refuse_if(
            not is_x_only(payer_key), "payer/key", "the payer key is no x coordinate of the curve"
        )
    return REQUEST.pack(
        version, flags, nonce, payment_time, amount_msat, payer_key, terms_hash
    )


class Receipt:
    """A well-formed receipt; that its signature is valid is another matter."""

    def __init__(self, raw):
        rule = "record/receipt-"
        # Version and algorithm come first: they decide which length is right.
        refuse_if(raw[:1] not in (b"", b"\0"), rule + "version", "receipt of another version")
        refuse_if(
            len(raw) > 1 and raw[1] not in SIGNATURE_LENGTH,
            rule + "algorithm",
            "receipt of an unknown algorithm",
        )
        wanted = RECEIPT.size + (SIGNATURE_LENGTH[raw[1]] if len(raw) > 1 else 64)
        refuse_if(
            len(raw) != wanted,
            rule + "length",
            "the receipt has %d bytes instead of %d" % (len(raw), wanted),
        )
        (
            self.version,
            self.algorithm,
            self.payment_hash,
            self.received_msat,
            self.settled_time,
        ) = RECEIPT.unpack_from(raw)
        self.signature = raw[RECEIPT.size :]
        if self.algorithm == 1:
            refuse_if(
                self.signature[0] not in (31, 32, 33, 34),
                rule + "header",
                "header byte %d of the signature" % self.signature[0],
            )
            refuse_if(is_high_s(self.signature), rule + "low-s", "s is above half the order")

    def states(self):
        """What it says, apart from how it is signed."""
        return {
            "payment_hash": self.payment_hash,
            "received_msat": self.received_msat,
            "settled_time": self.settled_time,
        }


def is_high_s(signature):
    return int.from_bytes(signature[33:], "big") > ORDER // 2


def decode_reply(raw):
    refuse_if(len(raw) != 33, "record/reply-length", "a reply has 33 bytes, not %d" % len(raw))
    refuse_if(not is_point(raw), "record/reply-point", "the reply is no point of the curve")
    return raw


# Derivation.


def commitment(chain_hash, recipient_id, request):
    check_recipient(recipient_id)
    return tagged("ln-ksp/0/commit", chain_hash + recipient_id + request.raw)


def check_recipient(recipient_id):
    refuse_if(
        not is_point(recipient_id),
        "derivation/recipient-id",
        "the recipient's id is no compressed point of the curve",
    )


def preimage(commitment):
    return tagged("ln-ksp/0/preimage", commitment)


def receipt_message(commitment, payment_hash, received_msat, settled_time):
    """The 80 bytes that a receipt signs."""
    return commitment + payment_hash + struct.pack(">QQ", received_msat, settled_time)


def receipt_text(message):
    """What a node is asked to sign with algorithm 1: ASCII."""
    return b"ln-ksp/0/receipt:" + message.hex().encode("ascii")


def receipt_digest(algorithm, message):
    if algorithm == 0:
        return tagged("ln-ksp/0/receipt", message)
    return sha256(sha256(b"Lightning Signed Message:" + receipt_text(message)))


def claim_digest(commitment, challenge):
    return tagged("ln-ksp/0/claim", commitment + challenge)


# Receipt.


def check_algorithm(algorithm):
    refuse_if(algorithm not in (0, 1), "receipt/algorithm", "a receipt has algorithm 0 or 1")


def sign_receipt(
    secret_key, algorithm, commitment, payment_hash, received_msat, settled_time, aux
):
    """The receipt and the digest that it signs. `aux`: 32 bytes, for algorithm 0."""
    check_algorithm(algorithm)
    message = receipt_message(commitment, payment_hash, received_msat, settled_time)
    digest = receipt_digest(algorithm, message)
    if algorithm == 0:
        signature = schnorr_sign(secret_key, digest, aux)
    else:
        signature = recoverable_sign(secret_key, digest)
    head = RECEIPT.pack(0, algorithm, payment_hash, received_msat, settled_time)
    return head + signature, digest


def assemble_receipt(algorithm, payment_hash, received_msat, settled_time, signature):
    """A receipt with a signature that a node made."""
    check_algorithm(algorithm)
    # What a reader would refuse is not written.
    refuse_if(
        len(signature) != SIGNATURE_LENGTH[algorithm],
        "record/receipt-length",
        "a signature of algorithm %d has %d bytes, not %d"
        % (algorithm, SIGNATURE_LENGTH[algorithm], len(signature)),
    )
    if algorithm == 1:
        refuse_if(
            signature[0] not in (31, 32, 33, 34) or is_high_s(signature),
            "receipt/signed-message-form",
            "the header byte is not 31 to 34, or s is the higher of the two",
        )
    return RECEIPT.pack(0, algorithm, payment_hash, received_msat, settled_time) + signature


def signature_valid(receipt, commitment, recipient_id):
    if not is_point(recipient_id):
        return False
    message = receipt_message(
        commitment, receipt.payment_hash, receipt.received_msat, receipt.settled_time
    )
    digest = receipt_digest(receipt.algorithm, message)
    if receipt.algorithm == 0:
        return schnorr_valid(recipient_id[1:], digest, receipt.signature)
    return recovered(receipt.signature, digest) == recipient_id


def check_signature(receipt, commitment, recipient_id):
    check_recipient(recipient_id)
    rule = "signature" if receipt.algorithm == 0 else "signature-message"
    refuse_if(
        not signature_valid(receipt, commitment, recipient_id),
        "verifier/" + rule,
        "the receipt is not signed by the recipient's key",
    )


# Recipient.


def accept(
    chain_hash,
    recipient_id,
    request,
    keysend_preimage,
    payment_hash,
    received_msat,
    now,
    seen=(),
    seen_commitments=(),
    window_past=WINDOW_PAST,
    window_future=WINDOW_FUTURE,
):
    """The commitment for which a receipt is due, or None where the payer wants none."""
    check_recipient(recipient_id)
    request = Request(request)
    own = commitment(chain_hash, recipient_id, request)
    if not request.receipt_wanted:
        return None
    rule = "recipient/"
    refuse_if(
        sha256(keysend_preimage) != payment_hash,
        rule + "preimage-hash",
        "the payment hash is not that of the keysend preimage",
    )
    refuse_if(
        request.preimage_bound and not hmac.compare_digest(keysend_preimage, preimage(own)),
        rule + "preimage-bound",
        "the keysend preimage is not the one derived from the request",
    )
    refuse_if(
        received_msat < request.amount_msat,
        rule + "amount-least",
        "received %d msat, less than %d" % (received_msat, request.amount_msat),
        "rejected",
    )
    refuse_if(
        received_msat > 2 * request.amount_msat,
        rule + "amount-most",
        "received %d msat, more than twice %d" % (received_msat, request.amount_msat),
        "rejected",
    )
    refuse_if(
        now - request.payment_time > window_past,
        rule + "time-past",
        "the payment time is %d s in the past" % (now - request.payment_time),
        "rejected",
    )
    refuse_if(
        request.payment_time - now > window_future,
        rule + "time-future",
        "the payment time is %d s in the future" % (request.payment_time - now),
        "rejected",
    )
    refuse_if(
        payment_hash in seen,
        rule + "second-payment",
        "this payment hash has a receipt already",
        "rejected",
    )
    refuse_if(
        own in seen_commitments,
        rule + "one-receipt",
        "this commitment has a receipt already",
        "rejected",
    )
    return own


# Claim.


def sign_claim(secret_key, commitment, challenge, aux, payer_key=None):
    """Claim and digest; with `payer_key`, refused for another secret key than its own."""
    refuse_if(
        payer_key is not None and x_only_of(secret_key) != payer_key,
        "claim/sign",
        "the secret key is not that of the payer key in the request",
    )
    digest = claim_digest(commitment, challenge)
    return schnorr_sign(secret_key, digest, aux), digest


# Verifier.


class Proof:
    """A proof that was verified: tier, sentences, and what it is about."""

    def __init__(self, request, commitment, receipt, claimed):
        self.request, self.commitment, self.receipt = request, commitment, receipt
        self.tier = 0 if receipt is None else 2 if claimed else 1
        self.payment_hash = (
            sha256(preimage(commitment)) if receipt is None else receipt.payment_hash
        )
        given, bound = receipt is not None, request.preimage_bound
        proven = [(bound, OPENING), (given, STATED), (given, DISTINCT), (claimed, CLAIMED)]
        not_proven = [
            (not given, NOT_PAID),
            (not bound, NOT_HASH),
            (True, NOT_VALUE),
            (True, NOT_PAYMENT_TIME),
            (given, NOT_SETTLED_TIME),
            (not claimed, NOT_FRAMING),
            (claimed, NOT_FUNDS),
            (True, NOT_FEES),
            (True, NOT_IDENTITY),
        ]
        self.proven = [sentence for applies, sentence in proven if applies]
        self.not_proven = [sentence for applies, sentence in not_proven if applies]

    @property
    def statement(self):
        return "Proven: %s Not proven: %s" % (" ".join(self.proven), " ".join(self.not_proven))


def verify(chain_hash, recipient_id, request, receipt=None, challenge=None, claim=None):
    """The proof that these bytes are. `receipt`, `claim` and `challenge` (32 bytes) may be None."""
    check_recipient(recipient_id)
    request = Request(request)
    own = commitment(chain_hash, recipient_id, request)
    rule = "verifier/"
    refuse_if(
        claim is not None and challenge is None,
        rule + "claim-without-challenge",
        "there is a claim without the challenge that it answers",
    )
    refuse_if(
        challenge is not None and claim is None,
        rule + "challenge-without-claim",
        "there is a challenge without a claim",
    )
    if receipt is not None:
        receipt = Receipt(receipt)
        refuse_if(
            request.preimage_bound and receipt.payment_hash != sha256(preimage(own)),
            rule + "payment-hash",
            "the payment hash of the receipt is not the one derived from the request",
        )
        refuse_if(
            receipt.received_msat < request.amount_msat,
            rule + "amount",
            "the receipt is over %d msat, less than %d"
            % (receipt.received_msat, request.amount_msat),
        )
        check_signature(receipt, own, recipient_id)
    else:
        refuse_if(
            not request.preimage_bound,
            rule + "nothing-proven",
            "without a receipt, a request that binds no preimage proves nothing",
        )
    refuse_if(
        claim is not None
        and not schnorr_valid(request.payer_key, claim_digest(own, challenge), claim),
        rule + "claim",
        "the claim is not signed by the payer key",
    )
    return Proof(request, own, receipt, claim is not None)


CONTRADICTION = "The recipient key signed two receipts for one commitment that contradict each other."
UNSIGNED = "Not both receipts are signed by the recipient key for this commitment."
SAME = "Both receipts state the same."


def contradiction(recipient_id, commitment, first, second):
    """Whether two receipts convict the recipient, the statement, and the fields that differ."""
    check_recipient(recipient_id)
    first, second = Receipt(first), Receipt(second)
    for receipt in (first, second):
        if not signature_valid(receipt, commitment, recipient_id):
            return False, UNSIGNED, []
    one, other = first.states(), second.states()
    differs = [field for field in one if one[field] != other[field]]
    return bool(differs), CONTRADICTION if differs else SAME, differs
