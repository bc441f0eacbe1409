"""Codec operations, answered by Electrum's own modules in this process.

What Electrum does not have as a function is not written anew here. Where a function of Electrum
takes more, or shows less, than an operation does, one of the functions that it calls is replaced
for the time of the call, in this process alone: to hand it a shared secret, or to see what it
computes on the way. So these operations run one at a time.

`onion.peel` is the Sphinx layer only: what stands in a payload Electrum judges in its peers'
handling of HTLCs, which has no function of its own, and so there is no `payload.decode` here.
"""

import contextlib
import copy
import io
from types import SimpleNamespace

import home

home.prepare()

import electrum_ecc as ecc
from electrum import bolt11, constants, lnmsg, lnonion, lnutil, onion_message
from electrum.crypto import chacha20_poly1305_decrypt
from electrum.lnworker import LNWALLET_FEATURES

from common import Refused, Unsupported, invalid

# Networks by the names that the protocol has for them; Electrum tells an invoice's by its prefix.
NETWORKS = {"mainnet": "bitcoin"}
CURVE_ORDER = ecc.CURVE_ORDER
ONION_MESSAGE = (513).to_bytes(2, "big")


@contextlib.contextmanager
def replaced(module, name, value):
    """A name of one of Electrum's modules stands for something else meanwhile."""
    before = getattr(module, name)
    setattr(module, name, value)
    try:
        yield before
    finally:
        setattr(module, name, before)


class Watched:
    """One of Electrum's functions, and what it was called with and answered."""

    def __init__(self, function):
        self.function, self.calls = function, []

    def __call__(self, *args, **more):
        answer = self.function(*args, **more)
        self.calls.append((args, more, answer))
        return answer


@contextlib.contextmanager
def watched(module, name):
    watcher = Watched(getattr(module, name))
    with replaced(module, name, watcher):
        yield watcher


def secret_of(params, name):
    secret = params.bytes(name, 32)
    if not 0 < int.from_bytes(secret, "big") < CURVE_ORDER:
        raise invalid("param %s is no secret key of the curve", name)
    return secret


def refuse(params, *names):
    """Refuses a context that Electrum's functions cannot be given."""
    for name in names:
        if params.has(name):
            raise Unsupported("Electrum's onion code takes no %s" % name)


def hexes(values):
    return [value.hex() for value in values]


# BigSize and TLV


def bigsize_decode(params):
    data = params.bytes("bytes")
    fd = io.BytesIO(data)
    value = lnmsg.read_bigsize_int(fd)
    if value is None:
        raise invalid("there is no byte to read")
    return {"value": str(value), "rest": fd.read().hex()}


def bigsize_encode(params):
    return {"bytes": lnmsg.write_bigsize_int(params.u64("value")).hex()}


def records_of(stream):
    """All records of a stream that Electrum has accepted."""
    fd, records = io.BytesIO(stream), []
    while fd.tell() < len(stream):
        kind, value, _ = lnmsg._read_tlv_record(fd=fd)
        records.append({"type": str(kind), "value": value.hex()})
    return records


def tlv_decode(params):
    stream, name = params.bytes("stream"), "of this request"
    known = []
    for kind in params.list("known"):
        if not isinstance(kind, str) or not kind.isdecimal():
            raise invalid("param known holds something that is no decimal string")
        known.append(int(kind))
    # Electrum's reader with a table in which every known type is a string of bytes.
    reader = copy.copy(lnmsg.OnionWireSerializer)
    reader.in_tlv_stream_get_tlv_record_scheme_from_type = {
        name: {
            kind: [
                ["tlvtype", name, str(kind), str(kind)],
                ["tlvdata", name, str(kind), "value", "byte", "..."],
            ]
            for kind in known
        }
    }
    reader.in_tlv_stream_get_record_name_from_type = {name: {kind: str(kind) for kind in known}}
    reader.in_tlv_stream_signature_tlv_records = {}
    reader.read_tlv_stream(fd=io.BytesIO(stream), tlv_stream_name=name)
    return {"records": records_of(stream)}


