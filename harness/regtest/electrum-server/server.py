#!/usr/bin/env python3
"""An Electrum server for one cluster: e-x (the maintained ElectrumX), with the chain's index in memory.

    server.py --listen 127.0.0.1:PORT --data FOLDER

The environment variable ELECTRUM_SERVER_BITCOIND holds the address of bitcoind's RPC with user and
password, `http://USER:PASSWORD@HOST:PORT/`, which are so on no command line. bitcoind needs
`-txindex=1` and `-txospenderindex=1`. `--version` prints name and version, and ends.

Nothing of e-x is changed on disk. Two things are made other than it has them by default: a chain of
some hundred blocks needs no database, and small messages, which e-x holds back for up to a second to
hide their length from an onlooker, are sent at once.
"""

import os
import sys

import electrumx
from electrumx.server import storage, transport

BITCOIND = "ELECTRUM_SERVER_BITCOIND"


class Memory(storage.Storage):
    """A database that is gone with the process. It is found by its class's name."""

    # Closed and opened again by e-x when it has caught up with the chain.
    kept = {}

    @classmethod
    def import_module(cls):
        pass

    def open(self, name, create):
        if create:
            os.makedirs(name)
        self.data = self.kept.setdefault(name, {})

    def close(self):
        pass

    def get(self, key):
        return self.data.get(key)

    def put(self, key, value):
        self.data[key] = value

    def write_batch(self):
        return Batch(self.data)

    def iterator(self, prefix=b"", reverse=False):
        return Iterator(self.data, prefix, reverse)


# e-x looks for databases where its own are.
storage.Memory = Memory


class Batch:
    """Changes that are made together, or not at all where the block ends with an exception."""

    def __init__(self, data):
        self.data, self.changes = data, []

    def __enter__(self):
        return self

    def put(self, key, value):
        self.changes.append((key, value))

    def delete(self, key):
        self.changes.append((key, None))

    def __exit__(self, kind, value, trace):
        if kind is None:
            for key, new in self.changes:
                if new is None:
                    self.data.pop(key, None)
                else:
                    self.data[key] = new


class Iterator:
    """Keys and values with a prefix, in the order of their keys, as they are when it is made."""

    def __init__(self, data, prefix, reverse):
        items = [(key, value) for key, value in data.items() if key.startswith(prefix)]
        items.sort(reverse=reverse)
        self.items, self.reverse, self.at = items, reverse, 0

    def __iter__(self):
        return self

    def __next__(self):
        if self.at >= len(self.items):
            raise StopIteration
        self.at += 1
        return self.items[self.at - 1]

    def seek(self, key):
        """Forward, the next one is at `key` or behind it; backward, it is in front of it."""
        behind = (lambda k: k < key) if self.reverse else (lambda k: k >= key)
        self.at = next((i for i, (k, _) in enumerate(self.items) if behind(k)), len(self.items))


def settings(listen, data, bitcoind):
    """What e-x reads from its environment."""
    return {
        "COIN": "Bitcoin",
        "NET": "regtest",
        "DAEMON_URL": bitcoind,
        "SERVICES": "tcp://" + listen,
        "DB_DIRECTORY": data,
        "DB_ENGINE": "memory",
        "PEER_DISCOVERY": "off",
        "PEER_ANNOUNCE": "",
        "ALLOW_ROOT": "1",
        # Milliseconds.
        "DAEMON_POLL_INTERVAL_BLOCKS": "50",
        "DAEMON_POLL_INTERVAL_MEMPOOL": "100",
        # The nodes of a cluster are no strangers whose use has to be limited.
        "COST_SOFT_LIMIT": "0",
        "COST_HARD_LIMIT": "0",
        "INITIAL_CONCURRENT": "100",
        "REQUEST_SLEEP": "0",
    }


def main(args):
    if args == ["--version"]:
        print("e-x", electrumx.__version__)
        return
    given = dict(zip(args[::2], args[1::2]))
    if len(args) != 4 or set(given) != {"--listen", "--data"}:
        sys.exit("server.py: write --listen 127.0.0.1:PORT --data FOLDER")
    if not given["--listen"].startswith("127.0.0.1:"):
        sys.exit("server.py: %s is not on 127.0.0.1" % given["--listen"])
    bitcoind = os.environ.pop(BITCOIND, None)
    if not bitcoind:
        sys.exit("server.py: %s holds no address of bitcoind" % BITCOIND)
    os.environ.update(settings(given["--listen"], given["--data"], bitcoind))
    transport.PaddedRSTransport.WAIT_FOR_BUFFER_GROWTH_SECONDS = 0
    from electrumx.cli import electrumx_server

    electrumx_server.main()


if __name__ == "__main__":
    main(sys.argv[1:])
