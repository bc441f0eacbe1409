#!/usr/bin/env python3
"""An adapter with one fault, chosen by its argument; `none` is a right one.

The tests of the host, of `adapter check` and of the binary run it. Standard library only.
A request whose `bytes` are `dead` is the poison of the `...-on-request` faults.
"""
import json
import os
import sys
import threading
import time

FAULT = sys.argv[1] if len(sys.argv) > 1 else "none"
NODE = FAULT in ("node", "mainnet")

OPERATIONS = ["node.start"] if NODE else ["bigsize.decode", "bigsize.encode"]
if FAULT == "lies-about-operations":
    OPERATIONS.append("amp.child")
if FAULT == "lists-hello":
    OPERATIONS.append("hello")

served = 0


def note(text):
    print(text, file=sys.stderr, flush=True)


def raw(data):
    sys.stdout.buffer.write(data)
    sys.stdout.buffer.flush()


def say(answer):
    raw(json.dumps(answer).encode() + b"\n")


def die(text):
    note(text)
    os._exit(3)


def forever():
    while True:
        time.sleep(60)


def decode(params):
    if FAULT == "strict-params" and set(params) - {"bytes"}:
        raise ValueError("unknown param")
    data = bytes.fromhex(params["bytes"])
    length = {0xFD: 3, 0xFE: 5, 0xFF: 9}.get(data[0], 1)
    number = int.from_bytes(data[1:length], "big") if length > 1 else data[0]
    if FAULT == "null-result":
        return None
    value = number if FAULT == "json-numbers" else str(number)
    return {"value": value, "rest": data[length:].hex()}


def encode(params):
    return {"bytes": "%02x" % int(params["value"])}


def start(params):
    if params.get("network") != "regtest" and FAULT != "mainnet":
        raise ValueError("only regtest")
    return {"node_id": "02" + "11" * 32}


HANDLERS = {"bigsize.decode": decode, "bigsize.encode": encode, "node.start": start}


def hello(params):
    result = {
        "implementation": {"name": "faulty", "version": "1", "language": "Python", "source": ""},
        "protocol": 1,
        "operations": OPERATIONS,
        "dialects": [],
    }
    if FAULT == "wrong-protocol":
        result["protocol"] = 2
    if FAULT == "parrots-protocol":
        result["protocol"] = params["protocol"] if params["protocol"] == 1 else 0
    if FAULT == "bad-hello":
        del result["operations"]
    return result


def answer_to(request):
    op, params = request["op"], request.get("params", {})
    if op == "hello":
        return {"result": hello(params)}
    if FAULT == "answers-anything" and op not in OPERATIONS:
        return {"result": {}}
    if FAULT == "hides-operations" and op == "amp.child":
        return {"error": {"kind": "invalid", "message": "param root is missing"}}
    if FAULT == "null-error" and op not in OPERATIONS:
        return {"unsupported": {"reason": "no " + op, "issue": None}}
    if op not in OPERATIONS or op not in HANDLERS:
        return {"unsupported": {"reason": "no operation " + op}}
    poisoned = params.get("bytes") == "dead"
    if FAULT == "crash-on-request" and (poisoned or not params):
        die("Traceback: KeyError: 'bytes'")
    if FAULT == "crash-on-poison" and poisoned:
        die("poisoned")
    if FAULT == "hang-on-request" and poisoned:
        forever()
    try:
        return {"result": HANDLERS[op](params)}
    except (ValueError, KeyError, IndexError, TypeError) as e:
        kind = "internal" if FAULT == "internal-errors" else "invalid"
        return {"error": {"kind": kind, "message": repr(e)}}