# Features


def features_decode(params):
    features = int.from_bytes(params.bytes("features"), "big")
    if params.has("context"):
        params.text("context")
    bits = lnutil.list_enabled_bits(features)
    names = [lnutil.LnFeatures(1 << bit).name for bit in bits]
    return {"bits": bits, "names": [name for name in names if name]}


# BOLT 11


def network_of(invoice):
    """The network of an invoice: of two prefixes that fit, the longer one."""
    fits = [n for n in constants.NETS_LIST if invoice.lower().startswith("ln" + n.BOLT11_HRP)]
    # Test networks share a prefix; the first of a name in order stands for them.
    fits.sort(key=lambda n: (-len(n.BOLT11_HRP), n.NET_NAME))
    return fits[0] if fits else constants.BitcoinMainnet


def bolt11_decode(params):
    invoice = params.text("invoice")
    now = params.u64("now") if params.has("now") else None
    net = network_of(invoice)
    found = bolt11.decode_bolt11_invoice(invoice, net=net)
    # Electrum judges features when it pays and not when it reads.
    found.validate_and_compare_features(lnutil.LnFeatures(LNWALLET_FEATURES))
    expiry = found.get_expiry()
    if now is not None and now > found.date + expiry:
        raise Refused("rejected", "the invoice has expired")
    hints = [
        [
            {
                "node_id": node_id.hex(),
                "scid": "%dx%dx%d" % (
                    int.from_bytes(scid[:3], "big"),
                    int.from_bytes(scid[3:6], "big"),
                    int.from_bytes(scid[6:], "big"),
                ),
                "fee_base_msat": base,
                "fee_proportional_millionths": rate,
                "cltv_expiry_delta": delta,
            }
            for node_id, scid, base, rate, delta in route
        ]
        for tag, route in found.tags
        if tag == "r"
    ]
    result = {
        "network": NETWORKS.get(net.NET_NAME, net.NET_NAME),
        "timestamp": str(found.date),
        "payment_hash": found.paymenthash.hex(),
        "payee": found.pubkey.serialize().hex(),
        "expiry": str(expiry),
        "min_final_cltv_expiry": found.get_min_final_cltv_delta(),
        "route_hints": hints,
    }
    amount = found.get_amount_msat()
    if amount is not None:
        result["amount_msat"] = str(amount)
    if found.payment_secret is not None:
        result["payment_secret"] = found.payment_secret.hex()
    features = lnutil.list_enabled_bits(int(found.get_features()))
    if features:
        result["features"] = features
    if found.get_tag("d") is not None:
        result["description"] = found.get_tag("d")
    if found.get_tag("h") is not None:
        result["description_hash"] = found.get_tag("h").hex()
    return result


# Sphinx


class Raw:
    """Electrum reads a payload with the layer around it. Here the payload is taken as it is."""

    def __init__(self):
        self.seen = None

    def from_fd(self, fd, *, tlv_stream_name="payload"):
        begin = fd.tell()
        length = lnmsg.read_bigsize_int(fd)
        # As Electrum has it in front of reading the fields: these two are no lengths.
        if not length or length == 1:
            raise invalid("a payload of length %s is none", length)
        if len(fd.read(length)) != length:
            raise invalid("the payload goes beyond the end of the onion")
        end = fd.tell()
        self.seen = fd.getvalue()[begin:end]
        return lnonion.OnionHopsDataSingle(
            tlv_stream_name=tlv_stream_name,
            _raw_bytes_payload=self.seen,
            hmac=fd.read(lnonion.PER_HOP_HMAC_SIZE),
        )


def hop_data(framed, stream="payload"):
    return lnonion.OnionHopsDataSingle(tlv_stream_name=stream, _raw_bytes_payload=framed)


def framed(payload):
    fd = io.BytesIO(payload)
    length = lnmsg.read_bigsize_int(fd)
    if length is None or length != len(payload) - fd.tell():
        raise invalid("param payload does not begin with its own length")
    return payload


