#!/usr/bin/env python3
"""The adapter `draft-py`: the codec operations of our own drafts, in Python.

It speaks the protocol of `docs/adapter.md` on standard input and output. `--version` prints name
and version, and ends; that shows that everything it needs can be imported.
"""

import json
import re
import sys
import traceback

import keysend_proof as ksp

SOURCE = "harness/adapters/draft-py"
ZBASE32 = "ybndrfg8ejkmcpqxot1uwisza345h769"
HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")
DECIMAL = re.compile(r"[0-9]{1,40}\Z")
ZERO = bytes(32)


class Params:
    """The params of one request; what is missing or ill-typed is a ValueError."""

    def __init__(self, values):
        if not isinstance(values, dict):
            raise ValueError("params is not an object")
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
        value = self.get(name)
        if not isinstance(value, str) or not DECIMAL.match(value) or int(value) >= 1 << 64:
            raise ValueError("%s is not a decimal string below 2^64" % name)
        return int(value)

    def u8(self, name, default=None):
        if default is not None and not self.has(name):
            return default
        value = self.get(name)
        # `True` is an int for Python, and none for JSON.
        if type(value) is not int or not 0 <= value < 256:
            raise ValueError("%s is not a number from 0 to 255" % name)
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

    def secret(self, name):
        value = self.bytes(name, 32)
        if not 0 < int.from_bytes(value, "big") < ksp.ORDER:
            raise ValueError("%s is no secret key of the curve" % name)
        return value


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
        "payment_hash": ksp.sha256(preimage).hex(),
    }


def request_decode(params):
    request = ksp.Request(params.bytes("request"))
    return {
        "version": request.version,
        "flags": request.flags,
        "nonce": request.nonce.hex(),
        "payment_time": str(request.payment_time),
        "amount_msat": str(request.amount_msat),
        "payer_key": request.payer_key.hex(),
        "terms_hash": request.terms_hash.hex(),
        "receipt_wanted": request.receipt_wanted,
        "preimage_bound": request.preimage_bound,
    }


def request_encode(params):
    request = ksp.encode_request(
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


OPERATIONS = {
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
}


def hello(params):
    asked = params.get("protocol")
    if type(asked) is not int or asked < 1:
        raise ValueError("this adapter speaks protocol 1")
    return {
        "implementation": {
            "name": "draft-py",
            "version": ksp.__version__,
            "language": "Python",
            "source": SOURCE,
        },
        "protocol": 1,
        "operations": list(OPERATIONS),
        "dialects": [],
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
    except ksp.Refused as refused:
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
        print("draft-py %s" % ksp.__version__)
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
