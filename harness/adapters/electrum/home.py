"""Where Electrum lies, and how it is made ready to be imported.

`lnconform install electrum` unpacks Electrum's Debian packages into `dist` beside these files, and
puts what they need from the Python registry into the environment that runs them. Nothing of it is
changed on disk.

`LNCONFORM_ELECTRUM_HOME` names another Electrum: a folder that holds the package `electrum` (a
source tree, or a `dist-packages`). It is read with the same environment.
"""

import ctypes
import glob
import os
import runpy
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
DIST = os.path.join(HERE, "dist")
PACKAGES = os.path.join(DIST, "usr", "lib", "python3", "dist-packages")
OTHER = "LNCONFORM_ELECTRUM_HOME"


def folder():
    """The folder that holds the package `electrum`."""
    return os.environ.get(OTHER) or PACKAGES


def version():
    """Electrum's own version, read from its file: importing all of Electrum takes most of a second."""
    file = os.path.join(folder(), "electrum", "version.py")
    if not os.path.isfile(file):
        raise FileNotFoundError(
            "there is no Electrum in %s: `lnconform install electrum` puts one beside this adapter,"
            " and %s names another" % (folder(), OTHER)
        )
    return runpy.run_path(file)["ELECTRUM_VERSION"]


def script():
    """The program `electrum`, which becomes the daemon."""
    own = os.path.join(folder(), "run_electrum")
    return own if os.path.isfile(own) else os.path.join(DIST, "usr", "bin", "electrum")


def prepare():
    """Makes `import electrum` work."""
    for path in (PACKAGES, folder()):
        if path in sys.path:
            sys.path.remove(path)
        sys.path.insert(0, path)
    # electrum_ecc asks the linker for libsecp256k1 by its name, and the linker answers with what is
    # loaded already.
    for library in glob.glob(os.path.join(DIST, "usr", "lib", "*", "libsecp256k1.so.?")):
        ctypes.CDLL(library, mode=ctypes.RTLD_GLOBAL)