def respond(request):
    """Answers a request that is not `shutdown`, in the faulty way."""
    global served
    served += 1
    number, op = request["id"], request["op"]
    if FAULT == "float-ids" and number > 2**53 - 100:
        number = int(str(float(number))[:-4] + "000")
    answer = {"id": number, **answer_to(request)}
    if op == "hello":
        say(answer)
        return
    if FAULT == "crash":
        die("Segmentation fault, so to speak")
    elif FAULT == "hang":
        note("thinking about it")
    elif FAULT == "garbage":
        raw(b"DEBUG: decoding \x1b[1mnow\x1b[0m\n")
        say(answer)
    elif FAULT == "wrong-id":
        say({**answer, "id": number + 1})
    elif FAULT == "double-answer":
        say(answer)
        say(answer)
    elif FAULT == "flood":
        for i in range(500):
            say({"id": i, "result": {}})
    elif FAULT == "dies-mid-line":
        raw(json.dumps(answer).encode()[:9])
        os._exit(1)
    elif FAULT == "closes-stdout":
        os.close(1)
        for _ in sys.stdin.buffer:
            pass
        os._exit(0)
    elif FAULT == "not-utf8":
        raw(b'{"id":%d,"result":{"name":"\xe9"}}\n' % number)
    elif FAULT == "long-line":
        say({**answer, "padding": "x" * (5 * 1024 * 1024)})
    elif FAULT == "two-answers-in-one":
        say({"id": number, "result": {}, "error": {"kind": "invalid", "message": ""}})
    elif FAULT == "two-objects-in-a-line":
        raw(json.dumps(answer).encode() * 2 + b"\n")
    elif FAULT == "small-pipe" and served > 500:
        die("BlockingIOError: too many requests")
    elif FAULT == "dies-once" and served == 4 and not os.path.exists(os.environ["FAULTY_MARK"]):
        open(os.environ["FAULTY_MARK"], "w").close()
        die("just this once")
    else:
        say(answer)


def read(line):
    """The request in a line; raises ValueError if it is none."""
    if FAULT == "reads-latin1":
        text = line.decode("latin-1")
    elif FAULT == "crash-on-utf8":
        try:
            text = line.decode()
        except ValueError:
            die("UnicodeDecodeError")
    else:
        text = line.decode()
    if FAULT == "cuts-lines" and len(line) > 65536:
        raise ValueError("too long")
    if FAULT == "crash-on-json":
        try:
            request = json.loads(text)
        except ValueError:
            die("JSONDecodeError")
    request = json.loads(text)
    if FAULT == "crash-on-array" and not isinstance(request, dict):
        die("TypeError: list indices must be integers")
    if FAULT == "shallow" and text.count("[") > 32:
        die("RecursionError")
    if not isinstance(request, dict) or type(request.get("op")) is not str:
        raise ValueError("no request")
    if type(request.get("id")) is not int:
        if FAULT == "answers-no-request" and "id" in request:
            say({"id": request["id"], "error": {"kind": "invalid", "message": "id"}})
        raise ValueError("no integer id")
    return request


def finish():
    if FAULT == "ignores-shutdown":
        forever()
    sys.stdout.flush()
    os._exit(1 if FAULT == "exit-code" else 0)


if FAULT == "crash-at-start":
    die("no license file")
if FAULT == "hang-hello":
    forever()
if FAULT == "slow-start":
    time.sleep(11)
if FAULT == "garbage-before-hello":
    raw(b"Welcome to the adapter, version 1\n")

greeted = False
waiting = []
changed = threading.Condition()


def answer_later():
    """Answers what has gathered, the last first."""
    while True:
        with changed:
            changed.wait_for(lambda: waiting)
            changed.wait(0.005)
            gathered = waiting[::-1]
        for earlier in gathered:
            respond(earlier)
        with changed:
            del waiting[: len(gathered)]
            changed.notify_all()


def all_answered():
    with changed:
        changed.wait_for(lambda: not waiting)


if FAULT in ("reversed", "shutdown-first"):
    threading.Thread(target=answer_later, daemon=True).start()

for line in sys.stdin.buffer:
    if FAULT == "crash-on-empty" and not line.strip():
        die("IndexError")
    try:
        request = read(line)
    except ValueError as e:
        if FAULT == "answers-no-json":
            say({"id": None, "error": {"kind": "invalid", "message": str(e)}})
        note("passed over: %s" % e)
        continue
    if FAULT == "ignores-before-hello" and not greeted and request["op"] != "hello":
        continue
    greeted = True
    if request["op"] == "shutdown":
        if FAULT == "ignores-shutdown":
            continue
        if FAULT == "shutdown-first":
            say({"id": request["id"], "result": {}})
        all_answered()
        if FAULT != "shutdown-first":
            say({"id": request["id"], "result": {}})
        if FAULT == "stays-after-shutdown":
            forever()
        finish()
    if FAULT in ("reversed", "shutdown-first"):
        with changed:
            waiting.append(request)
            changed.notify_all()
        continue
    respond(request)
all_answered()
if FAULT == "end-of-input":
    die("EOFError")
finish()