def build(params, trampoline):
    refuse(params, "raw")
    session_key = secret_of(params, "session_key")
    associated = params.bytes("associated_data", default=b"")
    hops = params.objects("hops")
    if not hops:
        raise invalid("param hops is empty")
    keys = [hop.bytes("pubkey", 33) for hop in hops]
    data = [hop_data(framed(hop.bytes("payload"))) for hop in hops]
    if params.has("size"):
        needed = sum(len(hop.to_bytes()) for hop in data)
        size = params.u32("size")
        if size != (needed if trampoline else lnonion.HOPS_DATA_SIZE):
            raise Unsupported(
                "Electrum's trampoline onions are as large as their payloads (%d bytes)" % needed
                if trampoline
                else "Electrum's onions for payments have %d bytes" % lnonion.HOPS_DATA_SIZE
            )
    return built(keys, session_key, data, associated, trampoline=trampoline)[1]


def route_secrets(keys, session_key):
    """Electrum's shared secrets along a route, with the ephemeral secrets behind them, the blinding
    factors and the blinded node ids."""
    with watched(lnonion, "get_ecdh") as ecdh, watched(lnonion, "sha256") as factor:
        secrets, blinded = lnonion.get_shared_secrets_along_route(keys, session_key)
    ephemeral = [args[0] for args, _, _ in ecdh.calls]
    return secrets, ephemeral, [answer for _, _, answer in factor.calls], blinded


def built(keys, session_key, data, associated, **more):
    """Electrum's onion, and the result with every value on the way to it."""
    with watched(lnonion, "hmac_oneshot") as macs:
        packet = lnonion.new_onion_packet(
            keys, session_key, data, associated_data=associated, **more
        )
    secrets, ephemeral, factors, _ = route_secrets(keys, session_key)
    public = [ecc.ECPrivkey(secret).get_public_key_bytes() for secret in ephemeral]
    # The last ones are those of the packets, from the last hop to the first; the others make keys.
    size = len(packet.hops_data) + len(associated)
    layers = [(m["msg"], mac) for _, m, mac in macs.calls if len(m["msg"]) == size][-len(keys) :]
    onions = [
        bytes([packet.version]) + key + layer[: len(packet.hops_data)] + mac
        for key, (layer, mac) in zip(public, reversed(layers))
    ]
    return packet, {
        "onion": packet.to_bytes().hex(),
        "shared_secrets": hexes(secrets),
        "ephemeral_keys": hexes(public),
        "blinding_factors": hexes(factors),
        "rhos": hexes(lnonion.get_bolt04_onion_key(b"rho", secret) for secret in secrets),
        "mus": hexes(lnonion.get_bolt04_onion_key(b"mu", secret) for secret in secrets),
        "onions": hexes(onions),
    }


def peel_one(secret, onion, associated, trampoline=False, stream="payload"):
    """Payload with its length in front, shared secret, and the next onion or none."""
    packet = lnonion.OnionPacket.from_bytes(onion)
    raw = Raw()
    with replaced(lnonion.OnionHopsDataSingle, "from_fd", raw.from_fd):
        with watched(lnonion, "get_ecdh") as ecdh:
            found = lnonion.process_onion_packet(
                packet,
                secret,
                associated_data=associated,
                is_trampoline=trampoline,
                tlv_stream_name=stream,
            )
    onward = None if found.are_we_final else found.next_packet.to_bytes()
    return raw.seen, ecdh.calls[0][2], onward


def check_size(onion):
    """An onion for a payment reaches Electrum in a message that has exactly this many bytes for it."""
    size = lnonion.HOPS_DATA_SIZE + 66
    if len(onion) != size:
        raise Unsupported("Electrum reads onions for payments of %d bytes" % size)


