"""A node adapter without a node, for the tests of clusters: it does what a step tells it to."""

import json
import os
import sys
import threading
import time

lock = threading.Condition()
events = []
state = {"visits": 0, "running": False, "heights": []}


def tell(kind, payment_hash):
    with lock:
        event = {"seq": len(events) + 1, "kind": kind}
        if payment_hash is not None:
            event["payment_hash"] = payment_hash
        events.append(event)
        lock.notify_all()


def next_event(params):
    after = params.get("after", 0)
    end = time.monotonic() + params.get("deadline_ms", 1000) / 1000
    with lock:
        while True:
            for event in events:
                if event["seq"] > after and event["kind"] in params.get("kinds", [event["kind"]]):
                    return {"result": event}
            left = end - time.monotonic()
            if left <= 0:
                return {"error": {"kind": "timeout", "message": "no event by the deadline"}}
            lock.wait(left)


def start(params):
    options = params["options"]
    for name in options:
        if name not in ("announce", "forwards", "fails"):
            return {"unsupported": {"reason": f"no option {name}"}}
    if options.get("fails"):
        return {"error": {"kind": "internal", "message": "told to fail"}}
    node_id = "02" + params["seed"]
    state["running"] = True
    # Written at every start, so that a test can count them.
    with open(os.environ["LNCONFORM_TEST_STARTS"], "a") as file:
        file.write(params["alias"] + "\n")
    return {
        "result": {
            "node_id": node_id,
            "address": params["listen"],
            "version": "1",
            "features": "",
        }
    }


def sync(params):
    if not state["running"]:
        return {"error": {"kind": "rejected", "message": "no node is running"}}
    state["heights"].append(params["height"])
    return {"result": {"height": params["height"]}}


def stop(params):
    state["running"] = False
    return {"result": {}}


def visit(params):
    state["visits"] += 1
    print("visit", state["visits"], file=sys.stderr, flush=True)
    return {"result": {"visits": state["visits"]}}


def leave(params):
    """Tells of a payment now, and again when the scenario is long over."""
    tell("payment-received", params["payment_hash"])
    later = params.get("later_ms")
    if later is not None:
        again = lambda: tell("payment-received", params["payment_hash"])
        threading.Timer(later / 1000, again).start()
    return {"result": {}}


def die(params):
    threading.Timer(0.05, lambda: os._exit(3)).start()
    return {"result": {}}


def lacks(params):
    """Lists the operation, and lacks it for what is asked."""
    return {"unsupported": {"reason": "not with these params"}}


OPERATIONS = {
    "node.start": start,
    "node.stop": stop,
    "chain.sync": sync,
    "fake.heights": lambda params: {"result": {"heights": state["heights"]}},
    "event.next": next_event,
    "fake.visit": visit,
    "fake.leave": leave,
    "fake.die": die,
    "fake.lacks": lacks,
}


def serve(request, out):
    operation, params = request["op"], request.get("params", {})
    if operation == "hello":
        answer = {
            "result": {
                "implementation": {
                    "name": "fake",
                    "version": "1",
                    "language": "Python",
                    "source": "tests",
                },
                "protocol": 1,
                "operations": list(OPERATIONS),
                "dialects": ["fake/1"],
            }
        }
    elif operation == "shutdown":
        answer = {"result": {}}
    elif operation in OPERATIONS:
        answer = OPERATIONS[operation](params)
    else:
        answer = {"unsupported": {"reason": f"no operation {operation}"}}
    with out:
        sys.stdout.write(json.dumps({"id": request["id"], **answer}) + "\n")
        sys.stdout.flush()
    if operation == "shutdown":
        os._exit(0)


out = threading.Lock()
for line in sys.stdin:
    request = json.loads(line)
    if request["op"] == "event.next":
        threading.Thread(target=serve, args=(request, out), daemon=True).start()
    else:
        serve(request, out)
os._exit(0)
