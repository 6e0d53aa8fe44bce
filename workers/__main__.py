"""`python -m workers [--config FILE]` runs a worker; `python -m workers embed FILE` prints the vectors of one file."""

import argparse
import base64
import json
import sys
from pathlib import Path

from dicom_node import logs, settings
from dicom_node.errors import Rejected, Unavailable


def main() -> int:
    """Parse the command line, and run."""
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--config", type=Path, help="configuration file")
    parser.add_argument("action", nargs="?", choices=["run", "embed"], default="run")
    parser.add_argument("file", nargs="?", type=Path, help="the DICOM file to embed")
    arguments = parser.parse_args()
    try:
        options = settings.load(arguments.config)
    except Rejected as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure("worker", options.log_level)
    if arguments.action == "embed":
        return _embed(options, arguments.file)
    from workers.app import run

    return run(options)


def _embed(options: settings.Settings, file: Path) -> int:
    """Print, as JSON, the vectors (float32, little endian, base64) of a file that is in no archive."""
    from workers.app import make_decoder
    from workers.embedders.registry import make_embedder

    embedder = make_embedder(options.worker.embedder, threads=options.worker.torch_threads)
    try:
        with make_decoder(options) as decoder:
            frames = decoder.frames(file.absolute())
    except (Rejected, Unavailable) as error:
        print(error, file=sys.stderr)
        return 1
    vectors = embedder.embed(frames.pixels).astype("<f4")
    answer = {
        "space": embedder.describe().vector_space().name,
        "modality": frames.meta.modality,
        "shape": list(vectors.shape),
        "vectors": base64.b64encode(vectors.tobytes()).decode(),
    }
    print(json.dumps(answer))
    return 0


if __name__ == "__main__":
    sys.exit(main())
