"""The node behind the adapter: one Electrum daemon, a child of this process, asked over JSON-RPC.

The daemon has folders, ports and credentials of its own, listens on 127.0.0.1 alone, takes its
chain from the Electrum server that `node.start` names, and ends with this process.

Electrum tells no events. What `event.next` answers is found in its lightning history and in the
state of its hold invoices, which are read while somebody waits for an event.
"""

import base64
import concurrent.futures
import contextlib
import decimal
import hashlib
import http.client
import json
import os
import re
import secrets
import signal
import socket
import subprocess
import sys
import threading
import time
import traceback
import urllib.parse

import home
from common import Params, Refused, Unsupported, invalid

# Seconds.
START = 55
STOP = 4
CALL = 20
LOOK_EVERY = 0.05
HISTORY_EVERY = 0.05
# Bytes: the longest answer of Electrum's, and what is read of the end of its log.
ANSWER = 32 << 20
TAIL = 64 << 10
SATOSHI = decimal.Decimal(100_000_000)

# Electrum's own settings that `invoice.pay` makes for one payment, by the names of its params.
SETTINGS = {
    # True: the payment is split even where it need not be.
    "split": "test_force_mpp",
    # The level of trampoline fees to begin with: 0 offers none, each level doubles.
    "fee_level": "initial_trampoline_fee_level",
}
# Electrum's numbers for the ways of a payment; a payment of its own to itself is not told.
DIRECTIONS = {0: "payment-sent", 1: "payment-received", 3: "payment-forwarded"}
OPTIONS = ["forwards", "announce", "gossip", "attempts"]


def refused(message, *args):
    return Refused("rejected", message % args if args else message)


def timeout(message, *args):
    return Refused("timeout", message % args if args else message)


def internal(message, *args):
    return Refused("internal", message % args if args else message)


def deadline(params, default_ms):
    return time.monotonic() + params.u32("deadline_ms", default_ms) / 1000


def btc(sat):
    """An amount as Electrum's commands take it, exactly."""
    return str(decimal.Decimal(sat) / SATOSHI)


def satoshi(text):
    return int(decimal.Decimal(text) * SATOSHI)


def loopback(name, text):
    """Host and port of an address on this machine."""
    host, _, port = text.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 65536:
        raise invalid("param %s is %s, not address:port", name, text)
    if host not in ("127.0.0.1", "localhost", "::1"):
        raise refused("%s %s is not loopback", name, text)
    return host, int(port)


def node_key(params, name):
    return params.bytes(name, 33).hex()


class CallError(Exception):
    """A command without a result. `kind`: `rejected` (Electrum refused it), `timeout` (no answer in
    time) or `internal` (no connection, or what came is no answer)."""

    def __init__(self, kind, message, *args):
        super().__init__(message % args)
        self.kind = kind


class Rpc:
    """Electrum's JSON-RPC, a connection a call."""

    def __init__(self, port, user, password):
        self.port = port
        token = base64.b64encode(("%s:%s" % (user, password)).encode()).decode()
        self.headers = {"Authorization": "Basic " + token, "Content-Type": "application/json"}

    def call(self, method, limit=CALL, **params):
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=limit)
        body = json.dumps({"id": 1, "jsonrpc": "2.0", "method": method, "params": params})
        end = time.monotonic() + limit
        try:
            connection.request("POST", "/", body, self.headers)
            response = connection.getresponse()
            text = self.read(method, response, end)
        except (socket.timeout, TimeoutError):
            raise CallError("timeout", "electrum has not answered %s within %d s", method, limit)
        except (OSError, http.client.HTTPException) as error:
            raise CallError("internal", "electrum's interface at %s: %s", method, error)
        finally:
            connection.close()
        if response.status != 200:
            raise CallError("internal", "electrum's answer to %s is HTTP %d", method, response.status)
        try:
            answer = json.loads(text)
        except (ValueError, RecursionError) as error:
            raise CallError("internal", "electrum's answer to %s is no JSON: %s", method, error)
        if not isinstance(answer, dict):
            raise CallError("internal", "electrum's answer to %s is no object", method)
        error = answer.get("error")
        if error is not None:
            # An exception of Electrum's that it does not show to its users is in the data.
            more = error.get("data") or {}
            message = more.get("exception") or error.get("message")
            raise CallError("rejected", "%s: %s", method, message)
        return answer.get("result")

    def read(self, method, response, end):
        """The body, of a length and in a time that are bounded: a socket's own limit is one for
        each piece."""
        pieces, size = [], 0
        while piece := response.read1(1 << 16):
            size += len(piece)
            if size > ANSWER:
                raise CallError(
                    "internal", "electrum's answer to %s has more than %d bytes", method, ANSWER
                )
            if time.monotonic() > end:
                raise TimeoutError
            pieces.append(piece)
        return b"".join(pieces)


