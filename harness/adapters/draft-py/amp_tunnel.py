"""Proofs of AMP payments and AMP tunneling, version 0, written from the text of
`specs/drafts/amp-tunneling.md` alone.

It shares no code with the reference in Rust. Amounts are in millisatoshi, times in seconds since
1970, indices are numbers, everything that is hashed or signed is bytes.

Section names in comments are those of the draft.
"""

import struct

import amp
from common import (
    Refused,
    Rules,
    is_point,
    is_x_only,
    schnorr_sign,
    schnorr_valid,
    sha256,
    tagged,
    x_only_of,
    xor,
)

RECEIPT_WANTED, ROOT_BOUND = 1, 2
# Recipient: the default window on `payment_time`, in seconds.
WINDOW_PAST, WINDOW_FUTURE = 604_800, 7_200
MILLION = 1_000_000

# Records: the layouts, those with a signature without it.
REQUEST = struct.Struct(">BB32sQQ32s32s")
RECEIPT = struct.Struct(">B32s32s32sQQ")
ASSIGNMENT = struct.Struct(">B32sI")
HEADER = struct.Struct(">B32s33s32s33sQI32s")

RECEIPT_TAG = "ln-ait/0/receipt"
CLAIM_TAG = "ln-ait/0/claim"
HEADER_TAG = "ln-ait/0/pool-header"
ASSIGN_TAG = "ln-ait/0/assign"

refuse_if = Rules("amp-tunnel").refuse_if


def u32(number):
    return struct.pack(">I", number)


def u64(number):
    return struct.pack(">Q", number)


# Records.


def check_length(raw, length, rule, what):
    refuse_if(
        len(raw) != length, rule, "the %s has %d bytes instead of %d" % (what, len(raw), length)
    )


class Request:
    """A well-formed request; `raw` are its 114 bytes, which is what is hashed."""

    def __init__(self, raw):
        check_length(raw, REQUEST.size, "record/request-length", "request")
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
        refuse_if(
            self.version != 0, "record/request-version", "request of version %d" % self.version
        )
        unknown = self.flags & ~(RECEIPT_WANTED | ROOT_BOUND)
        refuse_if(unknown, "record/request-flags", "unknown flags %#04x" % unknown)

    @property
    def receipt_wanted(self):
        return bool(self.flags & RECEIPT_WANTED)

    @property
    def root_bound(self):
        return bool(self.flags & ROOT_BOUND)


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

    LENGTH = RECEIPT.size + 64

    def __init__(self, raw):
        check_length(raw, self.LENGTH, "record/receipt-length", "receipt")
        (
            self.version,
            self.set_id,
            self.root_hash,
            self.set_digest,
            self.received_msat,
            self.settled_time,
        ) = RECEIPT.unpack_from(raw)
        refuse_if(
            self.version != 0, "record/receipt-version", "receipt of version %d" % self.version
        )
        self.signature = raw[RECEIPT.size :]

    def states(self):
        """What it says, by name, in the order of its fields."""
        return {
            "set_id": self.set_id,
            "root_hash": self.root_hash,
            "set_digest": self.set_digest,
            "received_msat": self.received_msat,
            "settled_time": self.settled_time,
        }

    def signed_by(self, recipient_id, commitment):
        message = receipt_message(commitment, *self.states().values())
        return signed(recipient_id, RECEIPT_TAG, message, self.signature)


class Assignment:
    """A well-formed assignment; that its signature is valid is another matter."""

    LENGTH = ASSIGNMENT.size + 64

    def __init__(self, raw):
        check_length(raw, self.LENGTH, "record/assignment-length", "assignment")
        self.raw = raw
        self.version, self.root, self.index = ASSIGNMENT.unpack_from(raw)
        refuse_if(
            self.version != 0,
            "record/assignment-version",
            "assignment of version %d" % self.version,
        )
        self.signature = raw[ASSIGNMENT.size :]

    @property
    def entry(self):
        return self.root, self.index

    def signed_by(self, lsp_id, assignee):
        message = assignment_message(self.root, self.index, assignee)
        return signed(lsp_id, ASSIGN_TAG, message, self.signature)