def peel(params, trampoline):
    secret = secret_of(params, "node_secret")
    onion, associated = params.bytes("onion"), params.bytes("associated_data", default=b"")
    if trampoline:
        refuse(params, "size")
    else:
        check_size(onion)
        if params.u32("size", lnonion.HOPS_DATA_SIZE) != lnonion.HOPS_DATA_SIZE:
            raise Unsupported("Electrum reads onions for payments of one size alone")
    if params.has("path_key"):
        secret = lnonion.blinding_privkey(secret, params.bytes("path_key", 33))
    payload, shared, onward = peel_one(secret, onion, associated, trampoline)
    fd = io.BytesIO(payload)
    lnmsg.read_bigsize_int(fd)
    result = {
        "payload": payload.hex(),
        "tlvs": fd.read().hex(),
        "shared_secret": shared.hex(),
        "rho": lnonion.get_bolt04_onion_key(b"rho", shared).hex(),
        "mu": lnonion.get_bolt04_onion_key(b"mu", shared).hex(),
    }
    if onward is not None:
        result["next_onion"] = onward.hex()
    return result


def onion_peel_route(params):
    secrets = params.hexes("node_secrets", 32)
    onion, associated = params.bytes("onion"), params.bytes("associated_data", default=b"")
    check_size(onion)
    payloads, shared = [], []
    for at, secret in enumerate(secrets):
        if onion is None:
            raise invalid("the route ends at hop %d, and %d node_secrets were given", at - 1, len(secrets))
        payload, secret, onion = peel_one(secret, onion, associated)
        payloads.append(payload)
        shared.append(secret)
    if onion is not None:
        raise invalid("the last of node_secrets is not the final hop's")
    return {"payloads": hexes(payloads), "shared_secrets": hexes(shared)}


# Failures


def failure_create(params):
    refuse(params, "hold_time")
    if params.has("pad_to") and params.u32("pad_to") != 256:
        raise Unsupported("Electrum pads failures to 256 bytes")
    shared, failure = params.bytes("shared_secret", 32), params.bytes("failure")
    if len(failure) < 2:
        raise invalid("param failure has no code")
    if len(failure) > 256:
        raise Unsupported("Electrum makes failures of up to 256 bytes")
    error = lnonion.OnionRoutingFailure.from_bytes(failure)
    height = 0
    if error.code == lnonion.OnionFailureCode.INCORRECT_OR_UNKNOWN_PAYMENT_DETAILS:
        # Electrum adds the block height itself.
        if len(error.data) < 4:
            raise Unsupported("Electrum adds a block height to this failure")
        error.data, height = error.data[:-4], int.from_bytes(error.data[-4:], "big")
    with replaced(lnonion, "get_ecdh", lambda *_: shared):
        plain = lnonion.construct_onion_error(error, b"", b"", height)
        packet = lnonion.obfuscate_onion_error(plain, b"", b"")
    return {
        "packet": packet.hex(),
        "plain": plain.hex(),
        "body": plain[lnonion.PER_HOP_HMAC_SIZE :].hex(),
        "um": lnonion.get_bolt04_onion_key(b"um", shared).hex(),
        "ammag": lnonion.get_bolt04_onion_key(b"ammag", shared).hex(),
    }


def failure_wrap(params):
    refuse(params, "attribution_data", "hold_time")
    shared, packet = params.bytes("shared_secret", 32), params.bytes("packet")
    with replaced(lnonion, "get_ecdh", lambda *_: shared):
        wrapped = lnonion.obfuscate_onion_error(packet, b"", b"")
    ammag = lnonion.get_bolt04_onion_key(b"ammag", shared)
    return {"packet": wrapped.hex(), "ammag": ammag.hex()}


