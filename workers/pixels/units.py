"""Stored values → the unit the modality measures in: rescale or Modality LUT, and SUVbw for PET.

Called by `reader`, frame by frame, since enhanced instances rescale each frame on its own.
"""

from datetime import datetime, timedelta
from typing import Any

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from workers.pixels.description import first_value
from workers.pixels.lookup import LookupTable, table_of_item

Floats = NDArray[np.float32]


def functional_group(header: Dataset, index: int, sequence: str) -> Dataset | None:
    """Return the macro's item for frame `index`, from the per-frame groups before the shared ones (PS3.3 C.7.6.16)."""
    per_frame = header.get("PerFrameFunctionalGroupsSequence") or []
    shared = header.get("SharedFunctionalGroupsSequence") or []
    for group in [*per_frame[index : index + 1], *shared[:1]]:
        items = group.get(sequence)
        if items:
            return items[0]  # type: ignore[no-any-return]
    return None


def first_item(header: Dataset, sequence: str) -> Dataset | None:
    """Return the first item of a sequence, None when it is absent or empty."""
    items = header.get(sequence)
    return items[0] if items else None


def rescale(header: Dataset, index: int, values: NDArray[Any], signed: bool) -> Floats:
    """Apply the Modality LUT, or slope and intercept, of frame `index`."""
    table = modality_table(header, signed)
    if table is not None:
        return table.apply(values)
    item = functional_group(header, index, "PixelValueTransformationSequence") or header
    slope, intercept = _number(item, "RescaleSlope", 1.0), _number(item, "RescaleIntercept", 0.0)
    return np.asarray(values.astype(np.float32) * np.float32(slope or 1.0) + np.float32(intercept), np.float32)


def modality_table(header: Dataset, signed: bool) -> LookupTable | None:
    """Return the Modality LUT, None when there is none."""
    item = first_item(header, "ModalityLUTSequence")
    return None if item is None else table_of_item(item, signed)


def suv_factor(header: Dataset) -> float | None:
    """Return what turns rescaled values into SUV by body weight, None where the header does not allow it.

    Values in g/ml are SUVbw already. Those in Bq/ml need weight, dose, half-life and the time from injection to the
    moment the scanner corrected the decay to (QIBA's vendor-neutral rule).
    """
    if header.get("Units") == "GML":
        return 1.0 if header.get("SUVType", "BW") in ("", "BW") else None
    item = first_item(header, "RadiopharmaceuticalInformationSequence")
    if header.get("Units") != "BQML" or item is None:
        return None
    weight_kg, dose_bq = _number(header, "PatientWeight", 0.0), _number(item, "RadionuclideTotalDose", 0.0)
    decay = _decay(header, item)
    if weight_kg <= 0 or dose_bq <= 0 or decay is None:
        return None
    return weight_kg * 1000.0 / (dose_bq * decay)


def _decay(header: Dataset, item: Dataset) -> float | None:
    """Return the share of the dose that is left at the time the pixels are corrected to."""
    corrected_to = header.get("DecayCorrection")
    if corrected_to == "ADMIN":
        return 1.0
    half_life_s = _number(item, "RadionuclideHalfLife", 0.0)
    start, injected = _scan_start(header), _injection_time(header, item)
    if corrected_to != "START" or half_life_s <= 0 or start is None or injected is None:
        return None
    elapsed_s = (start - injected) / timedelta(seconds=1)
    return float(2.0 ** (-elapsed_s / half_life_s)) if 0 <= elapsed_s < 86400 else None


def _scan_start(header: Dataset) -> datetime | None:
    """Series time, unless a post-processed series was dated after its acquisition."""
    series = _moment(header.get("SeriesDate"), header.get("SeriesTime"))
    acquired = _moment(header.get("AcquisitionDate"), header.get("AcquisitionTime"))
    if series is not None and acquired is not None:
        return min(series, acquired)
    return series or acquired


def _injection_time(header: Dataset, item: Dataset) -> datetime | None:
    stamp = str(item.get("RadiopharmaceuticalStartDateTime") or "")
    if stamp:
        return _moment(stamp[:8], stamp[8:14])
    return _moment(header.get("SeriesDate"), item.get("RadiopharmaceuticalStartTime"))


def _moment(date: Any, time: Any) -> datetime | None:
    try:
        return datetime.strptime(
            f"{date}{str(time)[:6]}+0000", "%Y%m%d%H%M%S%z"
        )  # both ends of a span: any zone will do
    except ValueError:
        return None


def _number(header: Dataset, keyword: str, default: float) -> float:
    value = first_value(header, keyword)
    try:
        number = default if value is None else float(value)
    except (TypeError, ValueError):
        return default
    return number if np.isfinite(number) else default
