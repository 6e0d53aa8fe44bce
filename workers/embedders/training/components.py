"""Principal components of a set of vectors, and everything the fitted embedder stores.

Called by `training.__main__`. Vectors are weighted so that each set of pictures counts as the root of its size.
"""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as functional
from numpy.typing import NDArray

from workers.embedders.descriptor import Descriptor
from workers.embedders.fitted import NETWORK_PREFIX
from workers.embedders.network import Network
from workers.embedders.port import Vectors
from workers.pixels.frames import Picture

# 384 values together; the network's part of the cosine.
DESCRIPTOR_COMPONENTS = 256
NETWORK_COMPONENTS = 128
NETWORK_SHARE = 0.3
_BATCH = 64


def fit_components(vectors: Vectors, weights: NDArray[np.float64], count: int) -> tuple[Vectors, Vectors]:
    """Return the weighted mean, float32[features], and the `count` leading directions, float32[count, features].

    The largest value of each direction is positive, so that the same vectors give the same directions everywhere.
    """
    share = weights / weights.sum()
    mean = share @ vectors
    centred = vectors - mean
    _, directions = np.linalg.eigh((centred * share[:, None]).T @ centred)
    rows = directions[:, ::-1].T[:count]
    signs = np.sign(rows[np.arange(count), np.abs(rows).argmax(axis=1)])
    return mean.astype(np.float32), (rows * signs[:, None]).astype(np.float32)


def fit(network: Network, frames: Picture, weights: NDArray[np.float64]) -> dict[str, NDArray[np.generic]]:
    """Return the arrays of the weights file: the network, and the components of both parts."""
    descriptor_mean, descriptor_rows = fit_components(Descriptor().embed(frames), weights, DESCRIPTOR_COMPONENTS)
    network_mean, network_rows = fit_components(_features(network, frames), weights, NETWORK_COMPONENTS)
    arrays: dict[str, NDArray[np.generic]] = {
        "descriptor_mean": descriptor_mean,
        "descriptor_rows": descriptor_rows,
        "network_mean": network_mean,
        "network_rows": network_rows,
        "network_share": np.array(NETWORK_SHARE, np.float32),
    }
    for name, tensor in network.state_dict().items():
        arrays[NETWORK_PREFIX + name] = tensor.contiguous().numpy()
    return arrays


def _features(network: Network, frames: Picture) -> Vectors:
    with torch.inference_mode():
        parts = [
            functional.normalize(network(torch.from_numpy(frames[start : start + _BATCH])))
            for start in range(0, len(frames), _BATCH)
        ]
    return np.asarray(torch.cat(parts).numpy())


def write_weights(path: Path, arrays: dict[str, NDArray[np.generic]]) -> None:
    """Write the arrays, floats as float16: what a worker reads back is what was measured."""
    small = {name: array.astype(np.float16) if array.dtype == np.float32 else array for name, array in arrays.items()}
    path.parent.mkdir(exist_ok=True)
    np.savez(path, allow_pickle=False, **small)
