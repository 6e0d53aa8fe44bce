"""What may change about an instance without changing its frames, and what must change them in a known way."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from numpy.typing import NDArray
from pydicom import uid

from tests.pictures import BIG_ENDIAN, DEFLATED, EXPLICIT, IMPLICIT, write_picture
from workers.errors import Rejected
from workers.pixels.reader import read_frames

CLASSES = {
    "CT": uid.CTImageStorage,
    "MR": uid.MRImageStorage,
    "PT": uid.PositronEmissionTomographyImageStorage,
    "CR": uid.ComputedRadiographyImageStorage,
    "XA": uid.XRayAngiographicImageStorage,
    "US": uid.UltrasoundImageStorage,
}
modalities = st.sampled_from(sorted(CLASSES))
sizes = st.tuples(st.integers(2, 40), st.integers(2, 40))
pictures_12 = sizes.flatmap(lambda size: arrays.arrays("<u2", size, elements=st.integers(0, 4095)))
numbers = st.floats(-5000, 5000, allow_nan=False).map(lambda value: f"{value:.4g}")
widths = st.floats(1, 5000).map(lambda value: f"{value:.4g}")


def frames_of(pixels: NDArray[Any], **elements: Any) -> NDArray[np.float32] | str:
    """Return the frames, or the code of the rejection."""
    with tempfile.TemporaryDirectory() as folder:
        path = write_picture(Path(folder) / "instance.dcm", pixels, **elements)
        try:
            return read_frames(path).pixels
        except Rejected as rejection:
            return rejection.code


def assert_same(first: NDArray[np.float32] | str, second: NDArray[np.float32] | str) -> None:
    assert type(first) is type(second)
    np.testing.assert_array_equal(first, second)


def of(modality: str) -> dict[str, Any]:
    return {"SOPClassUID": CLASSES[modality], "Modality": modality, "BitsStored": 12, "HighBit": 11}


@settings(max_examples=60, deadline=None)
@given(
    modality=modalities,
    pixels=pictures_12,
    center=numbers,
    width=widths,
    function=st.sampled_from(["LINEAR", "LINEAR_EXACT", "SIGMOID"]),
    rescaled=st.booleans(),
)
def test_voi_window_changes_nothing(
    modality: str, pixels: NDArray[Any], center: str, width: str, function: str, rescaled: bool
) -> None:
    elements = of(modality) | ({"RescaleSlope": "1", "RescaleIntercept": "-1024"} if rescaled else {})
    windowed = {"WindowCenter": [center, "40"], "WindowWidth": [width, "400"], "VOILUTFunction": function}
    assert_same(frames_of(pixels, **elements), frames_of(pixels, **elements, **windowed))


@settings(max_examples=30, deadline=None)
@given(pixels=pictures_12, modality=st.sampled_from(["CR", "XA"]))
def test_monochrome1_with_turned_values_is_the_same_picture(pixels: NDArray[Any], modality: str) -> None:
    turned = (4095 - pixels).astype("<u2")
    upright = frames_of(pixels, **of(modality))
    inverse = frames_of(turned, **of(modality), PhotometricInterpretation="MONOCHROME1")
    if isinstance(upright, str) or isinstance(inverse, str):
        assert upright == inverse
    else:
        np.testing.assert_allclose(upright, inverse, atol=2e-3)


@settings(max_examples=30, deadline=None)
@given(modality=modalities, pixels=pictures_12, transfer_syntax=st.sampled_from([IMPLICIT, BIG_ENDIAN, DEFLATED]))
def test_byte_order_and_deflation_change_nothing(modality: str, pixels: NDArray[Any], transfer_syntax: str) -> None:
    elements = of(modality)
    assert_same(
        frames_of(pixels, transfer_syntax=EXPLICIT, **elements),
        frames_of(pixels, transfer_syntax=transfer_syntax, **elements),
    )


@settings(max_examples=30, deadline=None)
@given(pixels=pictures_12, modality=modalities, noise=st.integers(0, 15))
def test_unused_bits_change_nothing(pixels: NDArray[Any], modality: str, noise: int) -> None:
    noisy = (pixels | noise << 12).astype("<u2")
    assert_same(frames_of(pixels, **of(modality)), frames_of(noisy, **of(modality)))


@settings(max_examples=30, deadline=None)
@given(pixels=pictures_12)
def test_sign_and_offset_are_undone_by_the_rescale(pixels: NDArray[Any]) -> None:
    unsigned = frames_of(pixels, **of("CT"), RescaleSlope="1", RescaleIntercept="-1024")
    signed = frames_of(
        pixels.astype("<i2") - 1024,
        **(of("CT") | {"BitsStored": 16, "HighBit": 15}),
        RescaleSlope="1",
        RescaleIntercept="0",
    )
    assert_same(unsigned, signed)


@settings(max_examples=20, deadline=None)
@given(
    pixels=arrays.arrays("<u2", (5, 8, 9), elements=st.integers(0, 4095)),
    order=st.permutations(range(5)),
)
def test_frames_follow_the_order_they_are_stored_in(pixels: NDArray[Any], order: list[int]) -> None:
    pixels[:, 0, 0], pixels[:, -1, -1] = 0, 4095  # none is blank
    straight, shuffled = frames_of(pixels, **of("CR")), frames_of(pixels[order], **of("CR"))
    assert not isinstance(straight, str)
    assert_same(straight[order], shuffled)


@settings(max_examples=60, deadline=None)
@given(
    modality=modalities,
    dtype=st.sampled_from(["u1", "i1", "<u2", "<i2", "<u4", "<i4"]),
    size=sizes,
    stored=st.integers(1, 32),
    seed=st.integers(0, 2**32 - 1),
    slope=numbers,
)
def test_any_depth_gives_finite_frames_in_range_or_a_reason(
    modality: str, dtype: str, size: tuple[int, int], stored: int, seed: int, slope: str
) -> None:
    kind = np.iinfo(dtype)
    pixels = np.random.default_rng(seed).integers(kind.min, kind.max, size, dtype=dtype, endpoint=True)
    bits = min(stored, kind.bits)
    elements = {"SOPClassUID": CLASSES[modality], "BitsStored": bits, "HighBit": bits - 1, "RescaleSlope": slope}
    frames = frames_of(pixels, **elements, RescaleIntercept="0")
    if isinstance(frames, str):
        assert frames == "blank"
    else:
        assert frames.shape == (1, 128, 128)
        assert np.isfinite(frames).all()
        assert frames.min() >= 0
        assert frames.max() <= 1
