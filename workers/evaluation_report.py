"""An evaluation as a person reads it: a table for the terminal, JSON for scripts, a page with pictures.

Called by `evaluate_command`. The page holds all it needs, escaped; it shows pictures and labels, and neither the names
of files nor of patients.
"""

import base64
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import jinja2

from dicom_node.commands.output import console, print_table
from workers.evaluate import Example, Score, Sturdiness
from workers.evaluation import MEASURES
from workers.labelled import LabelledFolder, Row
from workers.pixels.pictures import to_png

_TABLE_MEASURES = ("P@1", "P@10", "mAP", "nDCG@10")


@dataclass(frozen=True, slots=True)
class Report:
    """All that was measured, and of what. `rows` counts the files that have a vector."""

    embedder: str
    space: str
    split: str
    rows: int
    rejected: Mapping[str, int]
    scores: Sequence[Score]
    sturdiness: Sequence[Sturdiness]

    def as_json(self) -> dict[str, Any]:
        """Return the fields as JSON-ready values, without the examples, which are row numbers."""
        fields = asdict(self)
        for score in fields["scores"]:
            del score["examples"]
        return fields


def print_report(report: Report) -> None:
    """Print the tables, in percent: the embedder with its interval, then grey pixels, then chance."""
    columns = ["task", "#queries"]
    for name in _TABLE_MEASURES:
        columns += [f"#{name}", "#interval", "#pixels", "#chance"]
    print_table(columns, [_line(score) for score in report.scores])
    if report.sturdiness:
        columns = ["change of the picture", "#same first", "#of ten neighbours stayed", "#cosine"]
        print_table(columns, [_sturdiness_line(line) for line in report.sturdiness])
    rejected = "".join(f"; {count} have none ({reason})" for reason, count in report.rejected.items())
    console().print(f"\n{report.rows} files in {report.space}{rejected}; split: {report.split}", markup=False)


def _line(score: Score) -> list[object]:
    line: list[object] = [score.task, score.queries]
    for name in _TABLE_MEASURES:
        value = score.values[name]
        interval = f"{percent(value.low)}-{percent(value.high)}"
        line += [percent(value.value), interval, percent(value.pixels), percent(value.chance)]
    return line


def _sturdiness_line(line: Sturdiness) -> tuple[str, ...]:
    return line.transform, percent(line.same_first), percent(line.neighbours_kept), f"{line.cosine:.3f}"


def percent(share: float) -> str:
    """Return a share as percent with one decimal."""
    return f"{100 * share:.1f}"


def page(report: Report, folder: LabelledFolder, rows: Sequence[Row]) -> str:
    """Return the HTML page; `rows` are those that have a vector, in their order."""
    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(Path(__file__).with_name("templates")),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.filters["percent"] = percent
    pictures = [[_pictures(example, folder, rows) for example in score.examples] for score in report.scores]
    template = environment.get_template("evaluation.html")
    return template.render(report=report, pictures=pictures, measures=MEASURES)


def _pictures(example: Example, folder: LabelledFolder, rows: Sequence[Row]) -> list[dict[str, str]]:
    """Return the query and its neighbours, each with its picture, a caption and query, right or wrong."""
    kinds = ["query", *("right" if right else "wrong" for right in example.right)]
    return [
        {
            "png": base64.b64encode(to_png(folder.frame(rows[number]))).decode(),
            "caption": " ".join(part for part in (rows[number].modality, rows[number].label) if part),
            "kind": kind,
        }
        for number, kind in zip((example.query, *example.neighbours), kinds, strict=True)
    ]
