"""`dicom-node evaluate` on a folder of drawn pictures: two kinds, of four patients each."""

import json
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from workers.pixels.pictures import to_png

SIDE = 96


def disc(random: np.random.Generator) -> np.ndarray:
    y, x = np.mgrid[0:SIDE, 0:SIDE] - random.uniform(40, 56, (2, 1, 1))
    return np.asarray(0.8 * (np.hypot(x, y) < random.uniform(15, 30)) + random.uniform(0, 0.005, (SIDE, SIDE)))


def bars(random: np.random.Generator) -> np.ndarray:
    line = 0.5 + 0.4 * np.sin(np.arange(SIDE) / random.uniform(3, 4))
    return np.tile(line, (SIDE, 1)) + random.uniform(0, 0.005, (SIDE, SIDE))


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight patients of two pictures each, labelled disc or <bars>, and one uniform picture."""
    root = tmp_path_factory.mktemp("drawn")
    random = np.random.default_rng(3)
    lines = ["file,label,patient_id,modality,body_part"]
    for number in range(16):
        label, draw = ("disc", disc) if number < 8 else ("<bars>", bars)
        (root / f"{number}.png").write_bytes(to_png(draw(random).astype(np.float32)))
        lines.append(f"{number}.png,{label},SECRET{number // 2},OT,")
    (root / "flat.png").write_bytes(to_png(np.zeros((SIDE, SIDE), np.float32)))
    lines.append("flat.png,disc,SECRET9,OT,")
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    return root


def evaluate(folder: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dicom_node", "evaluate", folder, *arguments]
    return subprocess.run([str(part) for part in command], capture_output=True, text=True)


def test_unlike_kinds_are_told_apart_and_counted(folder: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    result = evaluate(
        *(folder, "--labels", folder / "labels.csv", "--split", "all", "--transforms", 4, "--html", page, "--json")
    )
    assert result.returncode == 0, result.stderr
    report = json.loads(result.stdout)
    assert (report["rows"], report["rejected"], report["split"]) == (16, {"blank": 1}, "all")
    (score,) = report["scores"]
    assert (score["task"], score["queries"], score["ranked"]) == ("label in the set", 16, 16)
    precision = score["values"]["P@1"]
    assert (precision["value"], precision["low"], precision["high"]) == (1.0, 1.0, 1.0)
    assert precision["chance"] == pytest.approx(6 / 14)
    assert score["values"]["P@10"]["value"] == pytest.approx(0.6)  # six others are alike
    assert score["by_label"]["disc"]["queries"] == 8
    assert len(report["sturdiness"]) == 10
    bordered = report["sturdiness"][2]
    assert (bordered["transform"], bordered["pictures"]) == ("border 10 %", 4)
    # Six of the ten neighbours are of the same kind, and stay; the border is trimmed away but for its noise.
    assert bordered["neighbours_kept"] >= 0.6
    assert bordered["cosine"] == pytest.approx(1.0, abs=0.03)
    assert bordered["same_first"] > report["sturdiness"][6]["same_first"]  # turned by 15°
    _check_page(page.read_text(encoding="utf-8"))


def _check_page(page: str) -> None:
    """It holds its pictures, escapes its labels, and tells nobody's name."""
    assert page.count("data:image/png;base64,") >= 9
    assert "&lt;bars&gt;" in page
    assert "<bars>" not in page
    assert "SECRET" not in page
    assert re.findall(r'(?:src|href)="(?!data:)', page) == []


def test_a_table_for_people(folder: Path) -> None:
    result = evaluate(folder, "--labels", folder / "labels.csv", "--split", "all")
    assert result.returncode == 0, result.stderr
    assert re.search(r"label in the set +16 +100\.0 +100\.0-100\.0", result.stdout)
    assert "1 have none (blank)" in result.stdout


@pytest.mark.parametrize(
    ("table", "status", "reason"),
    [
        ("file\na.png\n", 3, "the column label is missing"),
        ("file,label\nnone.png,a\n", 4, "No such file"),
        ("file,label\nflat.png,a\n", 3, "none has a picture"),
    ],
)
def test_what_cannot_be_evaluated_says_why(folder: Path, tmp_path: Path, table: str, status: int, reason: str) -> None:
    labels = tmp_path / "labels.csv"
    labels.write_text(table, encoding="utf-8")
    result = evaluate(folder, "--labels", labels)
    assert result.returncode == status
    assert reason in result.stderr


def test_an_unknown_embedder_is_unavailable(folder: Path) -> None:
    result = evaluate(folder, "--labels", folder / "labels.csv", "--embedder", "nonesuch")
    assert result.returncode == 4
    assert "nonesuch" in result.stderr
