"""`similar`: which studies look like this one, asked from the command line."""

import base64
import json as json_format
import subprocess
import sys
import tempfile
from contextlib import closing
from pathlib import Path
from typing import Annotated

import numpy as np
import typer

from dicom_node import launch
from dicom_node.catalog.repository import Catalog
from dicom_node.commands.options import Config, Data, Json, load_existing_node
from dicom_node.commands.output import console, print_json, print_table
from dicom_node.errors import Rejected
from dicom_node.part10 import read_contents
from dicom_node.settings import Settings
from dicom_node.similar import as_json, named_studies, study_as_json
from dicom_node.similarity_search import Ask, Similar, SimilaritySearch
from index_service.client import IndexClient

app = typer.Typer()
Example = Annotated[str, typer.Argument(metavar="STUDY_UID|ACCESSION|FILE", help="What the studies should look like.")]
Matches = Annotated[int, typer.Option("-k", min=1, max=100, help="How many studies.")]
EMBED_TIMEOUT_S = 120


@app.command()
def similar(example: Example, k: Matches = 8, data: Data = None, config: Config = None, json: Json = False) -> None:
    """Rank the studies that look like an example: a study of the archive, or any DICOM file.

    Example: dicom-node similar 1.2.840.113619.2.55.3 -k 20
    """
    options = load_existing_node(data, config)
    with closing(IndexClient(options.index.address)) as index, Catalog(options.catalog_url) as catalog:
        ask = make_ask(catalog, options, example, rows=k + 1)
        answer = SimilaritySearch(catalog, index, options.similarity).find(ask)
    if json:
        print_json(as_json(answer))
    else:
        _print(answer)


def make_ask(catalog: Catalog, options: Settings, example: str, rows: int) -> Ask:
    """Turn what was typed into a question: a file is asked by its instance if that is kept, else by its pixels."""
    path = Path(example)
    if path.is_file():
        return _ask_by_file(catalog, options, path, rows)
    named = named_studies(catalog, example)
    if len(named) > 1:
        raise Rejected("several studies carry this accession number; name one: " + " ".join(named))
    return Ask(named[0], rows=rows)


def _ask_by_file(catalog: Catalog, options: Settings, path: Path, rows: int) -> Ask:
    with path.open("rb") as file:
        uid = read_contents(file).sop_instance_uid
    if catalog.instances("sop_instance_uid", uid):
        return Ask(sop_instance_uid=uid, rows=rows)
    return embed(options, path, rows - 1)


def embed(options: Settings, path: Path, rows: int) -> Ask:
    """Have a worker's process compute the vectors of a file that is in no archive; no model is loaded here."""
    with tempfile.TemporaryDirectory(prefix="dicom-node-") as folder:
        config = Path(folder, "node.yaml")
        config.write_text(launch.as_yaml(options))
        command = [sys.executable, "-m", "workers", "--config", str(config), "embed", str(path.absolute())]
        done = subprocess.run(command, capture_output=True, text=True, timeout=EMBED_TIMEOUT_S, check=False)  # noqa: S603
    if done.returncode != 0:
        lines = done.stderr.strip().splitlines()
        raise Rejected(f"the file cannot be embedded: {lines[-1] if lines else 'no reason given'}")
    answer = json_format.loads(done.stdout)
    vectors = np.frombuffer(base64.b64decode(answer["vectors"]), "<f4").reshape(answer["shape"])
    return Ask(vectors=vectors.astype(np.float32), modality=answer["modality"], space=answer["space"], rows=rows)


def _print(answer: Similar) -> None:
    rows = []
    for match in answer.matches:
        study = study_as_json(match.study)
        rows.append(
            (
                match.rank or "example",
                f"{match.score:.3f}",
                study["study_date"],
                "\\".join(study["modalities"]),
                study["study_description"],
                study["accession_number"],
                study["study_instance_uid"],
            )
        )
    print_table(["#rank", "#score", "date", "modality", "description", "accession", "Study Instance UID"], rows)
    note = "; some shards did not answer" if answer.partial else ""
    console().print(f"\n{answer.studies_searched} studies searched in {answer.space.name}{note}", markup=False)
