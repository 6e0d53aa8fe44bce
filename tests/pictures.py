"""Part 10 files with pixels for tests: any picture, any element, native or encapsulated."""

import zlib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom import Dataset
from pydicom.dataset import FileMetaDataset
from pydicom.encaps import encapsulate
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_file_meta_info
from pydicom.uid import UID, SecondaryCaptureImageStorage

from tests.dicom import encoded

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"
DEFLATED = "1.2.840.10008.1.2.1.99"
BIG_ENDIAN = "1.2.840.10008.1.2.2"


def quadrants(top_left: int, top_right: int, bottom_left: int, bottom_right: int, dtype: str = "<i2") -> NDArray[Any]:
    """Return a 128 x 128 picture of four values: its size and values last to the canonical square."""
    return np.kron(np.array([[top_left, top_right], [bottom_left, bottom_right]]), np.ones((64, 64), int)).astype(dtype)


def corners(picture: NDArray[Any]) -> list[float]:
    """Return the middle values of a picture's quadrants, as `quadrants` takes them, to three places."""
    low, high = picture.shape[0] // 4, 3 * picture.shape[0] // 4
    return [round(float(picture[row, column]), 3) for row in (low, high) for column in (low, high)]


def describe(pixels: NDArray[Any], samples: int = 1, **elements: Any) -> Dataset:
    """Return a data set with the Image Pixel module of `pixels` ([frames,] rows, columns[, samples]), without them."""
    shape = pixels.shape[:-1] if samples > 1 else pixels.shape
    data_set = Dataset()
    data_set.SOPClassUID = SecondaryCaptureImageStorage
    data_set.SOPInstanceUID = "2.25.7"
    data_set.Modality = "OT"
    data_set.Rows, data_set.Columns = shape[-2:]
    if len(shape) == 3:
        data_set.NumberOfFrames = shape[0]
    data_set.SamplesPerPixel = samples
    data_set.PhotometricInterpretation = "MONOCHROME2" if samples == 1 else "RGB"
    if samples > 1:
        data_set.PlanarConfiguration = 0
    data_set.BitsAllocated = data_set.BitsStored = pixels.dtype.itemsize * 8
    data_set.HighBit = data_set.BitsStored - 1
    data_set.PixelRepresentation = int(pixels.dtype.kind == "i")
    _set(data_set, elements)
    return data_set


def write_picture(
    path: Path, pixels: NDArray[Any], samples: int = 1, transfer_syntax: str = EXPLICIT, **elements: Any
) -> Path:
    """Write `pixels` natively to `path`; `elements` by keyword add to the data set or replace its own."""
    data_set = describe(pixels, samples, **{k: v for k, v in elements.items() if k != "PixelData"})
    ordered = pixels.dtype.newbyteorder(">" if transfer_syntax == BIG_ENDIAN else "<")
    raw = pixels.astype(ordered).tobytes()
    data_set.PixelData = elements.get("PixelData", raw + b"\0" * (len(raw) % 2))
    data_set["PixelData"].VR = "OB" if pixels.dtype.itemsize == 1 and transfer_syntax != IMPLICIT else "OW"
    return write(path, data_set, transfer_syntax)


def write_code_streams(
    path: Path, description: Dataset, code_streams: Sequence[bytes], transfer_syntax: str, has_table: bool = True
) -> Path:
    """Write frames as they come from an encoder, encapsulated, one fragment each."""
    description.PixelData = encapsulate(list(code_streams), has_bot=has_table)
    description["PixelData"].VR = "OB"
    description["PixelData"].is_undefined_length = True
    return write(path, description, transfer_syntax)


def write(path: Path, data_set: Dataset, transfer_syntax: str = EXPLICIT) -> Path:
    """Write the data set as a Part 10 file, in any transfer syntax, also one pydicom does not know."""
    meta = FileMetaDataset()
    meta.MediaStorageSOPClassUID = data_set.get("SOPClassUID", "1.2.3")
    meta.MediaStorageSOPInstanceUID = data_set.get("SOPInstanceUID", "1.2.3")
    meta.TransferSyntaxUID = UID(transfer_syntax)
    head = DicomBytesIO()
    write_file_meta_info(head, meta)
    body = encoded(data_set, transfer_syntax)
    if transfer_syntax == DEFLATED:
        body = deflated(body)
    path.write_bytes(b"\0" * 128 + b"DICM" + head.getvalue() + body)
    return path


def deflated(data: bytes) -> bytes:
    """Return the bytes deflated, without a header, as DICOM has them."""
    packer = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return packer.compress(data) + packer.flush()


def item(**elements: Any) -> Dataset:
    """Return a sequence item."""
    data_set = Dataset()
    _set(data_set, elements)
    return data_set


def _set(data_set: Dataset, elements: dict[str, Any]) -> None:
    for keyword, value in elements.items():
        if value is None:
            delattr(data_set, keyword)
        else:
            setattr(data_set, keyword, value)
