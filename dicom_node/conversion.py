"""The converting child: turns data sets into an uncompressed transfer syntax, one after another.

Started by `converter` as `python -m dicom_node.conversion ORDERS`, so that hostile bytes cannot take the node with
them: it limits its own memory, and a timer of the kernel ends it when a job overruns. At the end of its input it ends.
Wire, both ways one line of JSON: a job is {"source", "data_set_offset", "from", "to", "target"}; its answer is {} when
the data set has been appended to the file `target`, else {"rejected"}. The rule: nothing of a data set is printed.
"""

import json
import logging
import os
import resource
import signal
import sys
import warnings
import zlib
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from pydicom import DataElement, Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.filebase import DicomIO
from pydicom.filereader import read_dataset
from pydicom.filewriter import write_dataset
from pydicom.pixels.utils import decompress
from pydicom.uid import UID, ExplicitVRBigEndian, ExplicitVRLittleEndian, ImplicitVRLittleEndian, RLELossless

from dicom_node.errors import Rejected
from dicom_node.instance import DEFLATED

NATIVE = frozenset({ImplicitVRLittleEndian, ExplicitVRLittleEndian, ExplicitVRBigEndian}) | DEFLATED
# Bytes per word of the VRs whose values pydicom leaves in the byte order of the file.
WORD_BYTES = {"OW": 2, "OF": 4, "OL": 4, "OD": 8, "OV": 8}
GRACE_S = 1.0  # the parent's clock goes first; the kernel's timer is for a parent that is gone


def main(orders: dict[str, Any]) -> int:
    """Serve jobs from standard input until it ends. `orders` has memory_bytes and time_s."""
    for number in (signal.SIGINT, signal.SIGTERM):  # sent to a whole group; the parent decides when to end
        signal.signal(number, signal.SIG_IGN)
    warnings.simplefilter("ignore")
    logging.disable(logging.CRITICAL)
    _limit_memory(orders["memory_bytes"])
    for line in sys.stdin.buffer:
        signal.setitimer(signal.ITIMER_REAL, orders["time_s"] + GRACE_S)
        answer = _serve(json.loads(line))
        signal.setitimer(signal.ITIMER_REAL, 0)
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()
    return 0


def read_native(encoded: BinaryIO, transfer_syntax_uid: str) -> Dataset:
    """Read a data set, inflated, decompressed and with all words in little endian order.

    Raises Rejected when there is no decoder for it; pydicom raises what it likes over damaged bytes.
    """
    if transfer_syntax_uid in DEFLATED:
        encoded = BytesIO(zlib.decompress(encoded.read(), -zlib.MAX_WBITS))
    is_little_endian = transfer_syntax_uid != ExplicitVRBigEndian
    data_set = read_dataset(encoded, transfer_syntax_uid == ImplicitVRLittleEndian, is_little_endian)
    if not is_little_endian:
        _swap_words(data_set)
    if transfer_syntax_uid not in NATIVE and "PixelData" in data_set:
        _decompress(data_set, transfer_syntax_uid)
    return data_set


def write(data_set: Dataset, transfer_syntax_uid: str, file: BinaryIO) -> None:
    """Append a data set in Implicit or Explicit VR Little Endian."""
    output = DicomIO(file)
    output.is_implicit_VR = transfer_syntax_uid == ImplicitVRLittleEndian
    output.is_little_endian = True
    write_dataset(output, data_set)


def _decompress(data_set: Dataset, transfer_syntax_uid: str) -> None:
    if transfer_syntax_uid != RLELossless:
        raise Rejected("there is no decoder for the transfer syntax")
    data_set.file_meta = FileMetaDataset()
    data_set.file_meta.TransferSyntaxUID = UID(transfer_syntax_uid)
    # The pixels stay what they are, so the instance stays the same one.
    decompress(data_set, as_rgb=False, generate_instance_uid=False)


def _swap_words(data_set: Dataset) -> None:
    for element in _elements(data_set):
        if element.VR in WORD_BYTES and isinstance(element.value, bytes):
            words = np.frombuffer(element.value, np.dtype(f"u{WORD_BYTES[element.VR]}"))
            element.value = words.byteswap().tobytes()


def _elements(data_set: Dataset) -> Iterator[DataElement]:
    for element in data_set:
        if element.VR == "SQ":
            for item in element.value:
                yield from _elements(item)
        else:
            yield element


def _serve(job: dict[str, Any]) -> dict[str, str]:
    try:
        with Path(job["source"]).open("rb") as source, Path(job["target"]).open("r+b") as target:
            source.seek(job["data_set_offset"])
            target.seek(0, os.SEEK_END)
            write(read_native(source, job["from"]), job["to"], target)
    except Rejected as rejection:
        return {"rejected": str(rejection)}
    except BaseException as error:  # noqa: BLE001 - native code raises what is no Exception, and it is the bytes' fault
        return {"rejected": f"the data set cannot be converted: {type(error).__name__}"}
    return {}


def _limit_memory(memory_bytes: int) -> None:
    """Allow this much beyond what interpreter and libraries have mapped by now; no core is dumped, it holds pixels."""
    pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[0])
    limit = memory_bytes + pages * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


if __name__ == "__main__":
    sys.exit(main(json.loads(sys.argv[1])))
