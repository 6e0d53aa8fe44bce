"""The three ways a worker's step can fail, one class for each way its caller reacts.

Called by everyone in `workers`; the task base translates once. A message never holds patient data: it names what was
attempted and the technical value that broke it.
"""

from typing import Literal, get_args

Code = Literal[
    "nothing_to_embed",  # the SOP Class holds no picture: SR, KO, PR, SEG, RT plan, PDF, waveform
    "no_pixel_data",  # an image by its class, stored without (usable) Pixel Data
    "unreadable",  # the header cannot be parsed, or does not describe pixels
    "undecodable",  # no decoder for the transfer syntax, or the code stream is damaged
    "truncated",  # fewer bytes than one frame needs
    "too_large",  # over the pixel budget
    "decoder_timeout",
    "decoder_memory",
    "blank",  # every frame is uniform
]
CODES: frozenset[str] = frozenset(get_args(Code))


class Rejected(ValueError):
    """The instance is wrong, or has nothing to embed, and will stay so: keep it, and say why."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code

    def __reduce__(self) -> tuple[type["Rejected"], tuple[Code, str]]:
        return (type(self), (self.code, str(self)))


class Unavailable(RuntimeError):
    """Something the step needs cannot be had now: try again later."""


class Corrupt(RuntimeError):
    """Stored bytes are not what was written: do not embed them."""
