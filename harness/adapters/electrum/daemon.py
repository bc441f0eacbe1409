"""Becomes Electrum's daemon: the program `electrum` as it is installed.

    daemon.py ARGUMENTS…

Two things are changed in this process, and nothing on disk. Electrum holds small messages to its
server back for up to a second, to hide their length from an onlooker; on a machine's own loopback
that only makes it slow, so it is told to wait for nothing. And where a scenario says so, a payment
over a trampoline that fails is tried less often than 30 times, for which there is no setting.
"""

import ctypes
import gc
import os
import runpy
import signal
import sys

import home

PR_SET_PDEATHSIG = 1


def end_with_parent(parent):
    """Has the kernel kill this process when the adapter is gone, however that ended."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)


def fewer_attempts(attempts):
    """Has payments over a trampoline tried so often at most."""
    from electrum.lnworker import LNWallet

    pay = LNWallet.pay_invoice

    async def pay_invoice(self, invoice, **more):
        if more.get("attempts") is None and self.uses_trampoline():
            more["attempts"] = attempts
        return await pay(self, invoice, **more)

    LNWallet.pay_invoice = pay_invoice


def main():
    # It lives for seconds: looking for garbage is a tenth of what it would do.
    gc.disable()
    end_with_parent(int(os.environ.pop("ELECTRUM_ADAPTER_PID")))
    home.prepare()
    from electrum import interface

    interface.PaddedRSTransport.WAIT_FOR_BUFFER_GROWTH_SECONDS = 0
    attempts = os.environ.pop("ELECTRUM_ADAPTER_ATTEMPTS", None)
    if attempts is not None:
        fewer_attempts(int(attempts))
    sys.argv[0] = home.script()
    # The program looks into its own folder first.
    sys.path.insert(0, os.path.dirname(sys.argv[0]))
    runpy.run_path(sys.argv[0], run_name="__main__")


if __name__ == "__main__":
    main()
