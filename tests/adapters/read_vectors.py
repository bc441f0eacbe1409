"""Reads a file that `lnconform export` wrote, and tests a BigSize decoder with it: all that somebody
needs who has the file and nothing else. Vectors of other operations are counted. Usage:
read_vectors.py FILE [lenient]"""

import json
import sys


def decode(data, lenient):
    length = {0xFD: 2, 0xFE: 4, 0xFF: 8}.get(data[0], 0)
    if len(data) < 1 + length:
        raise ValueError("truncated")
    value = int.from_bytes(data[1 : 1 + length], "big") if length else data[0]
    if value < {0: 0, 2: 0xFD, 4: 1 << 16, 8: 1 << 32}[length] and not lenient:
        raise ValueError("not minimal")
    return {"value": str(value), "rest": data[1 + length :].hex()}


failed = passed = others = 0
for vector in json.load(open(sys.argv[1])):
    if vector["operation"] != "bigsize.decode":
        others += 1
        continue
    try:
        got = decode(bytes.fromhex(vector["input"]["bytes"]), "lenient" in sys.argv)
        ok = vector["valid"] and vector["expected"].items() <= got.items()
    except (ValueError, IndexError):
        ok = not vector["valid"]
    passed += ok
    failed += not ok
    if not ok:
        print(f"{vector['name']}: {vector.get('reason', 'another value')}")
print(f"{passed} passed, {failed} failed" + (f", {others} of other operations" if others else ""))
