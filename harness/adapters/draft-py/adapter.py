#!/usr/bin/env python3
"""The adapter `draft-py`: the codec operations of our own drafts, in Python.

It speaks the protocol of `docs/adapter.md` on standard input and output. `--version` prints name
and version, and ends; that shows that everything it needs can be imported.
"""

import json
import re
import sys
import traceback

import amp
import amp_tunnel as ait
import keysend_proof as ksp
from common import ORDER, Refused, __version__, sha256

SOURCE = "harness/adapters/draft-py"
ZBASE32 = "ybndrfg8ejkmcpqxot1uwisza345h769"
HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")
DECIMAL = re.compile(r"[0-9]{1,40}\Z")
ZERO = bytes(32)


class Params:
    """The params of one request; what is missing or ill-typed is a ValueError."""

    def __init__(self, values, name="params"):
        if not isinstance(values, dict):
            raise ValueError("%s is not an object" % name)
        self.values = values

    def has(self, name):
        return name in self.values

    def get(self, name):
        if name not in self.values:
            raise ValueError("the param %s is missing" % name)
        return self.values[name]

    def bytes(self, name, length=None, default=None):
        if default is not None and not self.has(name):
            return default
        return to_bytes(name, self.get(name), length)

    def optional(self, name, length=None):
        return self.bytes(name, length) if self.has(name) else None

    def u64(self, name, default=None):
        if default is not None and not self.has(name):
            return default
        return decimal(name, self.get(name))

    def u8(self, name, default=None):
        return self.number(name, 8, default)

    def u32(self, name, default=None):
        return self.number(name, 32, default)

    def number(self, name, bits, default):
        if default is not None and not self.has(name):
            return default
        value = self.get(name)
        # `True` is an int for Python, and none for JSON.
        if type(value) is not int or not 0 <= value < 1 << bits:
            raise ValueError("%s is not a number from 0 to %d" % (name, (1 << bits) - 1))
        return value

    def flag(self, name):
        value = self.values.get(name, False)
        if type(value) is not bool:
            raise ValueError("%s is neither true nor false" % name)
        return value

    def list(self, name, length=None):
        """A list of byte strings; absent is empty."""
        values = self.values.get(name, [])
        if not isinstance(values, list):
            raise ValueError("%s is not a list" % name)
        return [to_bytes(name, value, length) for value in values]

    def texts(self, name):
        values = self.get(name)
        if not isinstance(values, list):
            raise ValueError("%s is not a list" % name)
        return values

    def objects(self, name, default=None):
        """A list of objects, each as params of its own."""
        values = self.get(name) if default is None else self.values.get(name, default)
        if not isinstance(values, list):
            raise ValueError("%s is not a list" % name)
        return [Params(value, "one of %s" % name) for value in values]

    def object(self, name):
        return Params(self.get(name), name)

    def choice(self, name, choices):
        """One of `choices`; the first where it is absent."""
        value = self.values.get(name, choices[0])
        if value not in choices:
            raise ValueError("%s is none of %s" % (name, ", ".join(choices)))
        return value

    def secret(self, name):
        value = self.bytes(name, 32)
        if not 0 < int.from_bytes(value, "big") < ORDER:
            raise ValueError("%s is no secret key of the curve" % name)
        return value


def decimal(name, value):
    if not isinstance(value, str) or not DECIMAL.match(value) or int(value) >= 1 << 64:
        raise ValueError("%s is not a decimal string below 2^64" % name)
    return int(value)


def to_bytes(name, value, length=None):
    if not isinstance(value, str) or not HEX.match(value):
        raise ValueError("%s is not lower-case hex" % name)
    data = bytes.fromhex(value)
    if length is not None and len(data) != length:
        raise ValueError("%s has %d bytes instead of %d" % (name, len(data), length))
    return data


def from_zbase32(text):
    """65 bytes from 104 characters; 520 bits, so no bit is left over."""
    number = 0
    for character in text:
        value = ZBASE32.find(character)
        if value < 0:
            raise ValueError("signature is not zbase32: %r" % character)
        number = number << 5 | value
    return number.to_bytes(65, "big")


