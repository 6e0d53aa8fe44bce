"""Rows of a table of labels, halves by patient, and the tasks they allow."""

from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from pydicom.data import get_testdata_file

from workers.decoding import Decoder
from workers.errors import Rejected, Unavailable
from workers.evaluation_tasks import Task, taking_part, tasks_of
from workers.labelled import LabelledFolder, Row, is_in_first_half, permitted, read_rows
from workers.pixels.pictures import to_png

TABLE = """file,label,patient_id,group_id,dataset,source_repo,modality,body_part,licence_class
a.png,benign,P1,G1,busi,one,US,BREAST,permissive
b.png,benign,,G1,busi,one,US,BREAST,unstated
c.png,normal,,,busi,,US,BREAST,share-alike
"""


def written(path: Path, text: str) -> Path:
    path.write_text(text, encoding="utf-8")
    return path


def test_a_row_belongs_to_the_patient_else_the_group_else_itself(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "all.csv", TABLE))
    assert [row.patient for row in rows] == ["busi/P1", "busi/G1", "busi/c.png"]
    assert [row.source for row in rows] == ["one", "one", "busi"]
    assert rows[0] == Row("a.png", "benign", "busi/P1", "busi", "one", "US", "BREAST", "permissive")


def test_only_stated_and_free_licences_are_permitted(tmp_path: Path) -> None:
    rows = read_rows(written(tmp_path / "all.csv", TABLE))
    assert [row.file for row in permitted(rows)] == ["a.png", "c.png"]


def test_a_table_without_labels_is_rejected(tmp_path: Path) -> None:
    with pytest.raises(Rejected, match="the column label is missing"):
        read_rows(written(tmp_path / "all.csv", "file\na.png\n"))


def test_a_missing_table_is_unavailable(tmp_path: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        read_rows(tmp_path / "none.csv")


def test_halves_stay_what_they_are() -> None:
    # Whatever was fitted, was fitted on the first half: another rule would mix what was seen with what was not.
    assert [is_in_first_half(f"set/{number}") for number in range(8)] == HALVES
    assert 460 < sum(is_in_first_half(f"set/{number}") for number in range(1000)) < 540


HALVES = [True, False, False, True, False, False, False, False]


def test_pictures_and_dicom_files_give_frames_and_reasons(tmp_path: Path) -> None:
    (tmp_path / "flat.png").write_bytes(to_png(np.zeros((32, 32), np.float32)))
    (tmp_path / "wedge.png").write_bytes(to_png(np.tile(np.linspace(0, 1, 64, dtype=np.float32), (32, 1))))
    bundled = get_testdata_file("CT_small.dcm", download=False)
    assert isinstance(bundled, str)
    (tmp_path / "ct.dcm").write_bytes(Path(bundled).read_bytes())
    rows = [Row(name, "x", name) for name in ("flat.png", "wedge.png", "ct.dcm")]
    rejected: Counter[str] = Counter()
    with Decoder() as decoder:
        found = list(LabelledFolder(tmp_path, decoder).frames(rows, rejected))
    assert [row.file for row, _ in found] == ["wedge.png", "ct.dcm"]
    assert [frame.shape for _, frame in found] == [(128, 128), (128, 128)]
    assert rejected == {"blank": 1}


def test_a_name_that_leads_out_of_the_folder_is_rejected(tmp_path: Path) -> None:
    (tmp_path / "inside").mkdir()
    (tmp_path / "outside.png").write_bytes(to_png(np.eye(32, dtype=np.float32)))
    with Decoder() as decoder, pytest.raises(Rejected, match="outside the folder"):
        LabelledFolder(tmp_path / "inside", decoder).grey(Row("../outside.png", "x", "x"))


def rows_of_two_sets() -> list[Row]:
    return [
        Row("1", "mass", "a/1", "a", "s1", "MR", "HEAD"),
        Row("2", "mass", "a/2", "a", "s2", "MR", "HEAD"),
        Row("3", "none", "a/2", "a", "s1", "CT", "HEAD"),
        Row("4", "mass", "b/1", "b", "b", "CT", "CHEST"),
    ]


def task(name: str) -> Task:
    return {task.name: task for task in tasks_of(rows_of_two_sets())}[name]


def everyone() -> np.ndarray:
    return np.arange(4)


def test_the_tasks_that_the_columns_allow() -> None:
    assert [task.name for task in tasks_of(rows_of_two_sets())] == [
        "modality and body part",
        "modality and body part, own set excluded",
        "set and label",
        "label in a",
        "label in a, within one source",
        "same patient in another modality",
    ]


def test_own_patient_and_own_set_are_left_out() -> None:
    allowed = task("modality and body part").allowed(everyone(), everyone())
    assert allowed.tolist() == [
        [False, True, True, True],
        [True, False, False, True],
        [True, False, False, True],
        [True, True, True, False],
    ]
    excluded = task("modality and body part, own set excluded").allowed(everyone(), everyone())
    assert excluded[0].tolist() == [False, False, False, True]


def test_a_source_answers_its_own_queries_only() -> None:
    allowed = task("label in a, within one source").allowed(everyone(), everyone())
    assert allowed[0].tolist() == [False, False, True, False]


def test_the_same_patient_is_sought_in_another_modality() -> None:
    same = task("same patient in another modality")
    queries, gallery = same.sides(rows_of_two_sets(), "halves")
    assert queries.tolist() == gallery.tolist() == [1, 2]
    assert same.relevant(queries, gallery).all()
    assert same.allowed(queries, gallery).tolist() == [[False, True], [True, False]]


def test_sides_part_the_patients() -> None:
    rows = [Row(str(number), str(number % 2), f"p/{number}") for number in range(40)]
    first = [number for number, row in enumerate(rows) if is_in_first_half(row.patient)]
    second = [number for number in range(40) if number not in first]
    (only,) = tasks_of(rows)
    assert [side.tolist() for side in only.sides(rows, "halves")] == [first, second]
    assert [row.file for row in taking_part(rows, "held-out")] == [str(number) for number in second]
    assert taking_part(rows, "all") == taking_part(rows, "halves") == rows
    assert [side.tolist() for side in only.sides(rows, "all")] == [list(range(40))] * 2