def failure_decode(params):
    refuse(params, "attribution_data")
    secrets, packet = params.hexes("shared_secrets", 32), params.bytes("packet")
    with replaced(lnonion, "get_shared_secrets_along_route", lambda *_: (secrets, [])):
        try:
            failure, hop = lnonion.decode_onion_error(packet, secrets, b"")
        except lnonion.FailedToDecodeOnionError:
            raise invalid("the HMAC is that of no hop")
    result = {
        "hop": hop,
        "code": int(failure.code),
        "data": failure.data.hex(),
        "failure": failure.to_bytes().hex(),
    }
    # Electrum reads the fields in the same call as the name.
    raw = failure.to_bytes()
    name = next(
        (n for n, code in lnmsg.OnionWireSerializer.msg_type_from_name.items() if code == raw[:2]), None
    )
    if name is not None:
        result["name"] = name
    fields = failure.decode_data()
    if fields is not None:
        # How long a field is, the field shows.
        shown = {n: shown_field(n, value) for n, value in fields.items() if n != "len"}
        if shown:
            result["fields"] = shown
    return result


# Fields of failures that have 64 bits, or any number of them.
LONG = ("htlc_msat", "incoming_htlc_amt", "type")


def shown_field(name, value):
    if isinstance(value, bytes):
        return value.hex()
    return str(value) if name in LONG else value


# Route blinding


def blinded_path_build(params):
    session_key = secret_of(params, "session_key")
    hops = params.objects("hops")
    if not hops:
        raise invalid("param hops is empty")
    keys = [hop.bytes("pubkey", 33) for hop in hops]
    plain = [hop.bytes("encrypted_data") for hop in hops]
    secrets, ephemeral, _, blinded = route_secrets(keys, session_key)
    encrypted = [encrypt(secret, data) for secret, data in zip(secrets, plain)]
    path_keys = [ecc.ECPrivkey(secret).get_public_key_bytes() for secret in ephemeral]
    made = {
        "first_node_id": keys[0],
        "first_path_key": path_keys[0],
        "num_hops": bytes([len(keys)]),
        "path": [
            {"blinded_node_id": key, "enclen": len(data), "encrypted_recipient_data": data}
            for key, data in zip(blinded, encrypted)
        ],
    }
    return {
        **shown_path(made),
        "path": onion_message.encode_blinded_path(made).hex(),
        "path_keys": hexes(path_keys),
        "path_secrets": hexes(ephemeral),
        "shared_secrets": hexes(secrets),
        "rhos": hexes(lnonion.get_bolt04_onion_key(b"rho", secret) for secret in secrets),
    }


def shown_path(path):
    """A blinded path as Electrum has it; one hop alone is not in a list."""
    hops = path["path"]
    return {
        "first_node_id": path["first_node_id"].hex(),
        "first_path_key": path["first_path_key"].hex(),
        "hops": [
            {
                "blinded_node_id": hop["blinded_node_id"].hex(),
                "encrypted_recipient_data": hop["encrypted_recipient_data"].hex(),
            }
            for hop in ([hops] if isinstance(hops, dict) else hops)
        ],
    }


def encrypt(shared, plain):
    """Electrum encrypts what it has written itself, so the data is read first."""
    stream = "encrypted_data_tlv"
    wire = lnmsg.OnionWireSerializer
    fields = wire.read_tlv_stream(fd=io.BytesIO(plain), tlv_stream_name=stream)
    again = io.BytesIO()
    wire.write_tlv_stream(fd=again, tlv_stream_name=stream, **fields)
    if again.getvalue() != plain:
        raise Unsupported("Electrum writes only the fields of encrypted data that it knows")
    return lnonion.encrypt_onionmsg_data_tlv(shared_secret=shared, **fields)


def open_data(secret, path_key, data):
    """What a hop of a blinded path finds: shared secret, plain data, its fields, next path keys."""
    shared = lnonion.get_ecdh(secret, path_key)
    rho = lnonion.get_bolt04_onion_key(b"rho", shared)
    plain = chacha20_poly1305_decrypt(key=rho, nonce=bytes(12), data=data)
    fields = lnonion.decrypt_onionmsg_data_tlv(shared_secret=shared, encrypted_recipient_data=data)
    derived = lnonion.next_blinding_from_shared_secret(path_key, shared)
    override = fields.get("next_path_key_override", {}).get("path_key")
    return shared, plain, fields, derived, override or derived


