"""The three ways a call to the index can fail, one class for each way a caller reacts."""


class Rejected(ValueError):
    """The request is wrong and will stay wrong: unknown space, wrong dimension, NaN, zero vector."""


class Unavailable(RuntimeError):
    """A shard or the service cannot answer now: try again later."""


class Corrupt(RuntimeError):
    """Stored bytes are not what was written: nothing is served from them."""