def signature_of(params):
    """Hex, or the zbase32 that nodes print. Their lengths differ, so neither is ever both."""
    text = params.get("signature")
    if isinstance(text, str) and len(text) == 104:
        return from_zbase32(text)
    return params.bytes("signature")


def commitment_of(params):
    """The commitment, given as such or by what it is made of."""
    if params.has("commitment"):
        return params.bytes("commitment", 32)
    request = ksp.Request(params.bytes("request"))
    return ksp.commitment(params.bytes("chain_hash", 32), params.bytes("recipient_id"), request)


def commit(params):
    chain_hash, recipient_id = params.bytes("chain_hash", 32), params.bytes("recipient_id")
    request = params.bytes("request")
    ksp.check_recipient(recipient_id)
    commitment = ksp.commitment(chain_hash, recipient_id, ksp.Request(request))
    preimage = ksp.preimage(commitment)
    return {
        "commitment": commitment.hex(),
        "preimage": preimage.hex(),
        "payment_hash": sha256(preimage).hex(),
    }


def request_fields(request):
    """The fields that the requests of both drafts have."""
    return {
        "version": request.version,
        "flags": request.flags,
        "nonce": request.nonce.hex(),
        "payment_time": str(request.payment_time),
        "amount_msat": str(request.amount_msat),
        "payer_key": request.payer_key.hex(),
        "terms_hash": request.terms_hash.hex(),
        "receipt_wanted": request.receipt_wanted,
    }


def encode_request(draft, params):
    """The request of either draft, from those fields."""
    request = draft.encode_request(
        params.u8("version", 0),
        params.u8("flags"),
        params.bytes("nonce", 32),
        params.u64("payment_time"),
        params.u64("amount_msat"),
        params.bytes("payer_key", 32),
        params.bytes("terms_hash", 32, ZERO),
        checked=not params.flag("unchecked"),
    )
    return {"request": request.hex()}


def request_decode(params):
    request = ksp.Request(params.bytes("request"))
    return {**request_fields(request), "preimage_bound": request.preimage_bound}


def request_encode(params):
    return encode_request(ksp, params)


def reply_decode(params):
    return {"node_id": ksp.decode_reply(params.bytes("reply")).hex()}


def receipt_sign(params):
    receipt, digest = ksp.sign_receipt(
        params.secret("secret_key"),
        params.u8("algorithm"),
        params.bytes("commitment", 32),
        params.bytes("payment_hash", 32),
        params.u64("received_msat"),
        params.u64("settled_time"),
        params.bytes("aux", 32, ZERO),
    )
    return {"receipt": receipt.hex(), "digest": digest.hex()}


def receipt_decode(params):
    receipt = ksp.Receipt(params.bytes("receipt"))
    return {
        "version": receipt.version,
        "algorithm": receipt.algorithm,
        "payment_hash": receipt.payment_hash.hex(),
        "received_msat": str(receipt.received_msat),
        "settled_time": str(receipt.settled_time),
        "signature": receipt.signature.hex(),
    }


def receipt_message(params):
    algorithm = params.u8("algorithm")
    message = ksp.receipt_message(
        params.bytes("commitment", 32),
        params.bytes("payment_hash", 32),
        params.u64("received_msat"),
        params.u64("settled_time"),
    )
    ksp.check_algorithm(algorithm)
    digest = ksp.receipt_digest(algorithm, message)
    signed = digest if algorithm == 0 else ksp.receipt_text(message)
    result = {"message": signed.hex(), "signed_bytes": message.hex(), "digest": digest.hex()}
    if algorithm == 0:
        result["tag"] = "ln-ksp/0/receipt"
    return result


def receipt_assemble(params):
    checked = params.has("commitment")
    if checked != params.has("recipient_id"):
        raise ValueError("commitment and recipient_id are given both, or neither")
    receipt = ksp.assemble_receipt(
        params.u8("algorithm"),
        params.bytes("payment_hash", 32),
        params.u64("received_msat"),
        params.u64("settled_time"),
        signature_of(params),
    )
    if checked:
        commitment, recipient = params.bytes("commitment", 32), params.bytes("recipient_id")
        ksp.check_signature(ksp.Receipt(receipt), commitment, recipient)
    return {"receipt": receipt.hex()}


