"""`Fitted`: the descriptor joined with a small network, each brought to its principal components and to unit length.

The network was trained, and the components were fitted, by `training` on pictures whose licence permits it; README.md
is the model card. No whitening: it makes noise of a set's smallest components as loud as what tells findings apart.
Weights are numpy arrays in a plain archive, read without pickle.
"""

import hashlib
import io
import zipfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from torch import Tensor, nn

from workers.embedders.descriptor import Descriptor
from workers.embedders.network import Network
from workers.embedders.port import EmbedderDescription, Vectors
from workers.errors import Corrupt, Unavailable
from workers.pixels.frames import FRAME_SIZE, PREPROCESSING_VERSION, FrameMeta, Picture

WEIGHTS = Path(__file__).with_name("weights") / "fitted.npz"
NETWORK_PREFIX = "network."
_MICRO_BATCH = 32


class Components(nn.Module):
    """Centre, project on principal components, bring to unit length."""

    mean: Tensor
    rows: Tensor

    def __init__(self, mean: Vectors, rows: Vectors) -> None:
        """Take float32[features] and float32[components, features]."""
        super().__init__()
        self.register_buffer("mean", torch.from_numpy(mean))
        self.register_buffer("rows", torch.from_numpy(rows))

    def forward(self, features: Tensor) -> Tensor:
        """Turn float32[n, features] into float32[n, components]."""
        return functional.normalize((features - self.mean) @ self.rows.T)


class Fitted:
    """The fitted embedder; see the module. Not for use from two threads at once on a GPU."""

    def __init__(self, threads: int = 1, device: str = "cpu", weights: Path = WEIGHTS) -> None:
        """Compute on `device` with so many CPU threads, a setting of the whole process.

        Raises Unavailable when the weights cannot be read, Corrupt when they are not what `training` wrote.
        """
        arrays, self._digest = read_weights(weights)
        self._descriptor = Descriptor(threads=threads, device=device)
        self._device = torch.device(device)
        try:
            self._network = make_network(arrays).to(self._device)
            self._drawn = Components(arrays["descriptor_mean"], arrays["descriptor_rows"]).to(self._device)
            self._learned = Components(arrays["network_mean"], arrays["network_rows"]).to(self._device)
            self._share = float(arrays["network_share"])
        except (KeyError, RuntimeError, TypeError) as error:
            raise Corrupt(f"load the fitted embedder: {type(error).__name__} in its weights") from error
        self._dimension = len(self._drawn.rows) + len(self._learned.rows)

    def describe(self) -> EmbedderDescription:
        """Return the card."""
        return EmbedderDescription(
            name="fitted",
            version="1",
            dimension=self._dimension,
            frame_size=FRAME_SIZE,
            preprocessing=PREPROCESSING_VERSION,
            licence="Apache-2.0 (code), CC-BY-SA-4.0 (weights)",
            digests=(("weights", self._digest),),
        )

    def embed(self, frames: Picture, meta: Sequence[FrameMeta] = ()) -> Vectors:
        """Embed the frames; see the port."""
        drawn = self._descriptor.embed(frames, meta)
        vectors = np.empty((len(frames), self._dimension), np.float32)
        with torch.inference_mode():
            for start in range(0, len(frames), _MICRO_BATCH):
                part = slice(start, start + _MICRO_BATCH)
                pictures = torch.from_numpy(np.ascontiguousarray(frames[part])).to(self._device)
                described = torch.from_numpy(drawn[part]).to(self._device)
                vectors[part] = self._join(described, self._network(pictures)).cpu().numpy()
        return vectors

    def _join(self, described: Tensor, features: Tensor) -> Tensor:
        """Weigh the two so that the cosine of the whole is the weighted mean of both cosines."""
        drawn = self._drawn(described) * (1.0 - self._share) ** 0.5
        learned = self._learned(functional.normalize(features)) * self._share**0.5
        return functional.normalize(torch.cat([drawn, learned], 1))


def read_weights(path: Path) -> tuple[dict[str, Vectors], str]:
    """Return the arrays of a weights file and the hex SHA-256 of its bytes. Raises Unavailable, Corrupt."""
    try:
        contents = path.read_bytes()
    except OSError as error:
        raise Unavailable(f"read the weights {path.name}: {error.strerror}") from error
    try:
        with np.load(io.BytesIO(contents), allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name], np.float32) for name in archive.files}
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise Corrupt(f"read the weights {path.name}: {type(error).__name__}") from error
    return arrays, hashlib.sha256(contents).hexdigest()


def make_network(arrays: dict[str, Vectors]) -> Network:
    """Return the network with the weights among these arrays, in evaluation mode."""
    network = Network()
    state = {
        name.removeprefix(NETWORK_PREFIX): torch.from_numpy(array)
        for name, array in arrays.items()
        if name.startswith(NETWORK_PREFIX)
    }
    network.load_state_dict(state)
    return network.eval()
