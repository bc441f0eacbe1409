#!/usr/bin/env python3
"""An adapter that keeps the protocol and knows BigSize numbers in a way chosen by its argument.

right           as BOLT 1 says
off-by-one      answers a number that is one too high
lenient         reads numbers that are longer than they need to be
third-is-wrong  answers the third request with a number that is one too high
without         has no operation at all
hostile         its name, version and answers hold terminal sequences, markup and workflow commands

The end-to-end tests of the binary run it. Standard library only.
"""
import json
import sys

decoded = 0
MODE = sys.argv[1]
BAD = "\x1b[31m\x1b]0;owned\x07<script>alert(1)</script>\r\n::error::stop\n##[group]x\u202e|`*"


def decode(params):
    data = bytes.fromhex(params["bytes"])
    length = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(data[0], 0) if data else 1
    if len(data) < 1 + length:
        raise ValueError("cut short")
    n = int.from_bytes(data[1 : 1 + length], "big") if length else data[0]
    least = {2: 0xFD, 4: 0x10000, 8: 0x100000000}.get(length, 0)
    if n < least and MODE != "lenient":
        raise ValueError("not the shortest form")
    global decoded
    decoded += 1
    if MODE == "off-by-one" or (MODE == "third-is-wrong" and decoded == 3):
        n += 1
    if MODE == "hostile":
        return {"value": BAD, "rest": data[1 + length :].hex()}
    return {"value": str(n), "rest": data[1 + length :].hex()}


def hello(_):
    bad = MODE == "hostile"
    return {
        "implementation": {
            "name": BAD if bad else MODE,
            "version": BAD if bad else "1.0",
            "language": "Python",
            "source": "",
        },
        "protocol": 1,
        "operations": [] if MODE == "without" else ["bigsize.decode"],
        "dialects": [],
    }


OPERATIONS = {"hello": hello}
if MODE != "without":
    OPERATIONS["bigsize.decode"] = decode

for line in sys.stdin.buffer:
    request = json.loads(line.decode())
    answer = {"id": request["id"]}
    if request["op"] == "shutdown":
        answer["result"] = {}
    elif request["op"] not in OPERATIONS:
        answer["unsupported"] = {"reason": BAD if MODE == "hostile" else "not built in"}
    else:
        try:
            answer["result"] = OPERATIONS[request["op"]](request.get("params", {}))
        except (KeyError, ValueError) as e:
            message = BAD if MODE == "hostile" else str(e)
            answer["error"] = {"kind": "invalid", "message": message}
            print(message, file=sys.stderr, flush=True)
    print(json.dumps(answer), flush=True)
    if request["op"] == "shutdown":
        break
