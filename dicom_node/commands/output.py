"""How commands print: tables for people, JSON for scripts, failures on standard error.

The rule: text from outside (DICOM values, file names) is shown without the control characters that would speak to the
terminal, and never read as markup.
"""

import json
from collections.abc import Iterable, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

WIDEST_TABLE = 1000


def console(stderr: bool = False) -> Console:
    """Return a console on standard output, or standard error, as it is now."""
    return Console(stderr=stderr, highlight=False, soft_wrap=True)


def print_json(value: Any) -> None:
    """Print a value as indented JSON."""
    console().print(Text(json.dumps(value, indent=2)))


def print_failure(message: str) -> None:
    """Print why a command failed."""
    console(stderr=True).print(plain(f"dicom-node: {message}"), style="red")


def print_table(columns: Sequence[str], rows: Iterable[Sequence[object]]) -> None:
    """Print rows under headings; columns whose name starts with `#` are numbers.

    Lines are as long as they are, also on a narrow terminal: a UID in pieces can be neither copied nor searched.
    """
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in columns:
        table.add_column(name.removeprefix("#"), justify="right" if name.startswith("#") else "left", overflow="fold")
    for row in rows:
        table.add_row(*(plain(value) for value in row))
    Console(width=WIDEST_TABLE, highlight=False).print(table)


def plain(value: object) -> Text:
    """Return a value as text that is only shown."""
    return Text("".join(each if each.isprintable() else "\N{REPLACEMENT CHARACTER}" for each in str(value)))
