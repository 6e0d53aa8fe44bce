"""Commands that look at a node's catalog and index: `status`, `failed`, `retry`."""

from contextlib import closing
from datetime import UTC, datetime
from typing import Annotated, Any

import typer

from dicom_node import status as node_status
from dicom_node.catalog.models import EmbeddingState
from dicom_node.catalog.repository import Catalog
from dicom_node.commands.options import Config, Data, Json, load_existing_node
from dicom_node.commands.output import console, print_json, print_table
from index_service.client import IndexClient

app = typer.Typer()
LISTED = 1000


@app.command()
def status(data: Data = None, config: Config = None, json: Json = False) -> None:
    """Show how a node stands: instances by state, throughput, backlog, shards.

    Example: dicom-node status --json
    """
    options = load_existing_node(data, config)
    client = IndexClient(options.index.address, search_timeout_s=options.index.search_timeout_s)
    with closing(client) as index, Catalog(options.catalog_url) as catalog:
        now = node_status.gather(catalog, index).as_json()
    if json:
        print_json(now)
    else:
        _print_status(now)


def _print_status(now: dict[str, Any]) -> None:
    oldest = now["oldest_pending_s"]
    figures = {
        **{name.replace("_", " "): count for name, count in now["instances"].items()},
        "series": now["series"],
        "studies": now["studies"],
        "stored in the last minute": now["throughput"]["stored_last_minute"],
        "embedded in the last minute": now["throughput"]["embedded_last_minute"],
        "oldest pending": "none" if oldest is None else f"{oldest:.1f} s",
        **{f"waiting, {queue}": count for queue, count in now["queues"].items()},
    }
    print_table(["instances", "#"], figures.items())
    console().print()
    if not now["index"]["shards"]:
        console().print("The index does not answer.")
        return
    print_table(["#shard", "state", "#studies", "#instances", "#vectors"], map(_shard_row, now["index"]["shards"]))


def _shard_row(shard: dict[str, Any]) -> tuple[object, ...]:
    state = "available" if shard["available"] else "away"
    return (shard["shard"], state, shard["groups"], shard["records"], shard["vectors"])


@app.command()
def failed(
    data: Data = None,
    config: Config = None,
    rejected: Annotated[
        bool, typer.Option("--rejected", help="List those with nothing to embed, or that cannot be decoded, instead.")
    ] = False,
    json: Json = False,
) -> None:
    """List the instances given up after too many tries, with the reason; at most the latest 1000.

    Example: dicom-node failed --rejected
    """
    state = EmbeddingState.REJECTED if rejected else EmbeddingState.FAILED
    with Catalog(load_existing_node(data, config).catalog_url) as catalog:
        settled = catalog.settled(state, LISTED)
    rows = [(item.sop_instance_uid, _time(item.received_at), item.reason) for item in settled]
    columns = ("sop_instance_uid", "received_at", "reason")
    if json:
        print_json([dict(zip(columns, row, strict=True)) for row in rows])
    elif rows:
        print_table(["SOP Instance UID", "received", "reason"], rows)
    else:
        console().print(f"No instance is {state.value}.")


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="seconds")


@app.command()
def retry(
    uids: Annotated[list[str] | None, typer.Argument(metavar="[UID]...", help="SOP Instance UIDs.")] = None,
    every: Annotated[bool, typer.Option("--all", help="Retry all failed instances.")] = False,
    rejected: Annotated[bool, typer.Option("--rejected", help="Retry rejected instances too.")] = False,
    data: Data = None,
    config: Config = None,
    json: Json = False,
) -> None:
    """Embed instances again that were given up, for example after the cause was removed.

    Example: dicom-node retry --all
    """
    if bool(uids) == every:
        raise typer.BadParameter("name SOP Instance UIDs, or say --all")
    states = [EmbeddingState.FAILED, *([EmbeddingState.REJECTED] if rejected else [])]
    with Catalog(load_existing_node(data, config).catalog_url) as catalog:
        count = catalog.retry(states, uids or None)
    if json:
        print_json({"retried": count})
    else:
        console().print(f"{count} instances are pending again.")
    if uids and count < len(set(uids)):
        raise typer.Exit(3)
