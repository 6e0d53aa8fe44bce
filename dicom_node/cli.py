"""The `dicom-node` command: finds the subcommands, and turns the node's errors into exit statuses.

A subcommand's module is imported when it is called for: the supervisor of a node, say, needs no database and no DICOM.
The statuses are the ones `--help` lists; scripts may rely on them.
"""

from collections.abc import Mapping
from importlib import import_module

import typer
from typer.core import TyperGroup
from typer.main import get_group

from dicom_node.commands.output import print_failure
from dicom_node.errors import Corrupt, Rejected, Unavailable

FAILURE, REFUSED, UNAVAILABLE = 1, 3, 4
HELP = """An event-driven DICOM node that answers: which studies look like this one?

Start a node with `dicom-node up`, send it studies, ask it with `dicom-node similar` or any C-FIND workstation.

Exit status: 0 done, 1 failed, 2 wrong usage or configuration, 3 not found or refused, 4 not available now.
"""

# Where each subcommand is, in the order of --help.
MODULES: Mapping[str, str] = {
    "up": "processes",
    "serve": "processes",
    "dispatch": "processes",
    "worker": "processes",
    "index": "processes",
    "status": "node",
    "similar": "similar",
    "import": "importing",
    "failed": "node",
    "retry": "node",
    "echo": "peers",
    "store": "peers",
    "find": "peers",
    "evaluate": "evaluating",
    "config": "configuration",
    "version": "version",
}


class Commands(TyperGroup):
    """The group of all subcommands; a node's error ends one with a message and its exit status."""

    def list_commands(self, _: typer.Context) -> list[str]:  # type: ignore[override]
        """List the names in the order of --help."""
        return list(MODULES)

    def get_command(self, _: typer.Context, cmd_name: str) -> object:  # type: ignore[override]
        """Import the module of a subcommand and return it; None when there is no such."""
        if cmd_name not in MODULES:
            return None
        group = get_group(import_module(f"dicom_node.commands.{MODULES[cmd_name]}").app)
        return group.commands.get(cmd_name, group)

    def invoke(self, ctx: typer.Context) -> object:  # type: ignore[override]
        """Run the subcommand."""
        try:
            return super().invoke(ctx)
        except Rejected as error:
            print_failure(str(error))
            raise typer.Exit(REFUSED) from error
        except Unavailable as error:
            print_failure(str(error))
            raise typer.Exit(UNAVAILABLE) from error
        except BrokenPipeError:  # `| head`: the framework ends quietly
            raise
        except (Corrupt, OSError) as error:
            print_failure(str(error))
            raise typer.Exit(FAILURE) from error


app = typer.Typer(
    name="dicom-node",
    cls=Commands,
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback(help=HELP)
def dicom_node() -> None:
    """Make a group of the app, which has no subcommands of its own."""


def main() -> None:
    """Run the command line."""
    app()
