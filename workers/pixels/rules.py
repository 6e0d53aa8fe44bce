"""Which rule turns an instance's values into grey: the table of modalities, in one place.

Called by `reader` once per instance. `absolute` greys mean a quantity (HU, SUV, counts): they are not inverted for
MONOCHROME1, which only says how a viewer shows the quantity.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from pydicom.dataset import Dataset

from workers.pixels import tone
from workers.pixels.description import first_value
from workers.pixels.lookup import table_of_item
from workers.pixels.units import first_item, functional_group, suv_factor

# Percentiles over everything that is not padding; a VOI LUT Sequence, which belongs to the picture, goes first.
_PROJECTION = frozenset({"CR", "DX", "MG", "XA", "RF", "RG", "IO", "PX", "XC", "RTIMAGE"})


@dataclass(frozen=True, slots=True)
class Rule:
    """How to make grey. `factor` brings rescaled values to `units` first."""

    units: str
    curve: Callable[[Sequence[tone.Values]], tone.Curve]
    absolute: bool = False
    factor: float = 1.0


def rule_for(header: Dataset, modality: str, signed: bool) -> Rule:
    """Choose the rule of a monochrome instance."""
    if modality == "CT" and _is_hounsfield(header):
        return Rule("HU", tone.hounsfield_curve, absolute=True)
    if modality == "PT" and (factor := suv_factor(header)) is not None:
        return Rule("SUVbw", tone.suv_curve, absolute=True, factor=factor)
    if modality in ("PT", "NM", "RTDOSE"):
        return Rule("relative", tone.root_curve, absolute=True)
    if modality == "MR":
        return Rule("relative", tone.foreground_curve)
    item = first_item(header, "VOILUTSequence") if modality in _PROJECTION else None
    table = table_of_item(item, signed) if item is not None else None
    return Rule("relative", tone.table_curve(table) if table else tone.percentile_curve)


def _is_hounsfield(header: Dataset) -> bool:
    """Say whether rescaled values are HU: not for localizers and not for pictures without a rescale."""
    image_type = header.get("ImageType") or []
    if "LOCALIZER" in ([image_type] if isinstance(image_type, str) else list(image_type)):
        return False
    item = functional_group(header, 0, "PixelValueTransformationSequence") or header
    is_rescaled = first_value(item, "RescaleIntercept") is not None
    return is_rescaled and item.get("RescaleType", "HU") in ("HU", "HU_MOD", "", None)


def is_inverted(header: Dataset, photometric: str) -> bool:
    """Say whether low values are white. DX marks MONOCHROME1 with both elements (PS3.3 C.8.11.3.1.2): inverted once."""
    return photometric == "MONOCHROME1" or header.get("PresentationLUTShape") == "INVERSE"
