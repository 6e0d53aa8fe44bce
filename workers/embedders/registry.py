"""Embedders by name: how each is made, and what it needs that may be missing.

Called where a worker is built. Making one is the first moment torch is imported.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass

from workers.embedders.port import Embedder
from workers.errors import Unavailable


@dataclass(frozen=True, slots=True)
class Entry:
    """One embedder that can be asked for: `make(threads, device)` builds it, `needs` are modules it imports."""

    make: Callable[[int, str], Embedder]
    needs: tuple[str, ...]
    summary: str

    def missing(self) -> tuple[str, ...]:
        """Return the modules that are not installed."""
        return tuple(name for name in self.needs if importlib.util.find_spec(name) is None)


def _make_descriptor(threads: int, device: str) -> Embedder:
    from workers.embedders.descriptor import Descriptor

    return Descriptor(threads=threads, device=device)


def _make_fitted(threads: int, device: str) -> Embedder:
    from workers.embedders.fitted import Fitted

    return Fitted(threads=threads, device=device)


ENTRIES: dict[str, Entry] = {
    "descriptor": Entry(_make_descriptor, ("torch",), "training-free: gradients, waves, textures and grey levels"),
    "fitted": Entry(_make_fitted, ("torch",), "the descriptor joined with a small network trained on medical pictures"),
}


def make_embedder(name: str, threads: int = 1, device: str = "cpu") -> Embedder:
    """Make the embedder called `name` on `device` (`auto`, `cpu`, `cuda`).

    Raises Unavailable, saying what is missing or what there is instead.
    """
    entry = ENTRIES.get(name)
    if entry is None:
        raise Unavailable(f"make embedder {name!r}: not known; known are {', '.join(sorted(ENTRIES))}")
    if missing := entry.missing():
        raise Unavailable(f"make embedder {name!r}: not installed: {', '.join(missing)}")
    from workers.embedders.device import find_device

    return entry.make(threads, find_device(device))
