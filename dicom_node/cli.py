"""The `dicom-node` command: joins the subcommands, and turns the node's errors into exit statuses.

The statuses are the ones `--help` lists; scripts may rely on them.
"""

import importlib.metadata

import typer
from typer.core import TyperGroup

from dicom_node.commands import configuration, importing, node, peers, processes, similar
from dicom_node.commands.output import console, print_failure
from dicom_node.errors import Corrupt, Rejected, Unavailable

FAILURE, REFUSED, UNAVAILABLE = 1, 3, 4
HELP = """An event-driven DICOM node that answers: which studies look like this one?

Start a node with `dicom-node up`, send it studies, ask it with `dicom-node similar` or any C-FIND workstation.

Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found or refused, 4 not available now.
"""


class Commands(TyperGroup):
    """The group of all commands; a node's error ends one with a message and its exit status."""

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the command."""
        try:
            return super().invoke(ctx)
        except Rejected as error:
            print_failure(str(error))
            raise typer.Exit(REFUSED) from error
        except Unavailable as error:
            print_failure(str(error))
            raise typer.Exit(UNAVAILABLE) from error
        except (Corrupt, OSError) as error:
            print_failure(str(error))
            raise typer.Exit(FAILURE) from error


app = typer.Typer(
    name="dicom-node",
    cls=Commands,
    help=HELP,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
for _panel, _commands in {
    "Run": (processes.up, processes.serve, processes.dispatch, processes.worker, processes.index),
    "Look": (node.status, similar.similar, node.failed, node.retry),
    "Talk to other systems": (peers.echo, peers.store, peers.find),
}.items():
    for _command in _commands:
        app.command(rich_help_panel=_panel)(_command)
app.command("import", rich_help_panel="Look")(importing.import_)
app.add_typer(configuration.app, name="config", rich_help_panel="Other")


@app.command(rich_help_panel="Other")
def version() -> None:
    """Print the version.

    Example: dicom-node version
    """
    console().print(importlib.metadata.version("dicom-node"))


def main() -> None:
    """Run the command line."""
    app()