def blinded_path_unblind(params):
    secret, path_key = secret_of(params, "node_secret"), params.bytes("path_key", 33)
    data = params.bytes("encrypted_recipient_data")
    shared, plain, _, derived, following = open_data(secret, path_key, data)
    return {
        "tlvs": plain.hex(),
        "records": records_of(plain),
        "shared_secret": shared.hex(),
        "blinded_secret": lnonion.blinding_privkey(secret, path_key).hex(),
        "rho": lnonion.get_bolt04_onion_key(b"rho", shared).hex(),
        "next_path_key": following.hex(),
        "derived_path_key": derived.hex(),
    }


def blinded_path_keys(params):
    secret, path_key = secret_of(params, "node_secret"), params.bytes("path_key", 33)
    shared = lnonion.get_ecdh(secret, path_key)
    return {
        "shared_secret": shared.hex(),
        "rho": lnonion.get_bolt04_onion_key(b"rho", shared).hex(),
        "blinded_secret": lnonion.blinding_privkey(secret, path_key).hex(),
        "next_path_key": lnonion.next_blinding_from_shared_secret(path_key, shared).hex(),
    }


# Onion messages


def framed_message(path_key, onion):
    return ONION_MESSAGE + path_key + len(onion).to_bytes(2, "big") + onion


def onion_message_build(params):
    refuse(params, "associated_data", "version", "may_reply")
    session_key, path_key = secret_of(params, "session_key"), params.bytes("path_key", 33)
    hops = params.objects("hops")
    if not hops:
        raise invalid("param hops is empty")
    keys, data = [], []
    for at, hop in enumerate(hops):
        keys.append(hop.bytes("pubkey", 33))
        records = {}
        if hop.has("encrypted_recipient_data"):
            records[4] = hop.bytes("encrypted_recipient_data")
        for record in hop.objects("records") if hop.has("records") else []:
            if at + 1 < len(hops):
                raise Unsupported("Electrum gives hops that forward nothing but their data")
            records[record.u64("type")] = record.bytes("value")
        stream = io.BytesIO()
        for kind in sorted(records):
            lnmsg._write_tlv_record(fd=stream, tlv_type=kind, tlv_val=records[kind])
        stream = stream.getvalue()
        data.append(hop_data(lnmsg.write_bigsize_int(len(stream)) + stream, "onionmsg_tlv"))
    packet, result = built(keys, session_key, data, b"", onion_message=True)
    if params.has("size") and params.u32("size") != len(packet.hops_data):
        raise Unsupported("Electrum takes the smaller size that fits, %d bytes" % len(packet.hops_data))
    result["message"] = framed_message(path_key, packet.to_bytes()).hex()
    return result


class Log:
    """What Electrum says while it handles a message; why it drops one, it says as its last."""

    def __init__(self):
        self.said = None

    def debug(self, text):
        pass

    def info(self, text):
        self.said = text

    error = warning = info


class Handler(onion_message.OnionMessageManager):
    """Electrum's own handling of onion messages, up to the place where one is sent on, or is given to
    whoever asked for it."""

    def __init__(self, secret):
        # What the manager asks of its wallet and network, and nothing else: no peer is there, but
        # each that a message names is taken for one.
        public = ecc.ECPrivkey(secret).get_public_key_bytes()
        peers = SimpleNamespace(get_peer_by_pubkey=lambda key: key)
        keys = SimpleNamespace(privkey=secret, pubkey=public)
        self.lnwallet = SimpleNamespace(node_keypair=keys, lnpeermgr=peers)
        config = SimpleNamespace(EXPERIMENTAL_LN_FORWARD_PAYMENTS=True)
        self.network = SimpleNamespace(config=config)
        self.logger = Log()
        self.forwarded = self.received = None

    def _get_request_for_path_id(self, recipient_data):
        return None

    def on_onion_message_received_unsolicited(self, recipient_data, payload):
        self.received = (recipient_data, payload)

    def submit_forward(self, *, onion_packet, blinding, node_id):
        self.forwarded = (onion_packet.to_bytes(), blinding, node_id)


