"""`evaluate`: how well an embedder finds what is alike, measured on labelled files.

The measuring is done by the workers' package, which this one does not import: the process becomes it.
"""

from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from dicom_node.commands.options import Config, Json, load_settings
from dicom_node.commands.processes import become

app = typer.Typer()


class Split(StrEnum):
    """Who asks whom."""

    HALVES = "halves"
    HELD_OUT = "held-out"
    ALL = "all"


Folder = Annotated[Path, typer.Argument(metavar="DIR", exists=True, file_okay=False, help="Folder of the files.")]
Labels = Annotated[Path, typer.Option(metavar="CSV", exists=True, dir_okay=False, help="The table of labels.")]
EmbedderName = Annotated[str, typer.Option("--embedder", metavar="NAME", help="Default: the configured one.")]
SplitName = Annotated[
    Split,
    typer.Option(
        "--split",
        help="halves: half of the patients asks the other half; held-out: each file of the half that nothing was "
        "fitted on asks the others of it; all: each asks all others.",
    ),
]
Transforms = Annotated[int, typer.Option(metavar="N", min=0, help="Also search N files changed in ten ways.")]
Html = Annotated[Path | None, typer.Option("--html", metavar="FILE", help="Write a page with pictures.")]


@app.command()
def evaluate(
    folder: Folder,
    labels: Labels,
    embedder: EmbedderName = "",
    split: SplitName = Split.HALVES,
    transforms: Transforms = 0,
    html: Html = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Measure how well an embedder finds what is alike, on labelled DICOM files, PNG or JPEG.

    The table has a row for each file. Columns: file (below DIR) and label must be there; patient_id, or else group_id,
    says whose hits do not count; dataset and source (or source_repo) tell sets apart; modality and body_part make
    tasks of their own; licence_class says what may be fitted on. Others are ignored.

    Answers P@1, P@5, P@10, mAP, mAP@10 and nDCG@10 for each task, with 95 % intervals over patients, beside chance and
    24 x 24 grey pixels.

    Example: dicom-node evaluate pictures --labels pictures/all.csv --transforms 300 --html evaluation.html
    """
    load_settings(None, config)
    arguments = [] if config is None else ["--config", str(config.absolute())]
    arguments += ["evaluate", str(folder), "--labels", str(labels), "--split", split.value]
    arguments += ["--transforms", str(transforms), *(["--embedder", embedder] if embedder else [])]
    arguments += [*(["--html", str(html)] if html else []), *(["--json"] if json else [])]
    become("workers", *arguments)
