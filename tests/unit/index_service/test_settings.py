"""Settings: where the sockets are, what counts as a shard, and that a misspelled option is an error."""

import tempfile
from pathlib import Path

import pytest
from pydantic import ValidationError

from index_service.settings import IndexSettings


def test_sockets_are_in_the_run_folder_of_the_data() -> None:
    settings = IndexSettings(data_dir=Path("/srv/index"))
    assert settings.address == "unix:/srv/index/run/index.sock"
    assert [settings.shard_address(number) for number in range(settings.shard_count)] == [
        "unix:/srv/index/run/shard-0.sock",
        "unix:/srv/index/run/shard-1.sock",
    ]


def test_where_that_path_is_too_long_they_are_in_a_short_folder_of_this_user_and_data() -> None:
    deep = Path("/srv", *["a-long-name-of-a-folder"] * 5)
    address = IndexSettings(data_dir=deep / "one").address
    assert len(address.removeprefix("unix:").encode()) <= 100
    assert address.startswith(f"unix:{tempfile.gettempdir()}/dicom-node-")
    assert address == IndexSettings(data_dir=deep / "one").address
    assert address != IndexSettings(data_dir=deep / "two").address


def test_a_map_of_shards_decides_their_number() -> None:
    settings = IndexSettings(shard_addresses=("one:1", "two:1", "three:1"), listen="here:1")
    assert (settings.shard_count, settings.shard_address(2), settings.address) == (3, "three:1", "here:1")


def test_settings_survive_the_way_to_a_child_process() -> None:
    settings = IndexSettings(data_dir=Path("/srv/index"), shards=7, shard_addresses=("a:1",), metrics_port=9)
    assert IndexSettings.model_validate_json(settings.model_dump_json()) == settings


def test_an_unknown_option_is_an_error() -> None:
    with pytest.raises(ValidationError):
        IndexSettings.model_validate({"shard": 2})