class Header:
    """A well-formed pool header; `raw` are its 175 bytes, which is what is signed."""

    def __init__(self, raw):
        check_length(raw, HEADER.size, "pool/header-length", "pool header")
        self.raw = raw
        (
            self.version,
            self.chain_hash,
            self.recipient_id,
            self.payment_addr,
            self.lsp_id,
            self.expiry,
            self.count,
            self.root,
        ) = HEADER.unpack(raw)
        refuse_if(
            self.version != 0, "pool/header-version", "pool header of version %d" % self.version
        )
        refuse_if(
            not is_point(self.lsp_id), "pool/lsp-point", "the LSP's id is no point of the curve"
        )


# Derivation.


def check_recipient(recipient_id):
    refuse_if(
        not is_point(recipient_id),
        "derivation/recipient-id",
        "the recipient's id is no compressed point of the curve",
    )


def digest(tag, message):
    return tagged(tag, message)


def signed(node_id, tag, message, signature):
    """Whether this is the node's signature of a message; its id may be no point."""
    return is_point(node_id) and schnorr_valid(node_id[1:], digest(tag, message), signature)


class Opening:
    """A request with what it is for, and what follows from them."""

    def __init__(self, chain_hash, recipient_id, payment_addr, request):
        check_recipient(recipient_id)
        self.chain_hash, self.recipient_id = chain_hash, recipient_id
        self.payment_addr, self.request = payment_addr, Request(request)
        self.commitment = tagged(
            "ln-ait/0/commit", chain_hash + recipient_id + payment_addr + self.request.raw
        )
        self.root = tagged("ln-ait/0/root", self.commitment)
        self.set_id = tagged("ln-ait/0/set-id", self.commitment)
        self.assignee = assignee(self.commitment)


def assignee(commitment):
    return tagged("ln-ait/0/assignee", commitment)


def set_digest(htlcs):
    """Of a list of payment hash and amount of every HTLC of the payment."""
    return sha256(b"".join(sorted(payment_hash + u64(amount) for payment_hash, amount in htlcs)))


def receipt_message(commitment, set_id, root_hash, digest_of_set, received_msat, settled_time):
    """The 144 bytes that a receipt signs."""
    return (
        commitment + set_id + root_hash + digest_of_set + u64(received_msat) + u64(settled_time)
    )


def assignment_message(root, index, assignee):
    """The 68 bytes that an assignment signs."""
    return root + u32(index) + assignee


def claim_message(commitment, challenge):
    return commitment + challenge


# Pool.


def leaf(index, payment_hash):
    return tagged("ln-ait/0/pool-leaf", u32(index) + payment_hash)


def branch(one, other):
    return tagged("ln-ait/0/pool-branch", min(one, other) + max(one, other))


def tree(leaves):
    """The root over the leaves, and the path of neighbours of each."""
    paths = [[] for _ in leaves]
    # Which leaves each node of the level stands for.
    level = [(node, [place]) for place, node in enumerate(leaves)]
    while len(level) > 1:
        above = []
        for left in range(0, len(level) - 1, 2):
            (one, ours), (other, theirs) = level[left], level[left + 1]
            for place in ours:
                paths[place].append(other)
            for place in theirs:
                paths[place].append(one)
            above.append((branch(one, other), ours + theirs))
        if len(level) % 2:
            above.append(level[-1])
        level = above
    return level[0][0], paths


def climb(node, path):
    """The root that a leaf and its path lead to."""
    for neighbour in path:
        node = branch(node, neighbour)
    return node


def build_pool(chain_hash, recipient_id, payment_addr, lsp_id, expiry, hashes):
    """Header, root, leaves and paths of a pool. Ids are written as they are given."""
    leaves = [leaf(index, payment_hash) for index, payment_hash in enumerate(hashes)]
    root, paths = tree(leaves)
    header = HEADER.pack(
        0, chain_hash, recipient_id, payment_addr, lsp_id, expiry, len(hashes), root
    )
    return header, root, leaves, paths


def check_entry(opening, header, signature, index, payment_hash, path):
    """The header of the pool that this entry is in, by the rules that payer and verifier share."""
    header = Header(header)
    refuse_if(
        header.chain_hash != opening.chain_hash, "pool/chain", "the pool is for another chain"
    )
    refuse_if(
        header.recipient_id != opening.recipient_id,
        "pool/recipient",
        "the pool is for another recipient",
    )
    refuse_if(
        header.payment_addr != opening.payment_addr,
        "pool/payment-addr",
        "the pool is for another invoice",
    )
    refuse_if(
        not signed(opening.recipient_id, HEADER_TAG, header.raw, signature),
        "pool/signature",
        "the pool header is not signed by the recipient's key",
    )
    refuse_if(
        index >= header.count,
        "pool/index",
        "there is no entry %d among %d" % (index, header.count),
    )
    refuse_if(
        climb(leaf(index, payment_hash), path) != header.root,
        "pool/inclusion",
        "the path does not lead from the entry to the root of the pool",
    )
    return header


