"""`python -m workers [--config FILE]` runs a worker.

`python -m workers embed FILE` prints the vectors of one file; `python -m workers evaluate DIR --labels CSV` measures an
embedder.
"""

import argparse
import base64
import json
import sys
from pathlib import Path

from dicom_node import logs, settings
from dicom_node.errors import Rejected, Unavailable
from workers.evaluation_tasks import SPLITS


def main() -> int:
    """Parse the command line, and run."""
    arguments = _parse()
    try:
        options = settings.load(arguments.config)
    except Rejected as error:
        print(error, file=sys.stderr)
        return 2
    logs.configure("worker", options.log_level)
    if arguments.action == "embed":
        return _embed(options, arguments.file)
    if arguments.action == "evaluate":
        from workers import evaluate_command

        return evaluate_command.run(options, arguments)
    from workers.app import run

    return run(options)


def _parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m workers", description=__doc__)
    parser.add_argument("--config", type=Path, help="configuration file")
    actions = parser.add_subparsers(dest="action")
    actions.add_parser("run", help="run a worker; what is done without an action")
    embed = actions.add_parser("embed", help="print the vectors of a file")
    embed.add_argument("file", type=Path, help="the DICOM file to embed")
    evaluate = actions.add_parser("evaluate", help="measure an embedder on labelled files")
    evaluate.add_argument("folder", type=Path, help="folder of the files")
    evaluate.add_argument("--labels", type=Path, required=True, help="table of labels (CSV)")
    evaluate.add_argument("--embedder", default="", help="name of the embedder; default: the configured one")
    evaluate.add_argument("--split", choices=SPLITS, default="halves", help="who asks whom")
    evaluate.add_argument("--transforms", type=int, default=0, metavar="N", help="files to change and search")
    evaluate.add_argument("--html", type=Path, help="write a page with pictures")
    evaluate.add_argument("--json", action="store_true", help="print JSON")
    return parser.parse_args()


def _embed(options: settings.Settings, file: Path) -> int:
    """Print, as JSON, the vectors (float32, little endian, base64) of a file that is in no archive."""
    from workers.app import make_decoder
    from workers.embedders.registry import make_embedder

    embedder = make_embedder(options.worker.embedder, options.worker.torch_threads, options.worker.device)
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