def claim_sign(params):
    secret, challenge = params.secret("secret_key"), params.bytes("challenge", 32)
    aux = params.bytes("aux", 32, ZERO)
    payer_key = None
    if not params.has("commitment"):
        request = params.bytes("request")
        ksp.check_recipient(params.bytes("recipient_id"))
        payer_key = ksp.Request(request).payer_key
    claim, digest = ksp.sign_claim(secret, commitment_of(params), challenge, aux, payer_key)
    return {"claim": claim.hex(), "digest": digest.hex()}


def accept(params):
    commitment = ksp.accept(
        params.bytes("chain_hash", 32),
        params.bytes("recipient_id"),
        params.bytes("request"),
        params.bytes("preimage", 32),
        params.bytes("payment_hash", 32),
        params.u64("received_msat"),
        params.u64("now"),
        seen=params.list("seen", 32),
        seen_commitments=params.list("seen_commitments", 32),
        window_past=params.u64("window_past", ksp.WINDOW_PAST),
        window_future=params.u64("window_future", ksp.WINDOW_FUTURE),
    )
    if commitment is None:
        return {"receipt_due": False, "reason": "the payer asks for no receipt"}
    return {"receipt_due": True, "commitment": commitment.hex()}


def verify(params):
    proof = ksp.verify(
        params.bytes("chain_hash", 32),
        params.bytes("recipient_id"),
        params.bytes("request"),
        receipt=params.optional("receipt"),
        challenge=params.optional("challenge", 32),
        claim=params.optional("claim"),
    )
    result = {
        "tier": proof.tier,
        "statement": proof.statement,
        "proven": proof.proven,
        "not_proven": proof.not_proven,
        "commitment": proof.commitment.hex(),
        "payment_hash": proof.payment_hash.hex(),
        "payment_time": str(proof.request.payment_time),
        "amount_msat": str(proof.request.amount_msat),
        "payer_key": proof.request.payer_key.hex(),
    }
    if proof.receipt is not None:
        result["received_msat"] = str(proof.receipt.received_msat)
        result["settled_time"] = str(proof.receipt.settled_time)
    return result


def fraud(params):
    recipient_id, receipts = params.bytes("recipient_id"), params.list("receipts")
    if len(receipts) != 2:
        raise ValueError("receipts is not a list of two")
    ksp.check_recipient(recipient_id)
    proven, statement, differs = ksp.contradiction(
        recipient_id, commitment_of(params), *receipts
    )
    result = {"proven": proven, "statement": statement}
    if proven:
        result["differs"] = differs
    return result


def amp_child(params):
    form = params.choice("dialect", amp.DIALECTS)
    # The form of 2019 has no share in its children.
    share = params.bytes("share", 32, ZERO if form == amp.PR_658 else None)
    preimage, payment_hash = amp.child(params.bytes("root", 32), share, params.u32("index"), form)
    return {"preimage": preimage.hex(), "payment_hash": payment_hash.hex()}


def amp_reconstruct(params):
    children = [
        (child.bytes("share", 32), child.u32("index"), child.bytes("payment_hash", 32))
        for child in params.objects("children")
    ]
    if not children:
        raise ValueError("children is empty: a set has one HTLC at least")
    root, preimages = amp.reconstruct(children, params.choice("dialect", amp.DIALECTS))
    return {"root": root.hex(), "preimages": [preimage.hex() for preimage in preimages]}


def amp_record_decode(params):
    kind = params.u64("type") if params.has("type") else None
    fields = amp.decode_record(
        params.bytes("record"), params.choice("dialect", amp.DIALECTS), kind
    )
    result = {name: fields[name].hex() for name in ("root_share", "set_id")}
    result["index"] = fields["index"]
    if "payment_id" in fields:
        result["payment_id"] = fields["payment_id"].hex()
        result["total_msat"] = str(fields["total_msat"])
    return result