def check_assignment(assignment, root, index, lsp_id, assignee):
    """The assignment rules that payer, recipient and verifier share."""
    assignment = Assignment(assignment)
    refuse_if(
        assignment.entry != (root, index),
        "assignment/entry",
        "the assignment is of another entry",
    )
    refuse_if(
        not assignment.signed_by(lsp_id, assignee),
        "assignment/signature",
        "the assignment is not signed by the LSP's key for this payment",
    )
    return assignment


# Payer.


def shards(opening, amounts, shares, first_index, root, set_id):
    """The HTLCs of the AMP part, each with amount, share, index, preimage and payment hash."""
    last = root
    for share in shares:
        last = xor(last, share)
    result = []
    for place, (amount, share) in enumerate(zip(amounts, [*shares, last], strict=True)):
        index = first_index + place
        preimage, payment_hash = amp.child(root, share, index)
        result.append((amount, share, index, preimage, payment_hash))
    return result


def check_before_paying(
    opening, lsp_id, header, signature, index, payment_hash, path, assignment, now
):
    header = check_entry(opening, header, signature, index, payment_hash, path)
    refuse_if(
        header.lsp_id != lsp_id,
        "payer/lsp",
        "the pool is for another LSP than the one that served it",
        "rejected",
    )
    refuse_if(now > header.expiry, "payer/pool-expiry", "the pool has expired", "rejected")
    check_assignment(assignment, header.root, index, header.lsp_id, opening.assignee)
    return header


# LSP.


def check_assigned_once(index, assignee, assigned):
    """`assigned`: index and assignee of the pool's earlier assignments."""
    refuse_if(
        any(entry == index and other != assignee for entry, other in assigned),
        "assignment/once",
        "entry %d is assigned to another payment" % index,
        "rejected",
    )


# Recipient.


class Htlc:
    """An HTLC as the recipient sees it. `request` is None where it carries none."""

    def __init__(self, amount_msat, request, root_share=None, index=None, payment_hash=None):
        self.amount_msat, self.request = amount_msat, request
        self.root_share, self.index, self.payment_hash = root_share, index, payment_hash


class Payment:
    """What the recipient knows of a payment. `tunnel` is None, or payment hash, total, HTLCs."""

    def __init__(self, chain_hash, recipient_id, payment_addr, set_id, total_msat, htlcs, tunnel):
        self.chain_hash, self.recipient_id = chain_hash, recipient_id
        self.payment_addr, self.set_id = payment_addr, set_id
        self.total_msat, self.htlcs, self.tunnel = total_msat, htlcs, tunnel

    @property
    def all(self):
        return self.htlcs + (self.tunnel[2] if self.tunnel else [])

    @property
    def received_msat(self):
        return sum(htlc.amount_msat for htlc in self.all)

    @property
    def root(self):
        root = bytes(32)
        for htlc in self.htlcs:
            root = xor(root, htlc.root_share)
        return root

    @property
    def set_digest(self):
        hashes = [(htlc.payment_hash, htlc.amount_msat) for htlc in self.htlcs]
        if self.tunnel:
            hashes += [(self.tunnel[0], htlc.amount_msat) for htlc in self.tunnel[2]]
        return set_digest(hashes)


def opening_of(payment):
    """The opening of a payment, all of whose HTLCs carry one request."""
    check_recipient(payment.recipient_id)
    requests = {htlc.request for htlc in payment.all}
    refuse_if(
        len(requests) != 1 or None in requests,
        "recipient/same-request",
        "the HTLCs do not all carry the same request",
    )
    return Opening(
        payment.chain_hash, payment.recipient_id, payment.payment_addr, requests.pop()
    )


