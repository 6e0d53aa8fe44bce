"""Small data sets for tests."""

import itertools
from typing import Any

import numpy as np
from pydicom import Dataset
from pydicom.filebase import DicomBytesIO
from pydicom.filewriter import write_dataset
from pydicom.uid import CTImageStorage, ExplicitVRLittleEndian

ROOT = "2.25.99"
_numbers = itertools.count(1)


def new_uid() -> str:
    """Return a UID not given out before in this process."""
    return f"{ROOT}.{next(_numbers)}"


def ct(**elements: Any) -> Dataset:
    """Return a small CT instance; `elements` by keyword replace or add to its own."""
    data_set = Dataset()
    data_set.SOPClassUID = CTImageStorage
    data_set.SOPInstanceUID = new_uid()
    data_set.StudyInstanceUID = f"{ROOT}.0.1"
    data_set.SeriesInstanceUID = f"{ROOT}.0.2"
    data_set.PatientName = "Doe^Jane"
    data_set.PatientID = "P1"
    data_set.StudyDate = "20240131"
    data_set.AccessionNumber = "A1"
    data_set.Modality = "CT"
    data_set.InstanceNumber = "1"
    data_set.Rows = data_set.Columns = 32
    data_set.SamplesPerPixel = 1
    data_set.PhotometricInterpretation = "MONOCHROME2"
    data_set.BitsAllocated = data_set.BitsStored = 16
    data_set.HighBit = 15
    data_set.PixelRepresentation = 1
    data_set.RescaleSlope, data_set.RescaleIntercept = "1", "-1024"
    pixels = np.arange(32 * 32, dtype="<i2").reshape(32, 32)
    data_set.PixelData = pixels.tobytes()
    for keyword, value in elements.items():
        setattr(data_set, keyword, value)
    return data_set


def encoded(data_set: Dataset, transfer_syntax: str = ExplicitVRLittleEndian) -> bytes:
    """Return the data set's bytes, without preamble and file meta information."""
    buffer = DicomBytesIO()
    buffer.is_implicit_VR = transfer_syntax == "1.2.840.10008.1.2"
    buffer.is_little_endian = transfer_syntax != "1.2.840.10008.1.2.2"
    write_dataset(buffer, data_set)
    return buffer.getvalue()
