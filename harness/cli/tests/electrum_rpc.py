"""How the Electrum adapter takes what its daemon answers: in bounds, and with whose fault it is.

    electrum_rpc.py FOLDER        FOLDER holds the adapter; Electrum itself is not needed
"""

import contextlib
import http.server
import io
import sys
import threading

sys.dont_write_bytecode = True
sys.path.insert(0, sys.argv[1])

import home  # noqa: E402
import node  # noqa: E402
from common import Params, Refused  # noqa: E402

node.ANSWER = 1 << 20
home.version = lambda: "4"
DONE = threading.Event()


class Daemon(http.server.BaseHTTPRequestHandler):
    """Answers each request with what the test has put into `answer`."""

    def do_POST(self):
        self.rfile.read(int(self.headers["content-length"]))
        status, body, slowly = self.server.answer
        if body is None:
            DONE.wait(20)
            return
        self.send_response(status)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        with contextlib.suppress(OSError):
            if not slowly:
                self.wfile.write(body)
                return
            for at in range(len(body)):
                self.wfile.write(body[at : at + 1])
                self.wfile.flush()
                if DONE.wait(0.02):
                    return

    def log_message(self, *_):
        pass


def failure(work):
    """Kind and words of a refusal."""
    try:
        result = work()
    except (node.CallError, Refused) as error:
        return "%s: %s" % (error.kind, error)
    raise AssertionError("answered %r" % (result,))


server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Daemon)
server.daemon_threads = True
threading.Thread(target=server.serve_forever, daemon=True).start()
rpc = node.Rpc(server.server_port, "u", "p")

server.answer = 200, b'{"result": {"a": 1}}', False
assert rpc.call("getinfo", limit=20) == {"a": 1}

for answer, limit, said in [
    ((200, None, False), 0.2, "timeout: electrum has not answered getinfo within"),
    # Each piece comes in time, and all of them do not.
    ((200, b" " * 200, True), 0.3, "timeout: electrum has not answered getinfo within"),
    ((200, b"x" * (node.ANSWER + 1), False), 20, "has more than 1048576 bytes"),
    ((500, b"", False), 20, "internal: electrum's answer to getinfo is HTTP 500"),
    ((200, b"hello", False), 20, "internal: electrum's answer to getinfo is no JSON"),
    ((200, b"[" * 100_000, False), 20, "internal: electrum's answer to getinfo is no JSON"),
    ((200, b"[1]", False), 20, "internal: electrum's answer to getinfo is no object"),
    ((200, b'{"error": {"message": "no such"}}', False), 20, "rejected: getinfo: no such"),
    (
        (200, b'{"error": {"message": "x", "data": {"exception": "no route"}}}', False),
        20,
        "rejected: getinfo: no route",
    ),
]:
    server.answer = answer
    told = failure(lambda: rpc.call("getinfo", limit=limit))
    assert said in told, told

# A field that is not there is no fault of whoever asked.
operations = node.Node()
operations.daemon = type("Fake", (), {"ask": lambda *_, **__: {}})()
with contextlib.redirect_stderr(io.StringIO()):
    told = failure(lambda: operations.call("wallet.balance", Params({})))
assert told.startswith("internal: what electrum 4 answers for wallet.balance"), told

operations.daemon = None
for op in operations.NAMES:
    told = failure(lambda: operations.call(op, Params({})))
    assert told.startswith("invalid: ") or "node.start comes first" in told, (op, told)

told = failure(
    lambda: operations.call(
        "payment.settle", Params({"preimage": "07" * 32, "payment_hash": "07" * 32})
    )
)
assert told == "rejected: param preimage is not the one of param payment_hash", told

# Events are kept, each once, and passed over by kind, number and value.
events = node.Events()
for key, amount in [("a", "1"), ("a", "9"), ("b", "2")]:
    events.push("payment-received", key, {"payment_hash": key, "amount_msat": amount})
events.push("payment-sent", "a", {"payment_hash": "a"})
for seq, kinds, values, found in [
    (0, None, {}, 1),
    (1, None, {}, 2),
    (0, ["payment-sent"], {}, 3),
    (0, None, {"payment_hash": ["b", "c"]}, 2),
    # A field that an event does not have says nothing against it.
    (1, None, {"amount_msat": ["1"]}, 3),
]:
    assert events.after(seq, kinds, values)["seq"] == found, (seq, kinds, values)
assert events.after(3, None, {}) is None
told = failure(lambda: operations.call("event.next", Params({"where": {"payment_hash": "b"}})))
assert told == "invalid: param where has no list of values for payment_hash", told

DONE.set()
server.shutdown()
server.server_close()
told = failure(lambda: rpc.call("getinfo", limit=20))
assert told.startswith("internal: electrum's interface at getinfo: "), told