def check_payment(payment, opening, now, past, future, seen_commitments, seen_set_ids):
    """The rules on a payment that do not depend on the pool."""
    request, root = opening.request, payment.root
    for htlc in payment.htlcs:
        _, payment_hash = amp.child(root, htlc.root_share, htlc.index)
        refuse_if(
            payment_hash != htlc.payment_hash,
            "recipient/child-hash",
            "the shares give another payment hash than %s" % htlc.payment_hash.hex(),
        )
    refuse_if(
        request.root_bound and root != opening.root,
        "recipient/root-bound",
        "the root is not the one derived from the request",
    )
    refuse_if(
        request.root_bound and payment.set_id != opening.set_id,
        "recipient/set-id-bound",
        "the set id is not the one derived from the request",
    )
    total = payment.total_msat + (payment.tunnel[1] if payment.tunnel else 0)
    refuse_if(
        total != request.amount_msat,
        "recipient/total",
        "the totals add up to %d msat instead of %d" % (total, request.amount_msat),
    )
    received = payment.received_msat
    refuse_if(
        received < request.amount_msat,
        "recipient/amount-least",
        "received %d msat, less than %d" % (received, request.amount_msat),
        "rejected",
    )
    refuse_if(
        received > 2 * request.amount_msat,
        "recipient/amount-most",
        "received %d msat, more than twice %d" % (received, request.amount_msat),
        "rejected",
    )
    refuse_if(
        now - request.payment_time > past,
        "recipient/time-past",
        "the payment time is %d s in the past" % (now - request.payment_time),
        "rejected",
    )
    refuse_if(
        request.payment_time - now > future,
        "recipient/time-future",
        "the payment time is %d s in the future" % (request.payment_time - now),
        "rejected",
    )
    refuse_if(
        opening.commitment in seen_commitments,
        "recipient/one-payment",
        "there was another payment with this commitment",
        "rejected",
    )
    refuse_if(
        payment.set_id in seen_set_ids,
        "recipient/one-set",
        "there was another payment with this set id",
        "rejected",
    )


def accept(payment, now, past, future, seen_commitments, seen_set_ids):
    """The opening for which a receipt is due, or None where the payer wants none."""
    opening = opening_of(payment)
    if not opening.request.receipt_wanted:
        return None
    check_payment(payment, opening, now, past, future, seen_commitments, seen_set_ids)
    return opening


def settle(
    payment,
    amp_settled,
    header,
    hashes,
    assignment,
    used,
    now,
    past,
    future,
    seen_commitments,
    seen_set_ids,
):
    """Opening and index of a held tunnel part whose secret may be released."""
    check_recipient(payment.recipient_id)
    refuse_if(
        payment.tunnel is None or not payment.tunnel[2],
        "settle/tunnel-held",
        "no tunnel is held",
        "rejected",
    )
    payment_hash, declared, parts = payment.tunnel
    held = sum(htlc.amount_msat for htlc in parts)
    refuse_if(
        held < declared,
        "settle/tunnel-complete",
        "of %d msat of the tunnel %d are held" % (declared, held),
        "rejected",
    )
    refuse_if(
        not amp_settled, "settle/amp-settled", "the AMP set is not settled yet", "rejected"
    )
    opening = opening_of(payment)
    check_payment(payment, opening, now, past, future, seen_commitments, seen_set_ids)
    header = Header(header)
    refuse_if(
        payment_hash not in hashes,
        "settle/entry-known",
        "the payment hash of the tunnel is not of the pool",
    )
    index = hashes.index(payment_hash)
    refuse_if(now > header.expiry, "settle/pool-expiry", "the pool has expired", "rejected")
    refuse_if(
        assignment is None, "settle/assignment", "the tunnel came without an assignment"
    )
    check_assignment(assignment, header.root, index, header.lsp_id, opening.assignee)
    refuse_if(
        any(entry == index and other != opening.commitment for entry, other in used),
        "settle/entry-unused",
        "entry %d was used by another payment" % index,
        "rejected",
    )
    return opening, index


# Receipt.


def sign_receipt(secret_key, commitment, fields, aux):
    """Receipt and digest; `fields` are those of the message behind the commitment."""
    signs = digest(RECEIPT_TAG, receipt_message(commitment, *fields))
    return RECEIPT.pack(0, *fields) + schnorr_sign(secret_key, signs, aux), signs


def check_receipt(receipt, recipient_id, commitment):
    refuse_if(
        not receipt.signed_by(recipient_id, commitment),
        "verifier/signature",
        "the receipt is not signed by the recipient's key",
    )


# Claim.