def amp_record_encode(params):
    form = params.choice("dialect", amp.DIALECTS)
    record = amp.encode_record(
        params.bytes("root_share", 32),
        params.bytes("set_id", 32),
        params.u32("index"),
        form,
        # Fields that the other two forms do not have.
        params.bytes("payment_id", 32, ZERO),
        params.u64("total_msat", None if form == amp.PR_658 else 0),
    )
    return {"record": record.hex()}


def ait_opening(params):
    return ait.Opening(
        params.bytes("chain_hash", 32),
        params.bytes("recipient_id"),
        params.bytes("payment_addr", 32),
        params.bytes("request"),
    )


def ait_commitment(params):
    """The commitment, given as such or by what it is made of."""
    if params.has("commitment"):
        return params.bytes("commitment", 32)
    return ait_opening(params).commitment


def ait_assignee(params):
    """The assignee, given as such or by what it is made of."""
    if params.has("assignee"):
        return params.bytes("assignee", 32)
    return ait.assignee(ait_commitment(params))


def ait_htlcs(params):
    """Payment hash and amount of each HTLC."""
    return [
        (htlc.bytes("payment_hash", 32), htlc.u64("amount_msat"))
        for htlc in params.objects("htlcs")
    ]


def ait_commit(params):
    opening = ait_opening(params)
    return {
        "commitment": opening.commitment.hex(),
        "root": opening.root.hex(),
        "set_id": opening.set_id.hex(),
        "assignee": opening.assignee.hex(),
        "root_hash": sha256(opening.root).hex(),
    }


def ait_request_decode(params):
    request = ait.Request(params.bytes("request"))
    return {**request_fields(request), "root_bound": request.root_bound}


def ait_request_encode(params):
    return encode_request(ait, params)


def ait_shards(params):
    opening = ait_opening(params)
    amounts = [decimal("amounts", amount) for amount in params.texts("amounts")]
    shares, first = params.list("shares", 32), params.u32("first_index", 0)
    bound = opening.request.root_bound
    root = opening.root if bound else params.bytes("root", 32)
    set_id = opening.set_id if bound else params.bytes("set_id", 32)
    if len(amounts) != len(shares) + 1:
        raise ValueError("shares is not one fewer than amounts")
    if first + len(amounts) > 1 << 32 or sum(amounts) >= 1 << 64:
        raise ValueError("an index or the sum of the amounts is too large")
    return {
        "commitment": opening.commitment.hex(),
        "root": root.hex(),
        "set_id": set_id.hex(),
        "total_msat": str(sum(amounts)),
        "shards": [
            {
                "amount_msat": str(amount),
                "root_share": share.hex(),
                "set_id": set_id.hex(),
                "index": index,
                "preimage": preimage.hex(),
                "payment_hash": payment_hash.hex(),
            }
            for amount, share, index, preimage, payment_hash in ait.shards(
                opening, amounts, shares, first, root, set_id
            )
        ],
    }


def ait_receipt_fields(params):
    """The fields of a receipt before its signature, in their order."""
    if params.has("htlcs"):
        htlcs = ait_htlcs(params)
        digest, received = ait.set_digest(htlcs), sum(amount for _, amount in htlcs)
        if received >= 1 << 64:
            raise ValueError("the sum of the HTLCs is too large")
    else:
        digest, received = params.bytes("set_digest", 32), params.u64("received_msat")
    root_hash = (
        params.bytes("root_hash", 32)
        if params.has("root_hash")
        else sha256(params.bytes("root", 32))
    )
    return params.bytes("set_id", 32), root_hash, digest, received, params.u64("settled_time")


def ait_receipt_message(params):
    fields = ait_receipt_fields(params)
    message = ait.receipt_message(ait_commitment(params), *fields)
    return {
        **ait_message(ait.RECEIPT_TAG, message),
        "set_digest": fields[2].hex(),
        "received_msat": str(fields[3]),
    }


def ait_message(tag, message):
    return {"message": message.hex(), "tag": tag, "digest": ait.digest(tag, message).hex()}


