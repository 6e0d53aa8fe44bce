"""The three ways a call to the index can fail, one class for each way a caller reacts."""

import traceback


class Rejected(ValueError):
    """The request is wrong and will stay wrong: unknown space, wrong dimension, NaN, zero vector."""


class Unavailable(RuntimeError):
    """A shard or the service cannot answer now: try again later."""


class Corrupt(RuntimeError):
    """Stored bytes are not what was written: nothing is served from them."""


def place_of(error: BaseException) -> str:
    """Return kind and traceback of an error without its message, which may hold a key or a value: for the log."""
    return f"{type(error).__name__}\n{''.join(traceback.format_tb(error.__traceback__))}"
