"""`config show` and `config check`."""

import typer

from dicom_node import launch
from dicom_node.commands.options import Config, Data, load_settings
from dicom_node.commands.output import console

app = typer.Typer(name="config", no_args_is_help=True, help="Look at the configuration.")


@app.command()
def show(data: Data = None, config: Config = None) -> None:
    """Print every option with the value it has: defaults, then the file, then the environment.

    Example: dicom-node config show --config /etc/dicom-node.yaml
    """
    console().print(launch.as_yaml(load_settings(data, config)), end="", markup=False)


@app.command()
def check(data: Data = None, config: Config = None) -> None:
    """Say whether the configuration is right; every wrong or unknown option is named, and the exit status is 2.

    Example: dicom-node config check --config /etc/dicom-node.yaml
    """
    load_settings(data, config)
    console().print("The configuration is right.")
