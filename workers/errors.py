"""The three ways a worker's step can fail: the node's words, with a code where an instance is rejected.

Called by everyone in `workers`; `embedding` reacts. A message never holds patient data: it names what was attempted
and the technical value that broke it.
"""

from typing import Literal, get_args

from dicom_node import errors
from dicom_node.errors import Corrupt, Unavailable

__all__ = ["CODES", "Code", "Corrupt", "Rejected", "Unavailable"]

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


class Rejected(errors.Rejected):
    """The instance is wrong, or has nothing to embed, and will stay so: keep it, and say why."""

    def __init__(self, code: Code, message: str) -> None:
        super().__init__(message)
        self.code: Code = code

    def __reduce__(self) -> tuple[type["Rejected"], tuple[Code, str]]:
        return (type(self), (self.code, str(self)))
