"""`import`: what lies on disks, into a node's archive and catalog."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn, TimeRemainingColumn
from rich.text import Text

from dicom_node import import_sources, logs
from dicom_node.archive import Archive
from dicom_node.catalog.models import Queue
from dicom_node.catalog.repository import Catalog
from dicom_node.commands.options import Config, Data, Json, load_node
from dicom_node.commands.output import console, plain, print_failure, print_json
from dicom_node.import_journal import Journal
from dicom_node.importer import Importer, Report
from dicom_node.ingest import Ingest
from dicom_node.settings import Settings

app = typer.Typer()
Paths = Annotated[
    list[Path],
    typer.Argument(metavar="PATH...", exists=True, help="Folders, DICOM files, DICOMDIR files, zip archives."),
]
QueueName = Annotated[Queue, typer.Option("--queue", help="How soon to embed what is imported.")]


@app.command("import")
def import_(
    paths: Paths, data: Data = None, config: Config = None, queue: QueueName = Queue.BACKFILL, json: Json = False
) -> None:
    """Import folders, files, DICOMDIRs and zip archives, beside a running node or without one.

    Run it again after an interruption: what is known already is passed over. Files that are no DICOM are counted and
    passed over; DICOM files that cannot be kept are listed with the reason, and then the exit status is 3.

    Example: dicom-node import /mnt/cd/DICOMDIR /srv/old-archive export.zip
    """
    options = load_node(data, config)
    logs.configure("import", "error")  # what is worth a warning is counted in the report
    options.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
    with _importer(options, queue) as importer, _progress(paths) as progress:
        report = importer.run(import_sources.find(paths), progress)
    if json:
        print_json(as_json(report))
    else:
        _print(report)
    if report.stopped:
        print_failure(f"stopped: {report.stopped}. Run it again to go on.")
        raise typer.Exit(4)
    raise typer.Exit(3 if report.refused else 0)


@contextmanager
def _importer(options: Settings, queue: Queue) -> Iterator[Importer]:
    with ExitStack() as stack:
        catalog = stack.enter_context(Catalog(options.catalog_url))
        archive = Archive(options.archive_dir, options.archive.reserve_bytes)
        ingest = Ingest(archive, catalog, options.archive.header_limit_bytes)
        stack.callback(ingest.close)
        journal = stack.enter_context(Journal(options.data_dir / "import.sqlite"))
        yield Importer(ingest, catalog, journal, queue)


class RateColumn(ProgressColumn):
    """Shows the files per second of late."""

    def render(self, task: Task) -> Text:
        """Return the rate; nothing before there is one."""
        return Text("" if task.speed is None else f"{task.speed:.0f}/s")


@contextmanager
def _progress(paths: list[Path]) -> Iterator[Callable[[Report], None]]:
    """Show a bar with rate and time left on a terminal; elsewhere nothing."""
    screen = console(stderr=True)
    if not screen.is_terminal:
        yield lambda _: None
        return
    with screen.status("counting"):
        total = sum(1 for _ in import_sources.find(paths))
    columns = (
        TextColumn("importing"),
        BarColumn(),
        MofNCompleteColumn(),
        RateColumn(),
        TextColumn("ETA"),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=screen) as bar:
        task = bar.add_task("import", total=total)
        yield lambda report: bar.update(task, completed=report.files)


def as_json(report: Report) -> dict[str, Any]:
    """Return the report as a JSON object."""
    return {
        **{result.value: count for result, count in report.counts.items()},
        "bytes_kept": report.bytes_kept,
        "refusals": [{"path": refusal.name, "reason": refusal.reason} for refusal in report.refused],
        "stopped": report.stopped or None,
    }


def _print(report: Report) -> None:
    for result, count in report.counts.items():
        if count:
            console().print(f"{count:>9} {result.value.replace('_', ' ')}")
    for refusal in report.refused:
        console().print(plain(f"refused {refusal.name}: {refusal.reason}"))
