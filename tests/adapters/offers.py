#!/usr/bin/env python3
"""An adapter that keeps the protocol, reads no offer, and dies of one whose string is too long.

The end-to-end tests of `fuzz` run it. Standard library only.
"""
import json
import os
import sys

LONGEST = int(sys.argv[1])

for line in sys.stdin.buffer:
    request = json.loads(line.decode())
    op = request["op"]
    answer = {"id": request["id"]}
    if op == "hello":
        answer["result"] = {
            "implementation": {
                "name": "offers",
                "version": "1.0",
                "language": "Python",
                "source": "",
            },
            "protocol": 1,
            "operations": ["bolt12.offer.decode"],
            "dialects": [],
        }
    elif op == "shutdown":
        answer["result"] = {}
    elif len(request["params"].get("offer", "")) > LONGEST:
        print("too long", file=sys.stderr, flush=True)
        os._exit(3)
    else:
        answer["unsupported"] = {"reason": "reads nothing"}
    print(json.dumps(answer), flush=True)
    if op == "shutdown":
        break
