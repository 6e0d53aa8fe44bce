"""`echo`, `store`, `find`: the node's tools for talking to other DICOM systems, with DCMTK's options."""

import logging
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Annotated, Any

import typer
from pydicom import Dataset
from pydicom.multival import MultiValue

from dicom_node.commands.options import Json
from dicom_node.commands.output import console, plain, print_json
from dicom_node.dimse import scu
from dicom_node.dimse.scu import Peer
from dicom_node.query_keys import make_identifier

app = typer.Typer()
Host = Annotated[str, typer.Argument(help="Host name or address of the peer.")]
Port = Annotated[int, typer.Argument(min=1, max=65535, help="Its DICOM port.")]
Called = Annotated[str, typer.Option("-aec", "--call", metavar="AETITLE", help="AE title of the peer.")]
Calling = Annotated[str, typer.Option("-aet", "--aetitle", metavar="AETITLE", help="AE title of ours.")]
Timeout = Annotated[
    float, typer.Option("-to", "--timeout", metavar="SECONDS", min=0.1, help="Longest wait for an answer.")
]


@app.command()
def echo(
    host: Host, port: Port, called: Called = "ANY-SCP", calling: Calling = "ECHOSCU", timeout_s: Timeout = 30.0
) -> None:
    """Ask a peer whether it is there (C-ECHO).

    Example: dicom-node echo localhost 11112 -aec DICOMNODE
    """
    status = scu.echo(_peer(host, port, called, calling, timeout_s))
    console().print(f"{called} answered {status:04X}", markup=False)
    raise typer.Exit(0 if status == 0 else 1)


@app.command()
def store(
    host: Host,
    port: Port,
    paths: Annotated[list[Path], typer.Argument(metavar="PATH...", exists=True, help="Files and folders.")],
    called: Called = "ANY-SCP",
    calling: Calling = "STORESCU",
    timeout_s: Timeout = 30.0,
    json: Json = False,
) -> None:
    """Send files, and all files below folders, to a peer (C-STORE), each as it lies on the disk.

    The exit status is 0 when the peer has stored all of them, else 1.

    Example: dicom-node store localhost 11112 -aec DICOMNODE scans/
    """
    results = []
    for sent in scu.store(_peer(host, port, called, calling, timeout_s), _files(paths)):
        results.append(sent)
        if not json:
            outcome = sent.reason if sent.status is None else f"{sent.status:04X}{sent.reason}"
            console().print(plain(f"{outcome}  {sent.path}"))
    stored = sum(sent.stored for sent in results)
    if json:
        files = [{"path": str(sent.path), "status": sent.status, "reason": sent.reason} for sent in results]
        print_json({"stored": stored, "not_stored": len(results) - stored, "files": files})
    else:
        console().print(f"{stored} stored, {len(results) - stored} not")
    raise typer.Exit(0 if stored == len(results) else 1)


@app.command()
def find(
    host: Host,
    port: Port,
    key: Annotated[
        list[str], typer.Option("-k", "--key", metavar="KEY[=VALUE]", help="A keyword or gggg,eeee, with its value.")
    ],
    patient_root: Annotated[bool, typer.Option("-P", "--patient", help="Use the Patient Root model.")] = False,
    _study_root: Annotated[bool, typer.Option("-S", "--study", help="Use the Study Root model (default).")] = False,
    called: Called = "ANY-SCP",
    calling: Calling = "FINDSCU",
    timeout_s: Timeout = 30.0,
    json: Json = False,
) -> None:
    """Query a peer (C-FIND). Without a QueryRetrieveLevel the level is STUDY.

    Example: dicom-node find localhost 11112 -aec SIMILAR -k AccessionNumber=A123 -k StudyDescription -k StudyComments
    """
    identifier = make_identifier(key)
    peer = _peer(host, port, called, calling, timeout_s)
    matches = scu.find(peer, identifier, "patient" if patient_root else "study")
    if json:
        print_json([match.to_json_dict() for match in matches])
    else:
        _print_matches(matches)


def _peer(host: str, port: int, called: str, calling: str, timeout_s: float) -> Peer:
    # What the library has to say is in our own messages.
    logging.getLogger("pynetdicom").setLevel(logging.CRITICAL)
    return Peer(host, port, called, calling, timeout_s)


def _files(paths: Iterable[Path]) -> Iterator[Path]:
    for path in paths:
        if path.is_dir():
            yield from sorted(file for file in path.rglob("*") if file.is_file())
        else:
            yield path


def _print_matches(matches: Iterable[Dataset]) -> None:
    count = 0
    for count, match in enumerate(matches, 1):
        console().print(f"# {count}", style="bold")
        for line in _lines(match):
            console().print(plain(line))
    console().print(f"{count} matches")


def _lines(match: Dataset, indent: str = "") -> Iterator[str]:
    for element in match:
        if element.VR == "SQ":
            yield f"{indent}{element.tag} {element.name}"
            for item in element.value:
                yield from _lines(item, indent + "  > ")
        else:
            yield f"{indent}{element.tag} {element.name}: {_shown(element.value)}"


def _shown(value: Any) -> str:
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, MultiValue):
        return "\\".join(str(item) for item in value)
    return "" if value is None else str(value)
