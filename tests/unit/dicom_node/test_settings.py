"""Options: defaults < file < environment < command line; unknown keys are errors."""

from pathlib import Path

import pytest

from dicom_node.errors import Rejected
from dicom_node.settings import load


def test_a_later_source_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "node.yaml"
    file.write_text("dicom: {port: 104, ae_title: FROMFILE, similar_ae_title: FROMFILE2}\n")
    monkeypatch.setenv("DICOM_NODE__DICOM__AE_TITLE", "FROMENV")
    settings = load(file, dicom={"port": 4242})
    assert (settings.dicom.port, settings.dicom.ae_title, settings.dicom.similar_ae_title) == (
        4242,
        "FROMENV",
        "FROMFILE2",
    )
    assert settings.http.port == 8080


def test_everything_lies_in_the_data_folder_unless_said_otherwise(tmp_path: Path) -> None:
    settings = load(None, data_dir=tmp_path)
    assert settings.catalog_url == f"sqlite:///{tmp_path}/catalog.sqlite"
    assert settings.index.data_dir == tmp_path / "index"
    assert settings.archive_dir == tmp_path / "archive"
    assert settings.broker_url.startswith("redis+socket:///")
    elsewhere = load(None, data_dir=tmp_path, index={"data_dir": "/srv/index"}, catalog={"url": "postgresql://db/x"})
    assert elsewhere.index.data_dir == Path("/srv/index")
    assert elsewhere.catalog_url == "postgresql://db/x"


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("dicom: {prot: 1}", "dicom.prot"),
        ("nonsense: 1", "nonsense"),
        ("dicom: {port: 70000}", "dicom.port"),
        ("dicom: {ae_title: SEVENTEEN_LETTERS}", "dicom.ae_title"),
        ("similarity: {default_rows: 101}", "similarity.default_rows"),
        ("peers: [{ae_title: A, host: h, port: 0}]", "peers.0.port"),
        (
            "peers: [{ae_title: A, host: h, port: 104}, {ae_title: 'A ', host: i, port: 104}]",
            "two peers have the same AE title",
        ),
    ],
)
def test_a_wrong_option_is_named(tmp_path: Path, text: str, named: str) -> None:
    file = tmp_path / "node.yaml"
    file.write_text(text)
    with pytest.raises(Rejected, match=named):
        load(file)


def test_a_missing_file_is_said(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="no configuration file"):
        load(tmp_path / "absent.yaml")
