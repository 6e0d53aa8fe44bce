"""`python -m workers evaluate`, which `dicom-node evaluate` turns into: measure, then print or write.

Ends with the exit statuses that the node's command has.
"""

import argparse
import sys
from pathlib import Path

from dicom_node.commands.output import print_json
from dicom_node.settings import Settings
from workers.app import make_decoder
from workers.embedders.registry import make_embedder
from workers.errors import Rejected, Unavailable
from workers.evaluate import embed_rows, scores, sturdiness
from workers.evaluation_report import Report, page, print_report
from workers.evaluation_tasks import taking_part
from workers.labelled import LabelledFolder, read_rows

_REFUSED, _UNAVAILABLE = 3, 4


def run(options: Settings, arguments: argparse.Namespace) -> int:
    """Evaluate as the parsed arguments of `workers.__main__` say; return the exit status."""
    try:
        _evaluate(options, arguments)
    except Rejected as error:
        print(f"dicom-node: {error}", file=sys.stderr)
        return _REFUSED
    except Unavailable as error:
        print(f"dicom-node: {error}", file=sys.stderr)
        return _UNAVAILABLE
    return 0


def _evaluate(options: Settings, arguments: argparse.Namespace) -> None:
    rows = taking_part(read_rows(arguments.labels), arguments.split)
    name = arguments.embedder or options.worker.embedder
    embedder = make_embedder(name, options.worker.torch_threads, options.worker.device)
    description = embedder.describe()
    with make_decoder(options) as decoder:
        folder = LabelledFolder(arguments.folder, decoder)
        embedded = embed_rows(folder, rows, embedder)
        report = Report(
            embedder=description.name,
            space=description.vector_space().name,
            split=arguments.split,
            rows=len(embedded.rows),
            rejected=dict(embedded.rejected),
            scores=scores(embedded, arguments.split),
            sturdiness=sturdiness(folder, embedded, embedder, arguments.transforms),
        )
        if arguments.html:
            _write(arguments.html, page(report, folder, embedded.rows))
    if arguments.json:
        print_json(report.as_json())
    else:
        print_report(report)


def _write(path: Path, text: str) -> None:
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise Unavailable(f"write the page: {error.strerror}") from error
