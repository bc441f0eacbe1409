"""What the drafts of this folder share: refusals that name their rule, hashes, keys, signatures."""

import hashlib

from coincurve import PrivateKey, PublicKey, PublicKeyXOnly

# Of the whole program; changes with every change of what it answers.
__version__ = "0.2.0"

ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141


class Refused(Exception):
    """A rule of a draft that was broken. `kind`: `invalid` or `rejected`."""

    def __init__(self, rule, message, kind="invalid"):
        super().__init__(message)
        self.rule, self.kind = rule, kind


class Rules:
    """The rules of one specification, by what follows its name in their ids."""

    def __init__(self, specification):
        self.prefix = specification + "/"

    def refuse_if(self, broken, rule, message, kind="invalid"):
        if broken:
            raise Refused(self.prefix + rule, message, kind)


def sha256(data):
    return hashlib.sha256(data).digest()


def tagged(tag, data):
    """The tagged hash of BIP 340, 32 bytes."""
    prefix = sha256(tag.encode("ascii"))
    return sha256(prefix + prefix + data)


def xor(one, other):
    """The exclusive or of two byte strings of one length."""
    return bytes(a ^ b for a, b in zip(one, other, strict=True))


def is_point(data):
    """Whether these are the 33 bytes of a compressed point of the curve."""
    # The library would take uncompressed and hybrid points as well.
    if len(data) != 33 or data[0] not in (2, 3):
        return False
    try:
        PublicKey(data)
    except ValueError:
        return False
    return True


def is_x_only(data):
    """Whether these are the 32 bytes of the x coordinate of a point."""
    return len(data) == 32 and is_point(b"\x02" + data)


def x_only_of(secret_key):
    """The x-only public key of a secret key of 32 bytes; ValueError if it is none."""
    return PrivateKey(secret_key).public_key.format()[1:]


def schnorr_sign(secret_key, digest, aux):
    return PrivateKey(secret_key).sign_schnorr(digest, aux)


def schnorr_valid(x_only, digest, signature):
    if not is_x_only(x_only) or len(signature) != 64:
        return False
    return PublicKeyXOnly(x_only).verify(signature, digest)