def ait_receipt_sign(params):
    receipt, digest = ait.sign_receipt(
        params.secret("secret_key"),
        ait_commitment(params),
        ait_receipt_fields(params),
        params.bytes("aux", 32, ZERO),
    )
    return {"receipt": receipt.hex(), "digest": digest.hex()}


def ait_receipt_assemble(params):
    raw = ait.RECEIPT.pack(0, *ait_receipt_fields(params)) + params.bytes("signature", 64)
    if params.has("commitment") or params.has("request"):
        recipient = params.bytes("recipient_id")
        ait.check_recipient(recipient)
        ait.check_receipt(ait.Receipt(raw), recipient, ait_commitment(params))
    return {"receipt": raw.hex()}


def ait_receipt_decode(params):
    receipt = ait.Receipt(params.bytes("receipt"))
    return {
        "version": receipt.version,
        "set_id": receipt.set_id.hex(),
        "root_hash": receipt.root_hash.hex(),
        "set_digest": receipt.set_digest.hex(),
        "received_msat": str(receipt.received_msat),
        "settled_time": str(receipt.settled_time),
        "signature": receipt.signature.hex(),
    }


def ait_pool_build(params):
    if params.has("secrets"):
        hashes = [sha256(secret) for secret in params.list("secrets", 32)]
    else:
        hashes = params.list("hashes", 32)
    if not hashes:
        raise ValueError("neither hashes nor secrets holds an entry")
    header, root, leaves, paths = ait.build_pool(
        params.bytes("chain_hash", 32),
        params.bytes("recipient_id", 33),
        params.bytes("payment_addr", 32),
        params.bytes("lsp_id", 33),
        params.u64("expiry"),
        hashes,
    )
    result = {
        "header": header.hex(),
        **ait_message(ait.HEADER_TAG, header),
        "root": root.hex(),
        "hashes": [payment_hash.hex() for payment_hash in hashes],
        "leaves": [leaf.hex() for leaf in leaves],
        "paths": [[node.hex() for node in path] for path in paths],
    }
    if params.has("secret_key"):
        result["signature"] = ait.schnorr_sign(
            params.secret("secret_key"),
            ait.digest(ait.HEADER_TAG, header),
            params.bytes("aux", 32, ZERO),
        ).hex()
    return result


def ait_pool_decode(params):
    header = ait.Header(params.bytes("header"))
    return {
        "version": header.version,
        "chain_hash": header.chain_hash.hex(),
        "recipient_id": header.recipient_id.hex(),
        "payment_addr": header.payment_addr.hex(),
        "lsp_id": header.lsp_id.hex(),
        "expiry": str(header.expiry),
        "count": header.count,
        "root": header.root.hex(),
    }


def ait_pool_check(params):
    opening = ait_opening(params)
    header = ait.check_before_paying(
        opening,
        params.bytes("lsp_id"),
        params.bytes("header"),
        params.bytes("header_signature"),
        params.u32("index"),
        params.bytes("payment_hash", 32),
        params.list("path", 32),
        params.bytes("assignment"),
        params.u64("now"),
    )
    return {
        "commitment": opening.commitment.hex(),
        "assignee": opening.assignee.hex(),
        "expiry": str(header.expiry),
        "count": header.count,
    }


def ait_entry(params):
    """Pool root and index of an entry."""
    root = (
        ait.Header(params.bytes("header")).root
        if params.has("header")
        else params.bytes("root", 32)
    )
    return root, params.u32("index")


def ait_assigning(params):
    """Entry and assignee of an assignment that the LSP may sign."""
    (root, index), assignee = ait_entry(params), ait_assignee(params)
    assigned = [
        (earlier.u32("index"), earlier.bytes("assignee", 32))
        for earlier in params.objects("assigned", [])
    ]
    ait.check_assigned_once(index, assignee, assigned)
    return root, index, assignee


def ait_assignment_message(params):
    root, index, assignee = ait_assigning(params)
    message = ait.assignment_message(root, index, assignee)
    return {**ait_message(ait.ASSIGN_TAG, message), "assignee": assignee.hex()}


