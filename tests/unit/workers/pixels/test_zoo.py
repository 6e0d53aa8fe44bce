"""Real files of every kind, through the real child: each ends in frames, or in a rejection with the right reason."""

import csv
from pathlib import Path

import numpy as np
import pytest

from workers.decoding import Decoder
from workers.errors import Rejected

# What does not end in frames, by the number its name begins with.
REJECTIONS = {
    "0001": "unreadable",  # meta only, no transfer syntax
    "0010": "unreadable",  # text
    "0018": "no_pixel_data",
    "0029": "no_pixel_data",
    "0031": "no_pixel_data",
    "0032": "no_pixel_data",
    "0060": "truncated",
    "0062": "nothing_to_embed",  # microscopy annotations
    "0067": "no_pixel_data",
    "0068": "no_pixel_data",
    "0087": "blank",
    "0108": "no_pixel_data",
    "0113": "no_pixel_data",
    "0208": "nothing_to_embed",  # PDF
    "0212": "nothing_to_embed",  # ECG
    "0214": "nothing_to_embed",  # KO
    "0254": "nothing_to_embed",  # raw data
    "0277": "no_pixel_data",
    "0338": "truncated",
    "0471": "nothing_to_embed",  # PR
    "0493": "nothing_to_embed",  # RT plans and structure sets
    "0494": "nothing_to_embed",
    "0496": "nothing_to_embed",
    "0497": "nothing_to_embed",
    "0498": "nothing_to_embed",
    "0500": "nothing_to_embed",  # real world value mapping
    "0504": "nothing_to_embed",  # segmentations
    "0515": "nothing_to_embed",
    "0517": "nothing_to_embed",
    "0522": "nothing_to_embed",
    "0524": "nothing_to_embed",
    "0525": "nothing_to_embed",
    "0527": "nothing_to_embed",
    "0531": "blank",
    "0537": "nothing_to_embed",  # SR
    "0549": "nothing_to_embed",
    "0577": "undecodable",  # bits rotten
}
# Several frames; all others have one.
FRAMES = {
    "0059": 10,
    "0169": 2,
    "0344": 10,
    "0359": 10,
    "0367": 10,
    "0489": 15,
    "0530": 23,
    "0535": 3,
    "0565": 23,
    "0566": 28,
    "0579": 32,
}


@pytest.fixture(scope="module")
def outcomes(shared_data: Path) -> dict[str, int | str]:
    """The number of frames or the code of each file."""
    outcomes: dict[str, int | str] = {}
    with Decoder() as decoder:
        for path in sorted((shared_data / "zoo").glob("*.dcm")):
            try:
                frames = decoder.frames(path)
            except Rejected as rejection:
                outcomes[path.name[:4]] = rejection.code
            else:
                assert np.isfinite(frames.pixels).all()
                outcomes[path.name[:4]] = len(frames.frame_numbers)
    return outcomes


def test_each_file_ends_as_it_should(outcomes: dict[str, int | str]) -> None:
    expected = {number: REJECTIONS.get(number, FRAMES.get(number, 1)) for number in outcomes}
    assert outcomes == expected
    assert len(outcomes) == 162


def test_what_another_decoder_can_read_is_never_called_undecodable(
    outcomes: dict[str, int | str], shared_data: Path
) -> None:
    with (shared_data / "zoo" / "index.csv").open(encoding="utf-8", newline="") as table:
        decodable = {row["file"][:4] for row in csv.DictReader(table) if row["decodable"] == "y"}
    failures = {"unreadable", "undecodable", "truncated", "no_pixel_data", "decoder_timeout", "decoder_memory"}
    assert {number for number in decodable if outcomes[number] in failures} == set()


@pytest.mark.parametrize(
    "numbers",
    [
        ("0165", "0166", "0174", "0190"),  # one CT: deflated, big endian, lossless JPEG, JPEG 2000
        ("0352", "0360"),  # MR, lossless and near-lossless
        ("0073", "0075", "0076", "0080"),  # CR, MONOCHROME1
        ("0581", "0586"),
        ("0236", "0342", "0358", "0366", "0376"),
    ],
)
def test_transfer_syntax_makes_no_difference(shared_data: Path, numbers: tuple[str, ...]) -> None:
    pictures = []
    with Decoder() as decoder:
        for number in numbers:
            (path,) = (shared_data / "zoo").glob(f"{number}_*.dcm")
            pictures.append(decoder.frames(path).pixels[0])
    for picture in pictures[1:]:
        assert float(np.abs(picture - pictures[0]).mean()) < 0.005
