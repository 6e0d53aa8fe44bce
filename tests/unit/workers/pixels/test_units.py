"""SUV where the header allows, and lookup tables as data sets really carry them."""

from typing import Any

import numpy as np
import pytest
from pydicom import Dataset

from tests.pictures import item
from workers.pixels.lookup import LookupTable, palette_channel, table_of_item
from workers.pixels.units import suv_factor

INJECTION = {
    "RadionuclideTotalDose": 370e6,
    "RadionuclideHalfLife": 6586.2,
    "RadiopharmaceuticalStartTime": "100000.00",
}


def pet(injection: dict[str, Any] | None = None, **elements: Any) -> Dataset:
    header = {
        "Units": "BQML",
        "PatientWeight": 74,
        "DecayCorrection": "START",
        "SeriesDate": "20240131",
        "SeriesTime": "114946",
        **elements,
    }
    return item(RadiopharmaceuticalInformationSequence=[item(**{**INJECTION, **(injection or {})})], **header)


def test_one_half_life_halves_the_dose() -> None:
    assert suv_factor(pet()) == pytest.approx(1 / 2500, rel=1e-4)


def test_pixels_corrected_to_the_injection_need_no_time() -> None:
    assert suv_factor(pet(DecayCorrection="ADMIN")) == pytest.approx(1 / 5000)


def test_full_injection_date_and_time_is_used() -> None:
    header = pet({"RadiopharmaceuticalStartDateTime": "20240130235959"}, SeriesTime="014945")
    assert suv_factor(header) == pytest.approx(1 / 2500, rel=1e-3)


def test_acquisition_goes_before_a_series_time_of_later_processing() -> None:
    header = pet(SeriesTime="180000", AcquisitionDate="20240131", AcquisitionTime="114946")
    assert suv_factor(header) == pytest.approx(1 / 2500, rel=1e-4)


@pytest.mark.parametrize(
    "header",
    [
        pet(PatientWeight=0),
        pet(SeriesTime=""),
        pet(DecayCorrection="NONE"),
        pet(Units="CNTS"),
        pet(SeriesTime="090000"),
        pet({"RadionuclideTotalDose": 0}),
        pet({"RadionuclideHalfLife": 0}),
        item(Units="BQML", PatientWeight=74),
        item(Units="GML", SUVType="LBM"),
    ],
)
def test_no_suv_is_better_than_a_wrong_one(header: Dataset) -> None:
    assert suv_factor(header) is None


def table(descriptor: list[int], data: Any) -> Dataset:
    entry = Dataset()
    entry.add_new("LUTDescriptor", "US", descriptor)
    entry.add_new("LUTData", "OW" if isinstance(data, bytes) else "US", data)
    return entry


def test_values_outside_take_the_first_and_the_last_entry() -> None:
    lookup = LookupTable(10, np.array([1.0, 2.0, 3.0], np.float32))
    np.testing.assert_array_equal(lookup.apply(np.array([-5, 10, 11, 12, 99])), [1, 1, 2, 3, 3])


def test_first_value_is_signed_like_the_pixels() -> None:
    lookup = table_of_item(table([2, 65535, 16], [7, 8]), signed=True)
    assert lookup is not None
    assert lookup.first == -1


def test_zero_entries_stand_for_65536() -> None:
    lookup = table_of_item(table([0, 0, 16], np.arange(65536, dtype="<u2").tobytes()), signed=False)
    assert lookup is not None
    assert len(lookup.entries) == 65536


def test_eight_bit_entries_may_be_packed() -> None:
    lookup = table_of_item(table([4, 0, 8], bytes([0, 1, 2, 255])), signed=False)
    assert lookup is not None
    np.testing.assert_array_equal(lookup.entries, [0, 1, 2, 255])


@pytest.mark.parametrize("entry", [item(), table([4, 0], [1, 2]), table([4, 0, 16], b"")])
def test_what_is_no_table_is_none(entry: Dataset) -> None:
    assert table_of_item(entry, signed=False) is None


def segmented(words: list[int], length: int) -> Dataset:
    header = item(
        RedPaletteColorLookupTableDescriptor=[length, 0, 16],
        SegmentedRedPaletteColorLookupTableData=np.array(words, "<u2").tobytes(),
    )
    header.set_original_encoding(False, True)
    return header


def test_indirect_segment_repeats_earlier_ones() -> None:
    # Discrete 0, 65535; then once more the segment at byte 0.
    channel = palette_channel(segmented([0, 2, 0, 65535, 2, 1, 0, 0], 4), "Red")
    assert channel is not None
    np.testing.assert_array_equal(channel.entries, [0, 1, 0, 1])


def test_indirect_segment_that_points_at_one_ends() -> None:
    channel = palette_channel(segmented([0, 1, 65535, 2, 2, 0, 0, 2, 9, 0, 0], 64), "Red")
    assert channel is not None
    assert set(channel.entries.tolist()) == {1.0}
    assert len(channel.entries) < 64