def ait_assignment_sign(params):
    root, index, assignee = ait_assigning(params)
    digest = ait.digest(ait.ASSIGN_TAG, ait.assignment_message(root, index, assignee))
    signature = ait.schnorr_sign(
        params.secret("secret_key"), digest, params.bytes("aux", 32, ZERO)
    )
    return {
        "assignment": (ait.ASSIGNMENT.pack(0, root, index) + signature).hex(),
        "digest": digest.hex(),
        "assignee": assignee.hex(),
    }


def ait_assignment_assemble(params):
    root, index = ait_entry(params)
    raw = ait.ASSIGNMENT.pack(0, root, index) + params.bytes("signature", 64)
    if params.has("lsp_id"):
        ait.check_assignment(raw, root, index, params.bytes("lsp_id"), ait_assignee(params))
    return {"assignment": raw.hex()}


def ait_assignment_decode(params):
    assignment = ait.Assignment(params.bytes("assignment"))
    return {
        "version": assignment.version,
        "root": assignment.root.hex(),
        "index": assignment.index,
        "signature": assignment.signature.hex(),
    }


def ait_payment(params):
    htlcs = [
        ait.Htlc(
            htlc.u64("amount_msat"),
            htlc.optional("request"),
            htlc.bytes("root_share", 32),
            htlc.u32("index"),
            htlc.bytes("payment_hash", 32),
        )
        for htlc in params.objects("htlcs")
    ]
    if not htlcs:
        raise ValueError("htlcs is empty: a set has one HTLC at least")
    tunnel = None
    if params.has("tunnel"):
        part = params.object("tunnel")
        tunnel = (
            part.bytes("payment_hash", 32),
            part.u64("total_msat"),
            [
                ait.Htlc(htlc.u64("amount_msat"), htlc.optional("request"))
                for htlc in part.objects("htlcs")
            ],
        )
    return ait.Payment(
        params.bytes("chain_hash", 32),
        params.bytes("recipient_id"),
        params.bytes("payment_addr", 32),
        params.bytes("set_id", 32),
        params.u64("total_msat"),
        htlcs,
        tunnel,
    )


def ait_policy(params):
    """What the recipient judges a payment by, beside the payment."""
    return {
        "now": params.u64("now"),
        "past": params.u64("window_past", ait.WINDOW_PAST),
        "future": params.u64("window_future", ait.WINDOW_FUTURE),
        "seen_commitments": params.list("seen_commitments", 32),
        "seen_set_ids": params.list("seen_set_ids", 32),
    }


def ait_accept(params):
    payment = ait_payment(params)
    opening = ait.accept(payment, **ait_policy(params))
    if opening is None:
        return {"receipt_due": False, "reason": "the payer asks for no receipt"}
    return {"receipt_due": True, **ait_receipted(payment, opening)}


def ait_receipted(payment, opening):
    """What a receipt for a payment states, but for the time."""
    return {
        "commitment": opening.commitment.hex(),
        "set_id": payment.set_id.hex(),
        "root_hash": sha256(payment.root).hex(),
        "set_digest": payment.set_digest.hex(),
        "received_msat": str(payment.received_msat),
    }


def ait_settle(params):
    payment, pool = ait_payment(params), params.object("pool")
    tunnel = params.object("tunnel") if params.has("tunnel") else None
    opening, index = ait.settle(
        payment,
        amp_settled=params.flag("amp_settled"),
        header=pool.bytes("header"),
        hashes=pool.list("hashes", 32),
        assignment=tunnel and tunnel.optional("assignment"),
        used=[
            (one.u32("index"), one.bytes("commitment", 32)) for one in params.objects("used", [])
        ],
        **ait_policy(params),
    )
    return {
        "release": True,
        "index": index,
        "assignee": opening.assignee.hex(),
        **ait_receipted(payment, opening),
    }


def ait_claim_message(params):
    challenge = params.bytes("challenge", 32)
    return ait_message(ait.CLAIM_TAG, ait.claim_message(ait_commitment(params), challenge))


def ait_claim_sign(params):
    secret, challenge = params.secret("secret_key"), params.bytes("challenge", 32)
    payer_key = None
    if not params.has("commitment"):
        payer_key = ait_opening(params).request.payer_key
    claim, digest = ait.sign_claim(
        secret, ait_commitment(params), challenge, params.bytes("aux", 32, ZERO), payer_key
    )
    return {"claim": claim.hex(), "digest": digest.hex()}


