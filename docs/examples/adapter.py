#!/usr/bin/env python3
"""An adapter for BigSize numbers: a complete example of the adapter protocol."""
import json
import sys

HELLO = {
    "implementation": {"name": "bigsize-py", "version": "1.0", "language": "Python", "source": ""},
    "protocol": 1,
    "operations": ["bigsize.decode", "bigsize.encode"],
    "dialects": [],
}
LENGTHS = {0xFD: 2, 0xFE: 4, 0xFF: 8}


def encode(params):
    text = params["value"]
    if not (isinstance(text, str) and text.isascii() and text.isdigit() and int(text) < 2**64):
        raise ValueError("value is not a decimal string below 2^64")
    n = int(text)
    for prefix, length in [(b"", 1), (b"\xfd", 2), (b"\xfe", 4), (b"\xff", 8)]:
        if n < (0xFD if length == 1 else 256**length):
            return {"bytes": (prefix + n.to_bytes(length, "big")).hex()}


def decode(params):
    data = bytes.fromhex(params["bytes"])
    length = LENGTHS.get(data[0], 0) if data else 1
    n = int.from_bytes(data[1 : 1 + length], "big") if length else data[0]
    used = data[: 1 + length]
    if len(used) < 1 + length or encode({"value": str(n)})["bytes"] != used.hex():
        raise ValueError("cut short, or not the shortest encoding")
    return {"value": str(n), "rest": data[1 + length :].hex()}


OPERATIONS = {"bigsize.decode": decode, "bigsize.encode": encode, "hello": lambda _: HELLO}

for line in sys.stdin.buffer:
    try:
        request = json.loads(line.decode())
        number, op, params = request["id"], request["op"], request.get("params", {})
        if type(number) is not int or type(op) is not str:
            raise ValueError("no integer id or no string op")
    except (ValueError, KeyError, TypeError, RecursionError) as e:
        print("not a request:", e, file=sys.stderr)  # passed over, never answered
        continue
    answer = {"id": number}
    if op == "shutdown":
        answer["result"] = {}
    elif op not in OPERATIONS:
        answer["unsupported"] = {"reason": "there is no operation " + op}
    else:
        try:
            answer["result"] = OPERATIONS[op](params)
        except Exception as e:  # a fault in one request is not the end of the process
            wrong = isinstance(e, (ValueError, KeyError, TypeError))
            answer["error"] = {"kind": "invalid" if wrong else "internal", "message": repr(e)}
    print(json.dumps(answer), flush=True)
    if op == "shutdown":
        break
