"""Conversions by the limited child: what they change, and what becomes of those that overrun."""

import os
import signal
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset
from pydicom.sequence import Sequence

from dicom_node.archive import Archive
from dicom_node.catalog.retrieval import KeptInstance
from dicom_node.conversion import read_native, write
from dicom_node.converter import Converter
from dicom_node.errors import Rejected
from dicom_node.settings import RetrieveSettings
from tests.dicom import ct, encoded
from tests.servers import wait_for

EXPLICIT, IMPLICIT = "1.2.840.10008.1.2.1", "1.2.840.10008.1.2"
BIG_ENDIAN, DEFLATED, J2K = "1.2.840.10008.1.2.2", "1.2.840.10008.1.2.1.99", "1.2.840.10008.1.2.4.90"


@contextmanager
def converter(folder: Path, timeout_s: float = 30.0, memory_bytes: int = 1 << 30) -> Iterator[Converter]:
    settings = RetrieveSettings(conversion_timeout_s=timeout_s, conversion_memory_bytes=memory_bytes)
    made = Converter(Archive(folder / "archive"), settings)
    try:
        yield made
    finally:
        made.close()


def convert(made: Converter, folder: Path, data_set: bytes, transfer_syntax_uid: str) -> Dataset:
    """Convert to Implicit VR Little Endian; nothing stays of the file."""
    source = folder / "source"
    source.write_bytes(b"head" + data_set)
    instance = KeptInstance("1.2", "1.3", transfer_syntax_uid, "", "")
    with made.converted(instance, source, 4, IMPLICIT) as (path, offset):
        converted = path.read_bytes()
        assert converted[128:132] == b"DICM"
    assert not path.exists()
    return read_dataset(BytesIO(converted[offset:]), True, True)


def test_words_are_turned_round_at_every_depth_and_bytes_are_not() -> None:
    data_set, item = Dataset(), Dataset()
    item.add_new(0x54000100, "OW", b"\x12\x34\x56\x78")
    item.add_new(0x00089459, "FL", 1.5)
    data_set.add_new(0x54000100, "SQ", Sequence([item]))
    data_set.add_new(0x00281201, "OW", b"\x01\x02")
    data_set.add_new(0x00420011, "OB", b"\x01\x02")
    data_set.add_new(0x00660016, "OF", b"\x01\x02\x03\x04")
    data_set.add_new(0x7FE00009, "OD", b"\x01\x02\x03\x04\x05\x06\x07\x08")
    native = read_native(BytesIO(encoded(data_set, BIG_ENDIAN)), BIG_ENDIAN)
    output = BytesIO()
    write(native, EXPLICIT, output)
    read = read_dataset(BytesIO(output.getvalue()), False, True)
    (nested,) = read[0x54000100].value
    assert (nested[0x54000100].value, nested[0x00089459].value) == (b"\x34\x12\x78\x56", 1.5)
    assert [read[tag].value for tag in (0x00281201, 0x00420011, 0x00660016, 0x7FE00009)] == [
        b"\x02\x01",
        b"\x01\x02",
        b"\x04\x03\x02\x01",
        b"\x08\x07\x06\x05\x04\x03\x02\x01",
    ]


def test_a_compressed_syntax_without_pixels_is_explicit_little_endian() -> None:
    report = ct()
    del report.PixelData
    assert read_native(BytesIO(encoded(report)), J2K) == report


def test_a_transfer_syntax_without_a_decoder_and_garbage_are_rejected_and_the_child_goes_on(tmp_path: Path) -> None:
    with converter(tmp_path) as made:
        with pytest.raises(Rejected, match="no decoder for the transfer syntax"):
            convert(made, tmp_path, encoded(ct()), J2K)
        child = made._child
        with pytest.raises(Rejected, match="cannot be converted: error"):
            convert(made, tmp_path, b"Doe^Jane", DEFLATED)
        assert convert(made, tmp_path, encoded(ct(PatientID="P7")), EXPLICIT).PatientID == "P7"
        assert made._child is child


def test_a_bomb_is_stopped_and_the_next_is_converted(tmp_path: Path) -> None:
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    bomb = deflater.compress(bytes(256 << 20)) + deflater.flush()
    assert len(bomb) < 1 << 20
    with converter(tmp_path, memory_bytes=64 << 20) as made:
        with pytest.raises(Rejected, match="cannot be converted: MemoryError"):
            convert(made, tmp_path, bomb, DEFLATED)
        assert convert(made, tmp_path, encoded(ct(PatientID="P7")), EXPLICIT).PatientID == "P7"


def test_a_child_that_is_late_is_ended(tmp_path: Path) -> None:
    with converter(tmp_path, timeout_s=0.001) as made:
        with pytest.raises(Rejected, match="within the limits"):
            convert(made, tmp_path, encoded(ct()), EXPLICIT)
        assert made._child is None


def test_a_child_that_was_killed_is_replaced(tmp_path: Path) -> None:
    with converter(tmp_path) as made:
        convert(made, tmp_path, encoded(ct()), EXPLICIT)
        child = made._child
        assert child is not None
        os.kill(child.pid, signal.SIGKILL)
        wait_for(lambda: os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT), "the child dead")
        assert convert(made, tmp_path, encoded(ct(PatientID="P7")), EXPLICIT).PatientID == "P7"
    assert made._child is None
