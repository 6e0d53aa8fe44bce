"""`up` and the processes it is made of: `serve`, `dispatch`, `worker`, `index`."""

import os
import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dicom_node import logs
from dicom_node.commands.options import Config, Data, load_settings
from dicom_node.commands.output import console
from dicom_node.settings import Settings

app = typer.Typer()
DicomPort = Annotated[int | None, typer.Option(metavar="N", min=0, max=65535, help="DICOM port.  [default: 11112]")]
HttpPort = Annotated[int | None, typer.Option(metavar="N", min=0, max=65535, help="HTTP port.  [default: 8080]")]


@app.command()
def up(data: Data = None, config: Config = None, dicom_port: DicomPort = None, http_port: HttpPort = None) -> None:
    """Run a whole node: broker, index, worker, dispatcher, DICOM and HTTP. Ctrl-C ends it.

    Nothing needs to be installed or configured first. Two nodes run side by side when their data folders and ports
    differ.

    Example: dicom-node up --data /srv/dicom-node --dicom-port 11112 --http-port 8080
    """
    from dicom_node import launch

    ports = {"dicom": dicom_port, "http": http_port}
    overrides: dict[str, Any] = {name: {"port": port} for name, port in ports.items() if port is not None}
    options = load_settings(data, config, **overrides)
    logs.configure("up", options.log_level)
    raise typer.Exit(launch.run(options, announce))


@app.command()
def serve(data: Data = None, config: Config = None) -> None:
    """Run the process that receives, keeps and answers: the DICOM and the HTTP port.

    Example: dicom-node serve --config /etc/dicom-node.yaml
    """
    from dicom_node import serve as process

    options = load_settings(data, config)
    logs.configure("serve", options.log_level)
    raise typer.Exit(process.run(options))


@app.command()
def dispatch(data: Data = None, config: Config = None) -> None:
    """Run the process that announces stored instances to the workers.

    Example: dicom-node dispatch --config /etc/dicom-node.yaml
    """
    from dicom_node import dispatch as process

    options = load_settings(data, config)
    logs.configure("dispatch", options.log_level)
    raise typer.Exit(process.run(options))


@app.command()
def worker(data: Data = None, config: Config = None) -> None:
    """Run a worker, which turns stored instances into vectors. As many as the cores allow may run.

    Example: dicom-node worker --config /etc/dicom-node.yaml
    """
    load_settings(data, config)
    if data is not None:
        os.environ["DICOM_NODE__DATA_DIR"] = str(data.absolute())
    become("workers", *([] if config is None else ["--config", str(config.absolute())]))


@app.command()
def index(data: Data = None, config: Config = None) -> None:
    """Run the index service: the router, and its shards as child processes.

    Example: dicom-node index --config /etc/dicom-node.yaml
    """
    options = load_settings(data, config)
    become("index_service", "router", "--config-json", options.index.model_dump_json())


def become(module: str, *arguments: str) -> None:
    """Replace this process by another module's: its imports stay out of this package."""
    os.execv(sys.executable, [sys.executable, "-m", module, *arguments])  # noqa: S606 - our own interpreter


def announce(options: Settings) -> None:
    """Print where a node that has become ready listens, and what to try first."""
    dicom, http = options.dicom, options.http
    host = "localhost" if http.host in {"127.0.0.1", "0.0.0.0", "::"} else http.host  # noqa: S104 - compared only
    program = sys.argv[0] if Path(sys.argv[0]).name == "dicom-node" else "dicom-node"
    console().print(
        f"""
dicom-node is ready.
  DICOM   port {dicom.port}, AE titles {dicom.ae_title} (archive) and {dicom.similar_ae_title} (similar studies)
  HTTP    http://{host}:{http.port}/
  Data    {options.data_dir.absolute()}

Try, in another terminal:
  storescu -aec {dicom.ae_title} +sd +r localhost {dicom.port} FOLDER        # send a folder
  {program} status --data {options.data_dir}                      # watch it being indexed
  findscu -S -aec {dicom.similar_ae_title} -k QueryRetrieveLevel=STUDY -k StudyInstanceUID=UID \\
      -k StudyDescription -k 0032,4000 localhost {dicom.port}       # find similar studies
""",
        markup=False,
    )
