"""Params, results and refusals of the adapter protocol."""

import re

HEX = re.compile(r"(?:[0-9a-f]{2})*\Z")
DECIMAL = re.compile(r"[0-9]{1,20}\Z")


class Refused(Exception):
    """An answer of kind `kind` that is no result."""

    def __init__(self, kind, message, **more):
        super().__init__(message)
        self.kind, self.more = kind, more


class Unsupported(Exception):
    """Electrum lacks what was asked for."""


def invalid(message, *args):
    return Refused("invalid", message % args if args else message)


class Params:
    """The params of one request; what is missing or ill-typed is refused as `invalid`."""

    def __init__(self, values, name="params"):
        if not isinstance(values, dict):
            raise invalid("%s is not an object", name)
        self.values = values

    def has(self, name):
        return name in self.values

    def get(self, name):
        if name not in self.values:
            raise invalid("param %s is missing", name)
        return self.values[name]

    def text(self, name, default=None):
        if default is not None and not self.has(name):
            return default
        value = self.get(name)
        if not isinstance(value, str):
            raise invalid("param %s is not a string", name)
        return value

    def bytes(self, name, length=None, default=None):
        if default is not None and not self.has(name):
            return default
        return to_bytes(name, self.get(name), length)

    def list(self, name):
        values = self.get(name)
        if not isinstance(values, list):
            raise invalid("param %s is not a list", name)
        return values

    def hexes(self, name, length=None):
        """A list of byte strings."""
        return [to_bytes(name, value, length) for value in self.list(name)]

    def objects(self, name):
        """A list of objects, each as params of its own."""
        return [Params(value, "one of " + name) for value in self.list(name)]

    def object(self, name):
        return Params(self.get(name), "param " + name)

    def flag(self, name, default=False):
        value = self.values.get(name, default)
        if type(value) is not bool:
            raise invalid("param %s is neither true nor false", name)
        return value

    def u32(self, name, default=None):
        if default is not None and not self.has(name):
            return default
        value = self.get(name)
        # `True` is an int for Python, and none for JSON.
        if type(value) is not int or not 0 <= value < 1 << 32:
            raise invalid("param %s is not a number below 2^32", name)
        return value

    def u64(self, name, default=None):
        """A decimal string."""
        if default is not None and not self.has(name):
            return default
        value = self.get(name)
        if not isinstance(value, str) or not DECIMAL.match(value) or int(value) >= 1 << 64:
            raise invalid("param %s is not a decimal string below 2^64", name)
        return int(value)


def to_bytes(name, value, length=None):
    if not isinstance(value, str) or not HEX.match(value):
        raise invalid("param %s is not lower-case hex", name)
    data = bytes.fromhex(value)
    if length is not None and len(data) != length:
        raise invalid("param %s has %d bytes instead of %d", name, len(data), length)
    return data
