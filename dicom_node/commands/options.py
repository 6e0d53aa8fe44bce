"""The options that several commands share, and the settings they lead to.

A command that looks at a node uses the settings that node runs with: `run/node.yaml` in its data folder, which `up`
writes. The order of sources is that of `settings`; a wrong option ends with the exit status of wrong usage.
"""

from pathlib import Path
from typing import Annotated, Any

import typer

from dicom_node import settings
from dicom_node.errors import Rejected
from dicom_node.settings import Settings

Data = Annotated[Path | None, typer.Option("--data", metavar="DIR", help="Data folder of the node.  [default: data]")]
Config = Annotated[Path | None, typer.Option("--config", metavar="FILE", help="Configuration file (YAML).")]
Json = Annotated[bool, typer.Option("--json", help="Print JSON, for scripts.")]


def load_settings(data: Path | None, config: Path | None, **overrides: Any) -> Settings:
    """Read the settings for a process that is to be started."""
    if data is not None:
        overrides["data_dir"] = data
    try:
        return settings.load(config, **overrides)
    except Rejected as error:
        raise typer.BadParameter(str(error)) from error


def load_node(data: Path | None, config: Path | None) -> Settings:
    """Read the settings of the node that runs, or last ran, on a data folder."""
    if config is None:
        running = load_settings(data, None).run_dir / "node.yaml"
        config = running if running.is_file() else None
    return load_settings(data, config)


def load_existing_node(data: Path | None, config: Path | None) -> Settings:
    """Read the settings of a node that has a catalog already. Raises Rejected when there is none."""
    options = load_node(data, config)
    if not options.catalog.url and not (options.data_dir / "catalog.sqlite").is_file():
        raise Rejected(f"no node has run on the data folder {options.data_dir}; start one with `dicom-node up`")
    return options
