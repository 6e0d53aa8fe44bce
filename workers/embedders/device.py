"""Where an embedder computes: the first GPU where there is one, else the CPU.

Called by the registry. The rule: a device that is asked for by name and is not there is an error, never a slow
substitute.
"""

import torch

from workers.errors import Unavailable


def find_device(name: str) -> str:
    """Return torch's name of the device for `auto`, `cpu` or `cuda`. Raises Unavailable."""
    if name == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    if name == "cuda" and not torch.cuda.is_available():
        raise Unavailable("embed on a GPU: torch sees none")
    return name