def ait_tunnel(params):
    return ait.Tunnel(
        params.bytes("header"),
        params.bytes("header_signature"),
        params.u32("index"),
        params.list("path", 32),
        params.bytes("secret", 32),
        params.optional("assignment"),
        [
            (other.bytes("assignee", 32), other.bytes("assignment"))
            for other in params.objects("other_assignments", [])
        ],
    )


def ait_verify(params):
    opening = ait_opening(params)
    tunnel = ait_tunnel(params.object("tunnel")) if params.has("tunnel") else None
    proof = ait.verify(
        opening,
        receipt=params.optional("receipt"),
        htlcs=ait_htlcs(params) if params.has("htlcs") else None,
        tunnel=tunnel,
        challenge=params.optional("challenge", 32),
        claim=params.optional("claim"),
    )
    request, receipt = opening.request, proof.receipt
    result = {
        "tier": proof.tier,
        "claimed": proof.claimed,
        "rebutted": proof.rebutted,
        "statement": proof.statement,
        "proven": proof.proven,
        "not_proven": proof.not_proven,
        "commitment": opening.commitment.hex(),
        "payment_time": str(request.payment_time),
        "amount_msat": str(request.amount_msat),
        "payer_key": request.payer_key.hex(),
    }
    if request.root_bound:
        result["set_id"] = opening.set_id.hex()
        result["root_hash"] = sha256(opening.root).hex()
    if receipt is not None:
        result["set_id"] = receipt.set_id.hex()
        result["root_hash"] = receipt.root_hash.hex()
        result["received_msat"] = str(receipt.received_msat)
        result["settled_time"] = str(receipt.settled_time)
    if tunnel is not None:
        result["index"] = tunnel.index
        result["payment_hash"] = tunnel.payment_hash.hex()
        result["lsp_id"] = tunnel.lsp_id.hex()
    return result


def ait_fraud(params):
    lsp_id, assignments = params.bytes("lsp_id"), params.objects("assignments")
    if len(assignments) != 2:
        raise ValueError("assignments is not a list of two")
    proven, statement, entry = ait.fraud(
        lsp_id, *((ait_assignee(one), one.bytes("assignment")) for one in assignments)
    )
    result = {"proven": proven, "statement": statement}
    if proven:
        result["root"], result["index"] = entry[0].hex(), entry[1]
    return result


def ait_contradiction(params):
    recipient_id, receipts = params.bytes("recipient_id"), params.list("receipts")
    if len(receipts) != 2:
        raise ValueError("receipts is not a list of two")
    proven, statement, differs = ait.contradiction(
        recipient_id, ait_commitment(params), *receipts
    )
    result = {"proven": proven, "statement": statement}
    if proven:
        result["differs"] = differs
    return result


def ait_alpha(params):
    amount, alphas = params.u64("amount_msat"), params.get("alphas")
    if not isinstance(alphas, list) or not all(
        type(alpha) is int and 0 <= alpha <= ait.MILLION for alpha in alphas
    ):
        raise ValueError("alphas is not a list of millionths, 0 to 1000000")
    rows = []
    for alpha in alphas:
        tunnel, rest = ait.split(amount, alpha)
        rows.append(
            {
                "alpha_ppm": alpha,
                "tunnel_msat": str(tunnel),
                "amp_msat": str(rest),
                "lsp_most_msat": str(tunnel),
                "recipient_most_msat": str(rest),
            }
        )
    return {"rows": rows}