class Config:
    """What `node.start` asks for; what can be refused without a node is refused here."""

    def __init__(self, params):
        network = params.text("network")
        if network != "regtest":
            raise refused("network %s is refused: this adapter runs nodes on regtest only", network)
        self.data_dir = os.path.abspath(params.text("data_dir"))
        chain = params.object("chain")
        if not chain.has("electrum"):
            raise invalid("param chain has no electrum; this adapter needs an Electrum server")
        url = urllib.parse.urlsplit(chain.text("electrum"))
        if url.scheme != "tcp":
            raise invalid("param chain.electrum is no tcp://HOST:PORT")
        self.server = loopback("chain.electrum", url.netloc)
        self.listen = params.text("listen") if params.has("listen") else None
        if self.listen is not None:
            loopback("listen", self.listen)
        self.alias = params.text("alias", "electrum")
        options = params.object("options") if params.has("options") else Params({})
        for name in options.values:
            if name not in OPTIONS:
                raise Unsupported("electrum has no option %s" % name)
        # Announcing is Electrum's own decision: it does so with announced channels.
        options.flag("announce")
        self.forwards = options.flag("forwards")
        # With gossip it finds its routes itself; without, it asks trampolines to.
        self.gossip = options.flag("gossip", self.forwards)
        # How often a payment over a trampoline is tried: Electrum has 30 and no setting for it.
        self.attempts = options.u32("attempts") if options.has("attempts") else None

    def write(self, port, user, password):
        """Electrum's own file of settings, for its owner alone."""
        host, server_port = self.server
        settings = {
            # Without it Electrum takes the file for one of an older version, and rewrites it.
            "config_version": 3,
            "server": "%s:%d:t" % (host, server_port),
            "oneserver": True,
            "auto_connect": False,
            "check_updates": False,
            "rpchost": "127.0.0.1",
            "rpcport": port,
            "rpcuser": user,
            "rpcpassword": password,
            "rpcsock": "tcp",
            "log_to_file": False,
            "use_gossip": self.gossip,
            "nostr_relays": "",
            "lightning_node_alias": self.alias,
            "lightning_forward_payments": self.forwards,
            "lightning_forward_trampoline_payments": self.forwards,
            # What the fees of a chain without history would be is given to it instead.
            "test_disable_automatic_fee_eta_update": True,
            # Electrum would hide itself from whoever looks for what a killed run left.
            "disable_memory_hardening_linux": True,
        }
        if self.listen is not None:
            settings["lightning_listen"] = self.listen
        folder = os.path.join(self.data_dir, "regtest")
        os.makedirs(folder, mode=0o700, exist_ok=True)
        file = os.path.join(folder, "config")
        fd = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(fd, "w") as out:
            json.dump(settings, out, indent=1)
        # What a daemon leaves that was killed; it holds no lock.
        with_lock = os.path.join(folder, "daemon")
        if os.path.exists(with_lock):
            os.unlink(with_lock)


