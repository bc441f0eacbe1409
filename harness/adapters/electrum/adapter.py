#!/usr/bin/env python3
"""The adapter `electrum`: Electrum's own onion and invoice code as codec, and its daemon as node.

It speaks the protocol of `docs/adapter.md` on standard input and output. With `--codec` it has the
codec operations alone, with `--node` those of a node. `--version` prints name and version, and ends;
that shows that everything it needs can be imported.
"""

import json
import os
import sys
import threading
import time
import traceback

import home
from common import Params, Refused, Unsupported

PROTOCOL = 1
# Seconds from `shutdown` to the end; the protocol allows 5.
SHUTDOWN = 4.5
SOURCE = "https://github.com/spesmilo/electrum"
# What the node's payments speak, and where the node takes its chain from.
DIALECTS = ["trampoline/electrum", "trampoline/acinq-legacy", "chain/electrum"]


class Codec:
    """The codec operations. Electrum is imported with the first of them, unless that was done before:
    it takes half a second, and a node needs none of it."""

    NAMES = [
        "bigsize.decode",
        "bigsize.encode",
        "tlv.decode",
        "features.decode",
        "bolt11.decode",
        "onion.build",
        "onion.trace",
        "onion.peel",
        "onion.peel_route",
        "onion.failure.create",
        "onion.failure.plain",
        "onion.failure.wrap",
        "onion.failure.decode",
        "blinded_path.build",
        "blinded_path.trace",
        "blinded_path.keys",
        "blinded_path.unblind",
        "trampoline.build",
        "trampoline.peel",
        "onion_message.build",
        "onion_message.peel",
    ]

    def __init__(self):
        # Electrum's functions are changed while they run.
        self.lock = threading.Lock()
        self.module = None

    def load(self):
        if self.module is None:
            import codec

            self.module = codec

    def call(self, op, params):
        with self.lock:
            self.load()
            return self.module.call(op, params)


class Adapter:
    """`codec` and `node` may be None."""

    def __init__(self, out, codec, node):
        self.out = out
        self.codec, self.node = codec, node
        self.version = home.version()
        self.lock = threading.Lock()
        self.idle = threading.Condition(self.lock)
        self.running = 0

    def hello(self, params):
        asked = params.values.get("protocol", PROTOCOL)
        if type(asked) is not int or asked < 1:
            raise Refused("invalid", "param protocol is no version")
        return {
            "implementation": {
                "name": "electrum",
                "version": self.version,
                "language": "Python",
                "source": SOURCE,
            },
            "protocol": PROTOCOL,
            "operations": [name for part in (self.codec, self.node) if part for name in part.NAMES],
            "dialects": DIALECTS,
        }

    def write(self, request, answer):
        line = json.dumps({"id": request, **answer}, separators=(",", ":"), ensure_ascii=False)
        data = line.encode("utf-8", "replace") + b"\n"
        with self.lock:
            self.out.write(data)
            self.out.flush()

    def answer(self, request, op, values):
        try:
            params = Params({} if values is None else values)
            if op == "hello":
                result = self.hello(params)
            elif self.codec and op in self.codec.NAMES:
                result = self.codec.call(op, params)
            elif self.node and op in self.node.NAMES:
                result = self.node.call(op, params)
            else:
                raise Unsupported("electrum has no operation %s" % op)
            answer = {"result": result}
        except Unsupported as why:
            answer = {"unsupported": {"reason": str(why)}}
        except Refused as why:
            answer = {"error": {"kind": why.kind, "message": str(why), **why.more}}
        except Exception as fault:
            traceback.print_exc()
            answer = {"error": {"kind": "internal", "message": repr(fault)}}
        self.write(request, answer)

    def in_thread(self, request, op, values):
        def work():
            try:
                self.answer(request, op, values)
            finally:
                with self.lock:
                    self.running -= 1
                    self.idle.notify_all()

        with self.lock:
            self.running += 1
        threading.Thread(target=work, name=op, daemon=True).start()

    def serve(self, lines):
        """Until `shutdown` or the end of the lines; answers what came before, then ends."""
        last = None
        for line in lines:
            try:
                request = json.loads(line.decode("utf-8"))
            except (ValueError, RecursionError):
                request = None
            if not isinstance(request, dict):
                print("adapter: a line is no request", file=sys.stderr)
                continue
            number, op = request.get("id"), request.get("op")
            if type(number) is not int or not isinstance(op, str):
                print("adapter: a line has no id or no op", file=sys.stderr)
                continue
            if op == "shutdown":
                last = number
                break
            if self.node and op in self.node.NAMES:
                self.in_thread(number, op, request.get("params"))
            else:
                self.answer(number, op, request.get("params"))
        if self.node:
            self.node.closing()
        # What is left after the answers of earlier requests is for the daemon's end.
        end = time.monotonic() + SHUTDOWN
        with self.idle:
            self.idle.wait_for(lambda: self.running == 0, timeout=SHUTDOWN / 2)
        if self.node:
            self.node.shutdown(end - time.monotonic())
        if last is not None:
            self.write(last, {"result": {}})


def main():
    if sys.argv[1:] == ["--version"]:
        import aiorpcx  # noqa: F401

        import codec  # noqa: F401
        import node  # noqa: F401

        print("electrum", home.version())
        return
    # Libraries that print would break the protocol: the answers have a copy of standard output, and
    # what is printed goes to standard error.
    out = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    wanted = sys.argv[1:]
    if wanted not in ([], ["--codec"], ["--node"]):
        sys.exit("adapter.py: it has --codec, --node and --version")
    codec = None if wanted == ["--node"] else Codec()
    node = None
    if wanted == ["--codec"]:
        # Before `hello` is answered, for which there is more time than for an operation.
        codec.load()
    else:
        from node import Node

        node = Node()
    Adapter(out, codec, node).serve(sys.stdin.buffer)
    out.close()
    # Threads that still wait for a daemon's answer are not waited for.
    sys.stderr.flush()
    os._exit(0)


if __name__ == "__main__":
    main()