OPERATIONS = {
    "amp.child": amp_child,
    "amp.reconstruct": amp_reconstruct,
    "amp.record.decode": amp_record_decode,
    "amp.record.encode": amp_record_encode,
    "keysend_proof.commit": commit,
    "keysend_proof.request.decode": request_decode,
    "keysend_proof.request.encode": request_encode,
    "keysend_proof.reply.decode": reply_decode,
    "keysend_proof.receipt.sign": receipt_sign,
    "keysend_proof.receipt.decode": receipt_decode,
    "keysend_proof.receipt.message": receipt_message,
    "keysend_proof.receipt.assemble": receipt_assemble,
    "keysend_proof.claim.sign": claim_sign,
    "keysend_proof.accept": accept,
    "keysend_proof.verify": verify,
    "keysend_proof.fraud": fraud,
    "amp_tunnel.request.decode": ait_request_decode,
    "amp_tunnel.request.encode": ait_request_encode,
    "amp_tunnel.commit": ait_commit,
    "amp_tunnel.shards": ait_shards,
    "amp_tunnel.receipt.message": ait_receipt_message,
    "amp_tunnel.receipt.sign": ait_receipt_sign,
    "amp_tunnel.receipt.assemble": ait_receipt_assemble,
    "amp_tunnel.receipt.decode": ait_receipt_decode,
    "amp_tunnel.pool.build": ait_pool_build,
    "amp_tunnel.pool.decode": ait_pool_decode,
    "amp_tunnel.pool.check": ait_pool_check,
    "amp_tunnel.assignment.message": ait_assignment_message,
    "amp_tunnel.assignment.sign": ait_assignment_sign,
    "amp_tunnel.assignment.assemble": ait_assignment_assemble,
    "amp_tunnel.assignment.decode": ait_assignment_decode,
    "amp_tunnel.accept": ait_accept,
    "amp_tunnel.settle": ait_settle,
    "amp_tunnel.claim.message": ait_claim_message,
    "amp_tunnel.claim.sign": ait_claim_sign,
    "amp_tunnel.verify": ait_verify,
    "amp_tunnel.fraud": ait_fraud,
    "amp_tunnel.contradiction": ait_contradiction,
    "amp_tunnel.alpha": ait_alpha,
}


def hello(params):
    asked = params.get("protocol")
    if type(asked) is not int or asked < 1:
        raise ValueError("this adapter speaks protocol 1")
    return {
        "implementation": {
            "name": "draft-py",
            "version": __version__,
            "language": "Python",
            "source": SOURCE,
        },
        "protocol": 1,
        "operations": list(OPERATIONS),
        "dialects": amp.DIALECTS,
    }


def answer(op, params):
    """The answer to one request, without its id."""
    if op == "shutdown":
        return {"result": {}}
    operation = hello if op == "hello" else OPERATIONS.get(op)
    if operation is None:
        return {"unsupported": {"reason": "draft-py has the codec operations of our own drafts, without simulations"}}
    try:
        return {"result": operation(Params(params))}
    except Refused as refused:
        error = {"kind": refused.kind, "message": str(refused), "rule": refused.rule}
    except ValueError as wrong:
        error = {"kind": "invalid", "message": str(wrong)}
    except Exception as fault:  # A fault in one request is not the end of the process.
        traceback.print_exc()
        error = {"kind": "internal", "message": repr(fault)}
    return {"error": error}


def request_of(line):
    """Id, operation and params of a line, or None if it is no request."""
    try:
        # Bytes that are not UTF-8 and nesting without end are no request either.
        request = json.loads(line.decode("utf-8"))
        number, op = request["id"], request["op"]
        if type(number) is not int or type(op) is not str:
            raise ValueError("no integer id, or no string op")
        return number, op, request.get("params", {})
    except (ValueError, KeyError, TypeError, RecursionError) as wrong:
        print("draft-py: passed over, not a request: %s" % wrong, file=sys.stderr)
        return None


def main():
    if sys.argv[1:] == ["--version"]:
        print("draft-py %s" % __version__)
        return
    for line in sys.stdin.buffer:
        request = request_of(line)
        if request is None:
            continue
        number, op, params = request
        text = json.dumps({"id": number, **answer(op, params)})
        try:
            sys.stdout.write(text + "\n")
            sys.stdout.flush()
        except BrokenPipeError:
            # The harness has gone away; leaving by the usual way would flush once more.
            sys.stderr.flush()
            raise SystemExit(0) from None
        if op == "shutdown":
            return


if __name__ == "__main__":
    main()