def sign_claim(secret_key, commitment, challenge, aux, payer_key=None):
    """Claim and digest; with `payer_key`, refused for another secret key than its own."""
    refuse_if(
        payer_key is not None and x_only_of(secret_key) != payer_key,
        "claim/sign",
        "the secret key is not that of the payer key in the request",
    )
    signs = digest(CLAIM_TAG, claim_message(commitment, challenge))
    return schnorr_sign(secret_key, signs, aux), signs


# Verifier.

OPENING = (
    "Root and set id of the AMP set that this request asks for commit to this chain, this "
    "recipient key, this payment address and this request with its nonce, time, amount, payer key "
    "and terms."
)
STATED = (
    "The recipient key states that it received the amount in the receipt for this request, in the "
    "HTLCs whose digest the receipt holds."
)
DISTINCT = "The receipt belongs to this request alone."
SHOWN = "The HTLCs shown are those of the receipt."
SECRET = (
    "The secret of this entry, in a pool that the recipient key signed, is known outside of the "
    "recipient."
)
ASSIGNED = "The LSP key that the recipient key named assigned this entry to this request."
RELEASED = (
    "If the LSP assigned this entry once and the recipient released its secret by the rules, it "
    "released it for this request, and the whole amount had arrived."
)
TWICE = "The LSP key assigned this entry to two requests."
CLAIMED = "Whoever answered the challenge controls the payer key in the request."

NOT_PAID = "That the recipient was paid or knows of the payment: the payer alone can make this."
NOT_BEARER = (
    "That the secret was released for this request: whoever learned it, such as a node on the "
    "route, can show it with a request of their own."
)
NOT_ONCE = (
    "That the LSP assigned the entry to nobody else: an LSP that knows the secret can assign the "
    "entry to itself or to a second payer, which only another assignment refutes, so ask the "
    "recipient for the one that it redeemed."
)
NOT_FIRST = (
    "For which of the two requests the secret was released: assignments have no order."
)
NOT_REST = "That the rest of the amount arrived, other than by the rules of the recipient."
NOT_SET = (
    "That any AMP set belongs to this request, other than by the word of the recipient."
)
NOT_VALUE = "That value moved: payer and recipient together can make all of this."
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


class Tunnel:
    """What a proof holds of a tunnel; `assignment` may be None. `others`: assignee and assignment
    of what others have shown of the same entry."""

    def __init__(self, header, signature, index, path, secret, assignment=None, others=()):
        self.header, self.signature, self.index, self.path = header, signature, index, path
        self.payment_hash = sha256(secret)
        self.assignment, self.others = assignment, others
        self.lsp_id = None

    def check(self, opening, htlcs):
        """Whether its assignment is rebutted. `htlcs` are those of the receipt, or None."""
        header = check_entry(
            opening, self.header, self.signature, self.index, self.payment_hash, self.path
        )
        self.lsp_id = header.lsp_id
        refuse_if(
            htlcs is not None and self.payment_hash not in [hashed for hashed, _ in htlcs],
            "verifier/tunnel-in-set",
            "no HTLC of the receipt was on the secret of the tunnel",
        )
        if self.assignment is None:
            return False
        own = check_assignment(
            self.assignment, header.root, self.index, header.lsp_id, opening.assignee
        )
        return any(self.rebuts(own, opening.assignee, *other) for other in self.others)

    def rebuts(self, own, own_assignee, assignee, assignment):
        try:
            other = Assignment(assignment)
        except Refused:
            # Another assignment that does not rebut is ignored, for whatever reason.
            return False
        return (
            other.entry == own.entry
            and assignee != own_assignee
            and other.signed_by(self.lsp_id, assignee)
        )


