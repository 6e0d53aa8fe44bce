"""`python -m workers.embedders.training DIR --labels CSV [--steps N] [--out FILE]`: make the fitted embedder's weights.

Reads rows whose licence_class is permissive or share-alike, of the first half of the patients; the second half is for
`dicom-node evaluate --split held-out`.
"""

import argparse
import logging
import sys
from pathlib import Path

import numpy as np
import torch

from workers.decoding import Decoder
from workers.embedders.fitted import WEIGHTS
from workers.embedders.training.components import fit, write_weights
from workers.embedders.training.contrast import Schedule, chances, train
from workers.embedders.training.material import read_material
from workers.labelled import LabelledFolder, read_rows

logger = logging.getLogger(__name__)


def main() -> int:
    """Train, fit, write."""
    parser = argparse.ArgumentParser(prog="python -m workers.embedders.training", description=__doc__)
    parser.add_argument("folder", type=Path, help="folder of the files")
    parser.add_argument("--labels", type=Path, required=True, help="table of labels (CSV)")
    parser.add_argument("--steps", type=int, default=2800, help="steps of training")
    parser.add_argument("--out", type=Path, default=WEIGHTS, help="the file to write")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    torch.set_num_threads(1)
    with Decoder() as decoder:
        material = read_material(LabelledFolder(arguments.folder, decoder), read_rows(arguments.labels))
    logger.info("%d pictures", len(material.rows))
    pictures = material.pictures()
    network = train(pictures, Schedule(arguments.steps))
    weights = chances(pictures.sets).numpy().astype(np.float64)
    write_weights(arguments.out, fit(network, material.frames, weights))
    return 0


if __name__ == "__main__":
    sys.exit(main())
