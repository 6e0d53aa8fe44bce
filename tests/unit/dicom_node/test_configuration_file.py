"""`configs/dicom-node.yaml` cannot lie: it holds every option, each with its default and a word about it."""

import itertools
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

from dicom_node.settings import load

FILE = Path(__file__).parents[3] / "configs" / "dicom-node.yaml"
# Only in a comment: set, it would no longer follow the data folder.
FOLLOWS_DATA_DIR = "index.data_dir"


def flattened(options: dict[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    for name, value in options.items():
        if isinstance(value, dict):
            yield from flattened(value, f"{prefix}{name}.")
        else:
            yield prefix + name, value


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    import os

    for name in [name for name in os.environ if name.startswith("DICOM_NODE__")]:
        monkeypatch.delenv(name)


def test_every_option_stands_there_with_its_default() -> None:
    defaults = dict(flattened(load().model_dump(mode="json")))
    assert defaults.pop(FOLLOWS_DATA_DIR) == "data/index"
    assert dict(flattened(yaml.safe_load(FILE.read_text()))) == defaults
    assert "  # data_dir: data/index\n" in FILE.read_text()


def test_the_file_can_be_used_as_it_is() -> None:
    assert load(FILE) == load()


def test_every_option_has_a_word_about_it() -> None:
    lines = FILE.read_text().splitlines()
    bare = [
        line for before, line in itertools.pairwise(lines)
        if line.strip() and not line.strip().startswith("#") and not before.strip().startswith("#")
    ]  # fmt: skip
    assert bare == []