class Proof:
    """A proof that was verified: tier, sentences, and what it is about."""

    def __init__(self, opening, receipt, shown, tunnel, rebutted, claimed):
        self.opening, self.receipt, self.tunnel = opening, receipt, tunnel
        self.rebutted, self.claimed = rebutted, claimed
        given, tunnelled = receipt is not None, tunnel is not None
        assigned = tunnelled and tunnel.assignment is not None and not rebutted
        self.tier = 3 if given else 2 if assigned else 1 if tunnelled else 0
        bound = opening.request.root_bound
        proven = [
            (bound, OPENING),
            (given, STATED),
            (given, DISTINCT),
            (given and shown, SHOWN),
            (tunnelled, SECRET),
            (assigned, ASSIGNED),
            (assigned, RELEASED),
            (rebutted, TWICE),
            (claimed, CLAIMED),
        ]
        not_proven = [
            (self.tier == 0, NOT_PAID),
            (tunnelled and not assigned and not rebutted, NOT_BEARER),
            (assigned, NOT_ONCE),
            (rebutted, NOT_FIRST),
            (tunnelled and not given, NOT_REST),
            (not bound, NOT_SET),
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


def verify(opening, receipt=None, htlcs=None, tunnel=None, challenge=None, claim=None):
    """The proof that these are. `htlcs`: payment hash and amount of each; all may be None."""
    request, rule = opening.request, "verifier/"
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
    receipt = None if receipt is None else Receipt(receipt)
    refuse_if(
        htlcs is not None and receipt is None,
        rule + "set-without-receipt",
        "there are HTLCs without a receipt that names them",
    )
    refuse_if(
        receipt is None and tunnel is None and not request.root_bound,
        rule + "nothing-proven",
        "with neither receipt nor tunnel, a request that binds no root proves nothing",
    )
    if receipt is not None:
        refuse_if(
            request.root_bound and receipt.set_id != opening.set_id,
            rule + "set-id",
            "the set id of the receipt is not the one derived from the request",
        )
        refuse_if(
            request.root_bound and receipt.root_hash != sha256(opening.root),
            rule + "root",
            "the root of the receipt is not the one derived from the request",
        )
        refuse_if(
            receipt.received_msat < request.amount_msat,
            rule + "amount",
            "the receipt is over %d msat, less than %d"
            % (receipt.received_msat, request.amount_msat),
        )
        check_receipt(receipt, opening.recipient_id, opening.commitment)
    if htlcs is not None:
        refuse_if(
            set_digest(htlcs) != receipt.set_digest,
            rule + "set-digest",
            "the HTLCs are not those of the receipt",
        )
        total = sum(amount for _, amount in htlcs)
        refuse_if(
            total != receipt.received_msat,
            rule + "set-sum",
            "the HTLCs add up to %d msat, not to %d" % (total, receipt.received_msat),
        )
    rebutted = tunnel is not None and tunnel.check(opening, htlcs)
    refuse_if(
        claim is not None
        and not schnorr_valid(
            request.payer_key,
            digest(CLAIM_TAG, claim_message(opening.commitment, challenge)),
            claim,
        ),
        rule + "claim",
        "the claim is not signed by the payer key",
    )
    return Proof(opening, receipt, htlcs is not None, tunnel, rebutted, claim is not None)


CONTRADICTION = (
    "The recipient key signed two receipts for one commitment that contradict each other."
)
UNSIGNED_RECEIPTS = "Not both receipts are signed by the recipient key for this commitment."
SAME_RECEIPTS = "Both receipts state the same."


def contradiction(recipient_id, commitment, first, second):
    """Whether two receipts convict the recipient, the statement, and the fields that differ."""
    check_recipient(recipient_id)
    first, second = Receipt(first), Receipt(second)
    for receipt in (first, second):
        if not receipt.signed_by(recipient_id, commitment):
            return False, UNSIGNED_RECEIPTS, []
    one, other = first.states(), second.states()
    differs = [field for field in one if one[field] != other[field]]
    return bool(differs), CONTRADICTION if differs else SAME_RECEIPTS, differs


FRAUD = "The LSP key assigned one entry of a pool to two requests."
UNSIGNED = "Not both assignments are signed by the LSP key for their assignees."
OTHER_ENTRY = "The assignments are of different entries."
SAME_ASSIGNEE = "Both assignments are to one assignee."


def fraud(lsp_id, first, second):
    """Whether two assignments, each behind its assignee, convict the LSP; statement, and entry."""
    both = [(assignee, Assignment(raw)) for assignee, raw in (first, second)]
    if not all(assignment.signed_by(lsp_id, assignee) for assignee, assignment in both):
        return False, UNSIGNED, None
    (one_assignee, one), (other_assignee, other) = both
    if one.entry != other.entry:
        return False, OTHER_ENTRY, None
    if one_assignee == other_assignee:
        return False, SAME_ASSIGNEE, None
    return True, FRAUD, one.entry


# The share of the tunnel.


def split(amount_msat, alpha):
    """Tunnel and AMP part of an amount; `alpha` in millionths."""
    tunnel = amount_msat * alpha // MILLION
    return tunnel, amount_msat - tunnel