def free_port():
    """A port of 127.0.0.1 that nobody has just now. The system serves them in turn, so that it is not
    the next one that it gives to somebody else."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


class Events:
    """What was seen, in order, numbered from 1 across restarts of the node."""

    def __init__(self):
        self.seen, self.known = [], set()
        self.lock = threading.Lock()

    def push(self, kind, key, fields):
        """An event, unless that of this key was told."""
        with self.lock:
            if (kind, key) in self.known:
                return
            self.known.add((kind, key))
            self.seen.append({"seq": len(self.seen) + 1, "kind": kind, **fields})

    def after(self, seq, kinds, values):
        """The first event after `seq` of one of `kinds` (None: of any). `values`, by field, passes over
        those that have the field with another value."""
        with self.lock:
            for event in self.seen[seq:]:
                wanted = kinds is None or event["kind"] in kinds
                other = any(f in event and event[f] not in v for f, v in values.items())
                if wanted and not other:
                    return event
        return None

    def last(self):
        with self.lock:
            return ", ".join("%d %s" % (e["seq"], e["kind"]) for e in self.seen[-8:]) or "none"


class Daemon:
    """A running daemon with its wallet."""

    def __init__(self, config, spawner, closing):
        """`closing()` tells that the adapter is to end, and nobody waits for the daemon."""
        self.config, self.stopping, self.closing = config, False, closing
        user, password = "lnconform", secrets.token_hex(16)
        port = free_port()
        try:
            config.write(port, user, password)
        except OSError as error:
            raise refused("data_dir %s cannot be used: %s", config.data_dir, error)
        self.log = os.path.join(config.data_dir, "electrum.log")
        out = open(self.log, "ab")
        begin = out.tell()
        here = os.path.dirname(os.path.abspath(__file__))
        command = [sys.executable, "-B", "-E", "-s", os.path.join(here, "daemon.py")]
        command += ["--regtest", "-D", config.data_dir, "-v", "daemon"]
        env = {**os.environ, "ELECTRUM_ADAPTER_PID": str(os.getpid())}
        if config.attempts is not None:
            env["ELECTRUM_ADAPTER_ATTEMPTS"] = str(config.attempts)

        def launch():
            # In the adapter's own process group: whoever stops the group stops the daemon with it.
            return subprocess.Popen(
                command, stdin=subprocess.DEVNULL, stdout=out, stderr=out, env=env, cwd=config.data_dir
            )

        # The kernel kills the daemon with the thread that started it, so it is one that stays.
        try:
            self.process = spawner.submit(launch).result()
        finally:
            out.close()
        self.rpc = Rpc(port, user, password)
        try:
            self.ready(begin)
        except BaseException:
            self.kill()
            raise

    def ready(self, begin):
        """Waits for an answer, makes or loads the wallet, and waits for the chain."""
        end, seen = time.monotonic() + START, "not asked yet"
        while True:
            if self.process.poll() is not None:
                raise refused(
                    "electrum ended before it answered (code %s): %s",
                    self.process.returncode,
                    self.tail(begin),
                )
            try:
                self.rpc.call("ping", limit=5)
                break
            except CallError as error:
                seen = str(error)
            self.check_wanted()
            if time.monotonic() > end:
                raise timeout("electrum does not answer %d s after its start (%s): %s", START, seen, self.tail(begin))
            time.sleep(LOOK_EVERY)
        wallet = os.path.join(self.config.data_dir, "regtest", "wallets", "default_wallet")
        if not os.path.exists(wallet):
            self.ask("create", seed_type="segwit")
        self.ask("load_wallet")
        # Satoshi for 1000 virtual bytes.
        self.ask("test_inject_fee_etas", fee_est="{2: 4000}")
        self.node_id = self.ask("nodeid").split("@")[0]
        while not self.ask("getinfo")["connected"]:
            self.check_wanted()
            if time.monotonic() > end:
                raise timeout("electrum did not reach its server: %s", self.tail(begin))
            time.sleep(LOOK_EVERY)

    def check_wanted(self):
        if self.closing():
            raise refused("the adapter was shut down while electrum started")

    def tail(self, begin):
        with open(self.log, "rb") as log:
            log.seek(max(begin, os.path.getsize(self.log) - TAIL))
            lines = [l for l in log.read().decode("utf-8", "replace").splitlines() if l.strip()]
        return " | ".join(lines[-4:])[:800]

    def ask(self, method, limit=CALL, **params):
        """A command of which an error is Electrum's refusal."""
        try:
            return self.rpc.call(method, limit, **params)
        except CallError as error:
            if self.process.poll() is not None and not self.stopping:
                raise internal("electrum has ended with code %s", self.process.returncode)
            raise Refused(error.kind, str(error))

    def stop(self, limit=STOP):
        """Asks it to stop and waits for its end, both within `limit`; kills it after that."""
        self.stopping, end = True, time.monotonic() + limit
        try:
            self.rpc.call("stop", limit=limit)
            self.process.wait(max(0, end - time.monotonic()))
            return
        except CallError as error:
            why = "electrum cannot be asked to stop: %s" % error
        except subprocess.TimeoutExpired:
            why = "electrum did not stop within %.1f s" % limit
        self.kill()
        raise internal("%s; it was killed", why)

    def kill(self):
        self.stopping = True
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGKILL)
        self.process.wait()


