"""Files that lie, burst, or are no instances at all: refused in bounded memory, each with its reason."""

import io
import tracemalloc
from pathlib import Path

import numpy as np
import pytest

from tests.dicom import encoded
from tests.pictures import DEFLATED, EXPLICIT, IMPLICIT, deflated, describe, item, quadrants, write, write_picture
from workers.errors import Rejected, Unavailable
from workers.pixels.reader import read_frames
from workers.pixels.source import inflate, open_source

PICTURE = quadrants(0, 100, 200, 400)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "instance.dcm"


def code_of(path: Path) -> str:
    with pytest.raises(Rejected) as rejection:
        read_frames(path)
    return rejection.value.code


@pytest.mark.parametrize("content", [b"", b"%PDF-1.7 and so on", b"\0" * 200, b"\0" * 128 + b"DICM", b"\xff" * 4000])
def test_what_is_no_instance_is_unreadable(file: Path, content: bytes) -> None:
    file.write_bytes(content)
    assert code_of(file) == "unreadable"


def test_file_that_cannot_be_opened_is_unavailable(file: Path) -> None:
    with pytest.raises(Unavailable, match="No such file"):
        read_frames(file)


def test_data_set_without_preamble_and_meta_is_guessed(file: Path) -> None:
    for transfer_syntax in (IMPLICIT, EXPLICIT):
        data_set = describe(PICTURE, PixelData=PICTURE.tobytes())
        file.write_bytes(encoded(data_set, transfer_syntax))
        assert read_frames(file).frame_numbers == (1,)


def test_pixel_data_of_another_vr_encoding_than_the_syntax_says_is_found(file: Path) -> None:
    write_picture(file, PICTURE)
    data = file.read_bytes()
    explicit = b"\xe0\x7f\x10\x00OW\0\0"
    assert explicit in data
    file.write_bytes(data.replace(explicit, b"\xe0\x7f\x10\x00"))
    assert read_frames(file).frame_numbers == (1,)


def test_only_the_header_is_read(file: Path) -> None:
    write_picture(file, np.zeros((1, 128, 128), "<i2"), NumberOfFrames=1)
    with file.open("r+b") as stream:
        stream.truncate(4 << 30)
    tracemalloc.start()
    with open_source(file) as opened:
        assert opened.pixels is not None
        assert opened.pixels.length == 128 * 128 * 2
    assert tracemalloc.get_traced_memory()[1] < 1 << 20
    tracemalloc.stop()


def test_deflated_bomb_stops_at_the_bound() -> None:
    bomb = deflated(bytes(64 << 20))
    assert len(bomb) < 100_000
    tracemalloc.start()
    with pytest.raises(Rejected, match="more than 8388608 bytes") as rejection:
        inflate(io.BytesIO(bomb), maximum_bytes=8 << 20)
    assert tracemalloc.get_traced_memory()[1] < 32 << 20
    tracemalloc.stop()
    assert rejection.value.code == "too_large"


def test_deflated_bytes_that_end_early_keep_what_came_before(file: Path) -> None:
    path = write_picture(
        file, np.random.default_rng(1).integers(0, 255, (128, 128)).astype("u1"), transfer_syntax=DEFLATED
    )
    path.write_bytes(path.read_bytes()[:-1000])
    assert code_of(path) == "truncated"


def test_element_that_claims_gigabytes_is_stepped_over(file: Path) -> None:
    write(file, describe(PICTURE))
    with file.open("ab") as stream:
        stream.write(bytes.fromhex("30000000") + b"UN\0\0" + (3 << 30).to_bytes(4, "little"))
    tracemalloc.start()
    assert code_of(file) == "no_pixel_data"
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_element_in_a_sequence_that_claims_gigabytes_allocates_nothing(file: Path) -> None:
    write(file, describe(PICTURE))
    sequence = bytes.fromhex("08001011") + b"SQ\0\0" + b"\xff" * 4 + bytes.fromhex("feff00e0") + b"\xff" * 4
    with file.open("ab") as stream:
        stream.write(sequence + bytes.fromhex("08005011") + b"UN\0\0" + (3 << 30).to_bytes(4, "little"))
    tracemalloc.start()
    assert code_of(file) in ("no_pixel_data", "unreadable")
    assert tracemalloc.get_traced_memory()[1] < 16 << 20
    tracemalloc.stop()


def test_deep_nesting_ends_in_a_rejection(file: Path) -> None:
    nested = item(PatientComments="deep")
    for _ in range(150):
        nested = item(ReferencedStudySequence=[nested])
    path = write(file, describe(PICTURE, ReferencedStudySequence=[nested]))
    data = path.read_bytes()
    one_level = bytes.fromhex("08001011") + b"SQ\0\0" + b"\xff" * 4 + bytes.fromhex("feff00e0") + b"\xff" * 4
    path.write_bytes(data[: data.index(b"\x08\x00\x10\x11")] + one_level * 5000)
    assert code_of(path) in ("unreadable", "no_pixel_data")


def test_rejections_quote_no_text_of_the_data_set(file: Path) -> None:
    secret = "Secret^Token"
    path = write(file, describe(PICTURE, PatientName=secret, Modality=secret[:16], TransducerType=secret))
    path.write_bytes(path.read_bytes() + secret.encode() * 3)
    with pytest.raises(Rejected) as rejection:
        read_frames(path)
    assert "Secret" not in str(rejection.value)
