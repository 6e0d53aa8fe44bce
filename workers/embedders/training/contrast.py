"""Contrastive training of the network: two views of a picture are alike, and so are pictures of one finding in a set.

Called by `training.__main__`. The second half of that is compared within a set only, so that the network is not paid
for telling sets, that is hospitals and their file formats, apart.
"""

import logging
import math
from dataclasses import dataclass

import torch
import torch.nn.functional as functional
from torch import Generator, Tensor, nn

from workers.embedders.network import FEATURES, Network
from workers.embedders.training.augment import augment

logger = logging.getLogger(__name__)

_PROJECTED = 96
_TEMPERATURE = 0.15
_WEIGHT_OF_LABELS = 0.5
_APART = -1e4


@dataclass(frozen=True, slots=True)
class Pictures:
    """What is trained on: uint8[n, 128, 128], and int64[n] numbers of each one's set and finding (-1: unknown)."""

    pixels: Tensor
    sets: Tensor
    findings: Tensor


@dataclass(frozen=True, slots=True)
class Schedule:
    """How long and how fast: AdamW with a warm start and a cosine to zero."""

    steps: int
    batch: int = 96
    rate: float = 2e-3
    decay: float = 0.05
    seed: int = 20


def train(pictures: Pictures, schedule: Schedule) -> Network:
    """Return the trained network, in evaluation mode."""
    torch.manual_seed(schedule.seed)
    generator = Generator().manual_seed(schedule.seed)
    network = Network()
    network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    head = nn.Sequential(nn.Linear(FEATURES, FEATURES), nn.ReLU(), nn.Linear(FEATURES, _PROJECTED))
    parameters = [*network.parameters(), *head.parameters()]
    optimizer = torch.optim.AdamW(parameters, schedule.rate, weight_decay=schedule.decay)
    odds = chances(pictures.sets)
    network.train()
    for step in range(schedule.steps):
        for group in optimizer.param_groups:
            group["lr"] = schedule.rate * _share_of_rate(step, schedule.steps)
        chosen = torch.multinomial(odds, schedule.batch, generator=generator)
        loss = _loss(network, head, pictures, chosen, generator)
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        if step % 50 == 0:
            logger.info("step %d of %d: loss %.3f", step, schedule.steps, loss.item())
    return network.eval()


def chances(sets: Tensor) -> Tensor:
    """Draw from a set as the root of its size, so that the largest does not crowd out the others."""
    return 1.0 / torch.sqrt(torch.bincount(sets).float())[sets]


def _share_of_rate(step: int, steps: int) -> float:
    warm = min(1.0, (step + 1) / (0.05 * steps + 1))
    return warm * 0.5 * (1.0 + math.cos(math.pi * step / steps))


def _loss(network: Network, head: nn.Module, pictures: Pictures, chosen: Tensor, generator: Generator) -> Tensor:
    batch = pictures.pixels[chosen].float() / 255.0
    views = torch.cat([augment(batch, generator), augment(batch, generator)])
    with torch.autocast("cpu", torch.bfloat16):
        features = network.features(views)
    projected = functional.normalize(head(features.float()))
    cosines = projected @ projected.T / _TEMPERATURE
    twice = chosen.repeat(2)
    alone = torch.eye(len(twice), dtype=torch.bool)
    same_picture = (twice[:, None] == twice) & ~alone
    sets, findings = pictures.sets[twice], pictures.findings[twice]
    within = (sets[:, None] == sets) & ~alone
    same_finding = within & (findings[:, None] == findings) & (findings[:, None] >= 0)
    of_views = contrastive_loss(cosines, same_picture, ~alone)
    return of_views + _WEIGHT_OF_LABELS * contrastive_loss(cosines, same_finding | same_picture, within)


def contrastive_loss(cosines: Tensor, alike: Tensor, compared: Tensor) -> Tensor:
    """Return the mean over rows of -log of an alike one's share among the compared (Khosla et al. 2020, "out").

    `alike` and `compared` are bool[n, n] without the diagonal; each row has an alike one.
    """
    shares = functional.log_softmax(cosines.masked_fill(~compared, _APART), dim=1)
    return -((shares * alike).sum(1) / alike.sum(1)).mean()