class Payment:
    """A payment that was sent, until its end."""

    def __init__(self):
        self.done = threading.Event()
        self.result = None

    def end(self, result):
        self.result = result
        self.done.set()


def failure_code(name):
    """The number of a failure that Electrum shows by its name."""
    home.prepare()
    from electrum.lnonion import OnionFailureCode

    try:
        return int(OnionFailureCode[name])
    except KeyError:
        number = re.search(r"\d+", name)
        return int(number.group()) if number else None


def attempt(entry):
    """One line of the log that `lnpay` answers: hops, channel, `Success` or the failure's name."""
    hops, _, said = entry
    shown = {"hops": int(hops)}
    if said == "Success":
        return {**shown, "status": "succeeded"}
    failure, code = {"reason": said}, failure_code(said)
    if code is not None:
        failure["code"] = code
    return {**shown, "status": "failed", "failure": failure}


class Node:
    """The node operations. At most one daemon runs at a time."""

    NAMES = [
        "node.start",
        "node.stop",
        "chain.sync",
        "wallet.new_address",
        "wallet.balance",
        "peer.connect",
        "peer.list",
        "channel.open",
        "channel.list",
        "invoice.create",
        "invoice.pay",
        "payment.wait",
        "payment.settle",
        "payment.cancel",
        "event.next",
    ]

    def __init__(self):
        self.lock = threading.Lock()
        self.daemon = None
        self.is_closing = False
        self.events = Events()
        # What is told of a node's own doing is kept here, since a daemon does not tell it.
        self.held, self.payments = set(), {}
        self.polling = threading.Lock()
        self.spawner = concurrent.futures.ThreadPoolExecutor(1, "spawner")
        # Its thread begins with the first work that it gets.
        self.spawner.submit(lambda: None).result()

    def call(self, op, params):
        try:
            return getattr(self, op.replace(".", "_"))(params)
        except CallError as error:
            raise Refused(error.kind, str(error))
        except (ArithmeticError, AttributeError, LookupError, TypeError, ValueError) as fault:
            traceback.print_exc()
            # A field is missing, or of another type: so it is with another version.
            raise internal(
                "what electrum %s answers for %s is not what this adapter reads: %r",
                home.version(),
                op,
                fault,
            )

    def closing(self):
        self.is_closing = True

    def shutdown(self, limit):
        with self.lock:
            daemon, self.daemon = self.daemon, None
        if daemon is not None:
            try:
                daemon.stop(limit)
            except Refused as why:
                print("adapter: %s" % why, file=sys.stderr)

    def running(self):
        daemon = self.daemon
        if daemon is None:
            raise refused("no node is running; node.start comes first")
        return daemon

    def until(self, end, what, look):
        """Waits for `look` to answer something, and says what it saw last when it does not."""
        while True:
            found, seen = look()
            if found is not None:
                return found
            if time.monotonic() > end or self.is_closing:
                raise timeout("%s by the deadline: %s", what, seen)
            time.sleep(LOOK_EVERY)

    # The node

    def node_start(self, params):
        config = Config(params)
        with self.lock:
            if self.daemon is not None:
                raise refused("the node is running; node.stop comes first")
            self.daemon = Daemon(config, self.spawner, lambda: self.is_closing)
            daemon = self.daemon
        result = {
            "node_id": daemon.node_id,
            "version": home.version(),
            "pid": daemon.process.pid,
        }
        if config.listen is not None:
            result["address"] = config.listen
        return result

    def node_stop(self, params):
        how = params.text("how", "clean")
        if how not in ("clean", "kill"):
            raise invalid("param how is %s, not clean or kill", how)
        with self.lock:
            daemon = self.running()
            self.daemon = None
        if how == "kill":
            daemon.kill()
        else:
            daemon.stop()
        return {}

    def chain_sync(self, params):
        height, end = params.u32("height"), deadline(params, 25_000)
        daemon = self.running()

        def look():
            at = daemon.ask("getinfo")["blockchain_height"]
            synced = daemon.ask("is_synchronized")
            seen = "it is %d, synchronized %s" % (at, synced)
            return (at if at >= height and synced else None), seen

        return {"height": self.until(end, "height %d was not reached" % height, look)}

    def wallet_new_address(self, _):
        return {"address": self.running().ask("getunusedaddress")}

    def wallet_balance(self, _):
        balance = self.running().ask("getbalance")
        confirmed = satoshi(balance["confirmed"])
        return {
            "confirmed_sat": str(confirmed),
            "total_sat": str(confirmed + satoshi(balance.get("unconfirmed", "0"))),
            "lightning_sat": str(satoshi(balance.get("lightning", "0"))),
        }

    # Peers and channels

    def connect(self, daemon, peer, address, end):
        loopback("address", address)

        def look():
            try:
                daemon.rpc.call("add_peer", connection_string="%s@%s" % (peer, address))
            except CallError as error:
                return None, str(error)
            there = [p for p in daemon.ask("list_peers") if p["node_id"] == peer and p["initialized"]]
            return (True if there else None), "it is not among the peers"

        self.until(end, "%s is not connected" % peer, look)

    def peer_connect(self, params):
        peer, address = node_key(params, "node_id"), params.text("address")
        end = deadline(params, 10_000)
        self.connect(self.running(), peer, address, end)
        return {}

    def peer_list(self, _):
        return [
            {"node_id": p["node_id"], "connected": bool(p["initialized"])}
            for p in self.running().ask("list_peers")
        ]

    def channel_open(self, params):
        peer, address = node_key(params, "node_id"), params.text("address")
        capacity, push = params.u64("capacity_sat"), params.u64("push_msat", 0)
        announce, end = params.flag("announce"), deadline(params, 25_000)
        if push % 1000:
            raise invalid("param push_msat is %d; electrum pushes whole satoshis", push)
        daemon = self.running()
        self.connect(daemon, peer, address, end)
        funding = daemon.ask(
            "open_channel",
            limit=max(1, end - time.monotonic()),
            connection_string="%s@%s" % (peer, address),
            amount=btc(capacity),
            push_amount=btc(push // 1000),
            public=announce,
        )
        return {"funding": funding}

    def channel_list(self, _):
        """`outbound_msat` and `inbound_msat` leave out the reserve; Electrum shows whole satoshis."""
        shown = []
        for c in self.running().ask("list_channels"):
            ready = c["state"] == "OPEN"
            if c["state"] in ("CLOSED", "REDEEMED"):
                continue
            unsettled = c["local_unsettled_sent"] + c["remote_unsettled_sent"]
            channel = {
                "peer": c["remote_pubkey"],
                "usable": ready and c["peer_state"] == "GOOD",
                "ready": ready,
                "funding": c["channel_point"],
                "capacity_sat": str(c["capacity"]),
                "outbound_msat": str(max(0, c["local_balance"] - c["local_reserve"]) * 1000),
                "inbound_msat": str(max(0, c["remote_balance"] - c["remote_reserve"]) * 1000),
                "local_msat": str(c["local_balance"] * 1000),
                "remote_msat": str(c["remote_balance"] * 1000),
                # Electrum shows what is under way as a sum.
                "htlcs": 1 if unsettled else 0,
            }
            if c["short_channel_id"]:
                channel["scid"] = c["short_channel_id"]
            shown.append(channel)
        return shown

    # Payments

    def invoice_create(self, params):
        amount = params.u64("amount_msat", 0)
        if amount % 1000:
            raise Unsupported("electrum's commands make invoices of whole satoshis")
        for name in ("preimage", "description_hash", "amp"):
            if params.has(name):
                raise Unsupported("electrum's commands make no invoice with a given %s" % name)
        asked = {"memo": params.text("description", ""), "expiry": params.u64("expiry", 3600)}
        if params.has("payment_hash"):
            payment_hash = params.bytes("payment_hash", 32).hex()
            made = self.running().ask(
                "add_hold_invoice", payment_hash=payment_hash, amount=btc(amount // 1000), **asked
            )
            self.held.add(payment_hash)
            return {"invoice": made["invoice"], "payment_hash": payment_hash}
        made = self.running().ask("add_request", amount=btc(amount // 1000), lightning=True, **asked)
        return {"invoice": made["lightning_invoice"], "payment_hash": made["rhash"]}

    def invoice_pay(self, params):
        invoice = params.text("invoice")
        for name in ("amount_msat", "amp", "max_parts", "max_shard_msat", "records"):
            if params.has(name):
                raise Unsupported("electrum's lnpay takes no %s" % name)
        asked, settings = {"invoice": invoice}, {}
        if params.has("max_fee_msat"):
            asked["max_fee_msat"] = params.u64("max_fee_msat")
        if params.has("split"):
            settings[SETTINGS["split"]] = str(params.flag("split"))
        if params.has("fee_level"):
            settings[SETTINGS["fee_level"]] = str(params.u32("fee_level"))
        daemon = self.running()
        for setting, value in settings.items():
            daemon.ask("setconfig", key=setting, value=value)
        payment, name = Payment(), str(len(self.payments) + 1)
        self.payments[name] = payment

        def pay():
            try:
                payment.end(self.paid(daemon, daemon.rpc.call("lnpay", limit=150, **asked)))
            except CallError as error:
                payment.end({"status": "failed", "failure": {"reason": str(error)}})
            except Exception as error:
                payment.end({"status": "failed", "failure": {"reason": repr(error)}})
            finally:
                for setting in settings:
                    with contextlib.suppress(CallError):
                        daemon.rpc.call("unsetconfig", key=setting)

        threading.Thread(target=pay, name="pay", daemon=True).start()
        return {"payment": name}

    def paid(self, daemon, told):
        """The end of a payment, from what `lnpay` answers."""
        log = [attempt(entry) for entry in told["log"]]
        result = {
            "status": "succeeded" if told["success"] else "failed",
            "payment_hash": told["payment_hash"],
            "attempts": log,
            "parts": 0,
        }
        if told["success"]:
            result["preimage"] = told["preimage"]
            fee = self.fee_of(daemon, told["payment_hash"])
            if fee is not None:
                result["fee_msat"] = str(fee)
            sent = self.parts(daemon, told["payment_hash"])
            result["parts"] = sum(1 for part in sent if not part["received"])
        else:
            failures = [a["failure"] for a in log if "failure" in a]
            result["failure"] = failures[-1] if failures else {"reason": "electrum sent nothing"}
        return result

    def fee_of(self, daemon, payment_hash):
        """What was paid above the invoice's amount; HTLCs that are still being settled count as fee
        with Electrum, so none may be."""
        end = time.monotonic() + 5
        while time.monotonic() < end:
            under_way = [
                c
                for c in daemon.rpc.call("list_channels")
                if c["local_unsettled_sent"] and c["state"] == "OPEN"
            ]
            if not under_way:
                for item in daemon.rpc.call("lightning_history"):
                    if item["payment_hash"] == payment_hash and item["fee_msat"] is not None:
                        return item["fee_msat"]
                return None
            time.sleep(LOOK_EVERY)
        return None

    def payment_wait(self, params):
        name, end = params.text("payment"), deadline(params, 25_000)
        payment = self.payments.get(name)
        if payment is None:
            raise refused("there is no payment %s", name)
        while not payment.done.wait(0.05):
            if time.monotonic() > end or self.is_closing:
                raise timeout("payment %s has not ended by the deadline", name)
        return payment.result

    def payment_settle(self, params):
        preimage = params.bytes("preimage", 32)
        if hashlib.sha256(preimage).digest() != params.bytes("payment_hash", 32):
            raise refused("param preimage is not the one of param payment_hash")
        self.running().ask("settle_hold_invoice", preimage=preimage.hex())
        return {}

    def payment_cancel(self, params):
        payment_hash = params.bytes("payment_hash", 32).hex()
        self.running().ask("cancel_hold_invoice", payment_hash=payment_hash)
        self.held.discard(payment_hash)
        return {}

    # Events

    def event_next(self, params):
        seq = params.values.get("after", 0)
        if isinstance(seq, str):
            seq = params.u64("after")
        elif type(seq) is not int or seq < 0:
            raise invalid("param after is no number of an event")
        kinds = None
        if params.has("kinds"):
            kinds = params.list("kinds")
            if not all(isinstance(kind, str) for kind in kinds):
                raise invalid("param kinds holds something that is no name")
        values = params.object("where").values if params.has("where") else {}
        for field, wanted in values.items():
            if not isinstance(wanted, list):
                raise invalid("param where has no list of values for %s", field)
        end = deadline(params, 15_000)
        daemon = self.running()
        while True:
            event = self.events.after(seq, kinds, values)
            if event is not None:
                return event
            if self.daemon is not daemon:
                raise refused("the node was stopped before an event came")
            self.look(daemon)
            event = self.events.after(seq, kinds, values)
            if event is not None:
                return event
            if time.monotonic() > end or self.is_closing:
                raise timeout(
                    "no event %s by the deadline; seen: %s", kinds or "at all", self.events.last()
                )
            time.sleep(HISTORY_EVERY)

    def look(self, daemon):
        """Reads what is new."""
        with self.polling:
            try:
                history = daemon.rpc.call("lightning_history")
                for payment_hash in sorted(self.held):
                    self.look_held(daemon, payment_hash)
            except CallError as error:
                if self.daemon is daemon and daemon.process.poll() is not None:
                    raise internal("electrum has ended with code %s", daemon.process.returncode)
                print("adapter: %s" % error, file=sys.stderr)
                return
            for item in history:
                if item["type"] == "payment":
                    self.look_payment(daemon, item)

    def look_held(self, daemon, payment_hash):
        held = daemon.rpc.call("check_hold_invoice", payment_hash=payment_hash)
        if held["status"] == "paid":
            amount = str(held["received_amount_sat"] * 1000)
            self.events.push(
                "payment-held", payment_hash, {"payment_hash": payment_hash, "amount_msat": amount}
            )

    def look_payment(self, daemon, item):
        payment_hash, amount = item["payment_hash"], item["amount_msat"]
        fields = {"payment_hash": payment_hash}
        if item["preimage"]:
            fields["preimage"] = item["preimage"]
        kind = DIRECTIONS.get(item["direction"])
        if kind is None or (kind, payment_hash) in self.events.known:
            return
        parts = self.parts(daemon, payment_hash)
        if any(not part["settled"] for part in parts):
            # Of several HTLCs some are settled earlier than others; it is told once, with all.
            return
        inbound = [{"amount_msat": part["amount_msat"]} for part in parts if part["received"]]
        if kind == "payment-forwarded":
            fields["fee_msat"] = str(amount)
            outbound = [part for part in parts if not part["received"]]
            fields["amount_msat"] = str(sum(int(part["amount_msat"]) for part in outbound))
            fields["parts_in"], fields["parts_out"] = len(inbound), len(outbound)
        else:
            fields["amount_msat"] = str(abs(amount))
            if kind == "payment-received":
                fields["parts"] = inbound
        self.events.push(kind, payment_hash, fields)

    def parts(self, daemon, payment_hash):
        """The HTLCs of a payment in all channels, without those that failed."""
        found = []
        for channel in daemon.rpc.call("list_channels"):
            if channel["state"] in ("CLOSED", "REDEEMED"):
                continue
            point = channel["channel_point"]
            htlcs = daemon.rpc.call("list_channel_htlcs", channel_point=point)
            for state in ("settled", "inflight"):
                for htlc in htlcs[state]:
                    if htlc["payment_hash"] == payment_hash:
                        found.append(
                            {
                                "amount_msat": str(htlc["amount"]),
                                "received": htlc["direction"] == "IN",
                                "settled": state == "settled",
                            }
                        )
        return found