def onion_message_peel(params):
    refuse(params, "features_used", "channels", "reply_paths")
    secret = secret_of(params, "node_secret")
    if params.has("message"):
        message = params.bytes("message")
        if message[:2] != ONION_MESSAGE or len(message) < 37:
            raise invalid("this is no onion message")
        path_key, size = message[2:35], int.from_bytes(message[35:37], "big")
        onion = message[37 : 37 + size]
        if len(onion) != size:
            raise invalid("the message is shorter than it says")
    else:
        path_key, onion = params.bytes("path_key", 33), params.bytes("onion")
    handler = Handler(secret)
    try:
        handler.on_onion_message(
            {"path_key": path_key, "len": len(onion), "onion_message_packet": onion}
        )
    except KeyError as missing:
        # So Electrum stops where a field is not there that it takes for granted.
        raise invalid("there is no %s", missing)
    if handler.forwarded is None and handler.received is None:
        raise invalid("%s", handler.logger.said or "Electrum drops the message")
    # Once more, for what Electrum does not hand on: the bytes that it has read.
    payload, _, _ = peel_one(
        lnonion.blinding_privkey(secret, path_key), onion, b"", stream="onionmsg_tlv"
    )
    fd = io.BytesIO(payload)
    lnmsg.read_bigsize_int(fd)
    records = records_of(fd.read())
    result = {"records": records, "final": handler.received is not None}
    data = [bytes.fromhex(r["value"]) for r in records if r["type"] == "4"]
    _, plain, inner, _, _ = open_data(secret, path_key, data[0])
    result["encrypted_data"] = {"records": records_of(plain)}
    if "path_id" in inner:
        result["encrypted_data"]["path_id"] = inner["path_id"]["data"].hex()
    if handler.forwarded is not None:
        onward, following, node_id = handler.forwarded
        result["next"] = {
            "node_id": node_id.hex(),
            "path_key": following.hex(),
            "message": framed_message(following, onward).hex(),
        }
        return result
    _, fields = handler.received
    if "reply_path" in fields:
        result["reply_path"] = shown_path(fields["reply_path"]["path"])
    # BOLT 4 keeps these types for what a message is about.
    about = [record for record in records if int(record["type"]) >= 64]
    if about:
        result["payload"] = about[0]
    return result


OPERATIONS = {
    "bigsize.decode": bigsize_decode,
    "bigsize.encode": bigsize_encode,
    "tlv.decode": tlv_decode,
    "features.decode": features_decode,
    "bolt11.decode": bolt11_decode,
    "onion.build": lambda params: build(params, trampoline=False),
    "onion.trace": lambda params: build(params, trampoline=False),
    "onion.peel": lambda params: peel(params, trampoline=False),
    "onion.peel_route": onion_peel_route,
    "onion.failure.create": failure_create,
    "onion.failure.plain": failure_create,
    "onion.failure.wrap": failure_wrap,
    "onion.failure.decode": failure_decode,
    "blinded_path.build": blinded_path_build,
    "blinded_path.trace": blinded_path_build,
    "blinded_path.keys": blinded_path_keys,
    "blinded_path.unblind": blinded_path_unblind,
    "trampoline.build": lambda params: build(params, trampoline=True),
    "trampoline.peel": lambda params: peel(params, trampoline=True),
    "onion_message.build": onion_message_build,
    "onion_message.peel": onion_message_peel,
}

# Faults of this file rather than refusals of Electrum.
OWN_FAULTS = (TypeError, AttributeError, NameError, KeyError)


def call(op, params):
    """Answers one operation.

    Whatever Electrum raises while it reads is its refusal: it has no one class for that.
    """
    try:
        return OPERATIONS[op](params)
    except (Refused, Unsupported):
        raise
    except OWN_FAULTS:
        raise
    except Exception as error:
        name, text = type(error).__name__, str(error)
        raise invalid("%s", "%s: %s" % (name, text) if text else name)
