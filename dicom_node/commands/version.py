"""`version`."""

import importlib.metadata

import typer

from dicom_node.commands.output import console

app = typer.Typer()


@app.command()
def version() -> None:
    """Print the version.

    Example: dicom-node version
    """
    console().print(importlib.metadata.version("dicom-node"))
