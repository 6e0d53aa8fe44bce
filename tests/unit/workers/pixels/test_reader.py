"""From stored instance to frames: each modality's rule, with the grey it gives to known values."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydicom import uid

from tests.pictures import corners, item, quadrants, write_picture
from workers.errors import Rejected
from workers.pixels.frames import Frames
from workers.pixels.reader import read_frames

CT: dict[str, Any] = {"SOPClassUID": uid.CTImageStorage, "Modality": "CT", "RescaleSlope": 1, "RescaleIntercept": -1024}


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "instance.dcm"


def only_picture(frames: Frames) -> np.ndarray[Any, Any]:
    assert frames.pixels.shape == (1, 128, 128)
    assert frames.pixels.dtype == np.float32
    return np.asarray(frames.pixels[0])


def test_ct_goes_through_the_fixed_hounsfield_curve(file: Path) -> None:
    # -500 HU lung, 40 HU soft tissue, 240 and 1000 HU bone; stored with the usual offset.
    frames = read_frames(write_picture(file, quadrants(524, 1064, 1264, 2024), **CT))
    assert corners(only_picture(frames)) == [0.22, 0.55, 0.76, 0.93]
    assert frames.frame_numbers == (1,)
    assert (frames.meta.modality, frames.meta.units) == ("CT", "HU")


def test_ct_slope_and_intercept_count(file: Path) -> None:
    frames = read_frames(
        write_picture(file, quadrants(262, 532, 632, 1012), **{**CT, "RescaleSlope": 2, "RescaleIntercept": -1024})
    )
    assert corners(only_picture(frames)) == [0.22, 0.55, 0.76, 0.93]


def test_enhanced_ct_rescales_each_frame_by_its_own_group(file: Path) -> None:
    def group(intercept: int) -> Any:
        return item(
            PixelValueTransformationSequence=[item(RescaleSlope=1, RescaleIntercept=intercept, RescaleType="HU")]
        )

    pixels = np.stack([quadrants(524, 1064, 1264, 2024), quadrants(500, 1040, 1240, 2000)])
    path = write_picture(
        file,
        pixels,
        SOPClassUID=uid.EnhancedCTImageStorage,
        Modality="CT",
        PerFrameFunctionalGroupsSequence=[group(-1024), group(-1000)],
    )
    frames = read_frames(path)
    assert frames.frame_numbers == (1, 2)
    np.testing.assert_array_equal(frames.pixels[0], frames.pixels[1])
    assert corners(frames.pixels[0]) == [0.22, 0.55, 0.76, 0.93]


def test_ct_localizer_is_relative_since_its_values_are_no_hounsfield_units(file: Path) -> None:
    frames = read_frames(
        write_picture(file, quadrants(0, 100, 200, 400), **CT, ImageType=["ORIGINAL", "PRIMARY", "LOCALIZER"])
    )
    assert frames.meta.units == "relative"
    assert corners(only_picture(frames)) == [0.0, 0.25, 0.5, 1.0]


def test_ct_is_not_inverted_for_monochrome1_because_the_units_are_absolute(file: Path) -> None:
    path = write_picture(file, quadrants(524, 1064, 1264, 2024), **CT, PhotometricInterpretation="MONOCHROME1")
    assert corners(only_picture(read_frames(path))) == [0.22, 0.55, 0.76, 0.93]


def test_mr_is_scaled_over_its_foreground(file: Path) -> None:
    # 50 is below a tenth of the brightest: background, which does not stretch the scale.
    frames = read_frames(write_picture(file, quadrants(50, 200, 600, 1000), SOPClassUID=uid.MRImageStorage))
    assert corners(only_picture(frames)) == [0.0, 0.0, 0.5, 1.0]


def test_mr_of_two_levels_is_a_picture_too(file: Path) -> None:
    frames = read_frames(write_picture(file, quadrants(0, 2, 2, 0), SOPClassUID=uid.MRImageStorage))
    assert corners(only_picture(frames)) == [0.0, 1.0, 1.0, 0.0]


def test_pet_in_g_per_ml_is_the_root_of_suv_with_white_at_20(file: Path) -> None:
    frames = read_frames(
        write_picture(
            file,
            quadrants(0, 5, 20, 80),
            SOPClassUID=uid.PositronEmissionTomographyImageStorage,
            RescaleSlope=0.25,
            RescaleIntercept=0,
            Units="GML",
        )
    )
    assert frames.meta.units == "SUVbw"
    assert corners(only_picture(frames)) == [0.0, 0.25, 0.5, 1.0]


def test_pet_in_bq_per_ml_becomes_suv_by_weight_dose_and_decay(file: Path) -> None:
    # 370 MBq one half-life before the scan leave 185 MBq; for 74 kg, 1 SUV is 185e6 / 74000 = 2500 Bq/ml.
    injection = item(RadionuclideTotalDose=370e6, RadionuclideHalfLife=6586.2, RadiopharmaceuticalStartTime="100000.00")
    frames = read_frames(
        write_picture(
            file,
            quadrants(0, 3125, 12500, 50000, "<u2"),
            SOPClassUID=uid.PositronEmissionTomographyImageStorage,
            Units="BQML",
            PatientWeight=74,
            DecayCorrection="START",
            SeriesDate="20240131",
            SeriesTime="114946.2",
            RadiopharmaceuticalInformationSequence=[injection],
        )
    )
    assert frames.meta.units == "SUVbw"
    assert corners(only_picture(frames)) == [0.0, 0.25, 0.5, 1.0]


def test_pet_without_what_suv_needs_is_the_root_of_the_counts(file: Path) -> None:
    frames = read_frames(
        write_picture(
            file,
            quadrants(0, 250, 1000, 4000),
            SOPClassUID=uid.PositronEmissionTomographyImageStorage,
            Units="BQML",
        )
    )
    assert frames.meta.units == "relative"
    assert corners(only_picture(frames)) == [0.0, 0.25, 0.5, 1.0]


@pytest.mark.parametrize(
    "elements",
    [
        {"PhotometricInterpretation": "MONOCHROME1"},
        {"PresentationLUTShape": "INVERSE"},
        {"PhotometricInterpretation": "MONOCHROME1", "PresentationLUTShape": "INVERSE"},
    ],
)
def test_projection_is_inverted_once(file: Path, elements: dict[str, str]) -> None:
    frames = read_frames(write_picture(file, quadrants(0, 100, 200, 400), Modality="CR", **elements))
    assert corners(only_picture(frames)) == [1.0, 0.75, 0.5, 0.0]


def test_projection_follows_its_voi_lut_sequence(file: Path) -> None:
    table = item(LUTDescriptor=[4, 10, 16], LUTData=[0, 1000, 3000, 4000])
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    frames = read_frames(write_picture(file, quadrants(0, 11, 12, 99), Modality="DX", VOILUTSequence=[table]))
    assert corners(only_picture(frames)) == [0.0, 0.25, 0.75, 1.0]


def test_modality_lut_comes_before_everything(file: Path) -> None:
    table = item(LUTDescriptor=[4, 0, 16], LUTData=[0, 100, 200, 400])
    table["LUTDescriptor"].VR = "US"
    table["LUTData"].VR = "US"
    frames = read_frames(write_picture(file, quadrants(0, 1, 2, 3), Modality="CR", ModalityLUTSequence=[table]))
    assert corners(only_picture(frames)) == [0.0, 0.25, 0.5, 1.0]


def test_mammogram_faces_left_whichever_breast_it_is(file: Path) -> None:
    left = quadrants(1000, 200, 900, 300)
    pictures = [
        only_picture(read_frames(write_picture(file, side, Modality="MG"))) for side in (left, left[:, ::-1].copy())
    ]
    np.testing.assert_array_equal(pictures[0], pictures[1])
    assert corners(pictures[0]) == [1.0, 0.0, 0.875, 0.125]


def test_padding_is_black_and_does_not_stretch_the_scale(file: Path) -> None:
    frames = read_frames(write_picture(file, quadrants(-2000, 100, 200, 300), Modality="CR", PixelPaddingValue=-2000))
    assert corners(only_picture(frames)) == [0.0, 0.0, 0.5, 1.0]


def test_padding_range_limit_closes_the_range(file: Path) -> None:
    frames = read_frames(
        write_picture(
            file,
            quadrants(-1990, 100, 200, 300),
            Modality="CR",
            PhotometricInterpretation="MONOCHROME1",
            PixelPaddingValue=-2000,
            PixelPaddingRangeLimit=-1980,
        )
    )
    assert corners(only_picture(frames)) == [0.0, 1.0, 0.5, 0.0]


def test_ultrasound_keeps_its_absolute_grey(file: Path) -> None:
    frames = read_frames(write_picture(file, quadrants(0, 51, 102, 204, "u1"), SOPClassUID=uid.UltrasoundImageStorage))
    assert frames.meta.units == "display"
    assert corners(only_picture(frames)) == [0.0, 0.2, 0.4, 0.8]


def test_ultrasound_is_cut_to_its_largest_tissue_region(file: Path) -> None:
    def region(spatial_format: int, left: int, top: int, right: int, bottom: int) -> Any:
        return item(
            RegionSpatialFormat=spatial_format,
            RegionLocationMinX0=left,
            RegionLocationMinY0=top,
            RegionLocationMaxX1=right,
            RegionLocationMaxY1=bottom,
        )

    screen = np.full((300, 400), 255, "u1")
    screen[10:138, 20:148] = quadrants(0, 51, 102, 204, "u1")
    path = write_picture(
        file,
        screen,
        SOPClassUID=uid.UltrasoundImageStorage,
        SequenceOfUltrasoundRegions=[region(3, 0, 140, 399, 299), region(1, 20, 10, 147, 137)],
    )
    assert corners(only_picture(read_frames(path))) == [0.0, 0.2, 0.4, 0.8]


def test_rgb_becomes_luma(file: Path) -> None:
    colour = np.stack(
        [quadrants(255, 0, 0, 255, "u1"), quadrants(0, 255, 0, 255, "u1"), quadrants(0, 0, 255, 255, "u1")], -1
    )
    frames = read_frames(write_picture(file, colour, samples=3))
    assert corners(only_picture(frames)) == [0.299, 0.587, 0.114, 1.0]


def test_planar_rgb_is_the_same_picture(file: Path) -> None:
    colour = np.stack(
        [quadrants(255, 0, 0, 255, "u1"), quadrants(0, 255, 0, 255, "u1"), quadrants(0, 0, 255, 255, "u1")], -1
    )
    planes = np.ascontiguousarray(np.moveaxis(colour, -1, 0))
    path = write_picture(file, colour, samples=3, PlanarConfiguration=1, PixelData=planes.tobytes())
    assert corners(only_picture(read_frames(path))) == [0.299, 0.587, 0.114, 1.0]


def test_full_ybr_is_its_luma_channel(file: Path) -> None:
    colour = np.stack(
        [quadrants(0, 51, 102, 204, "u1"), np.full((128, 128), 7, "u1"), np.full((128, 128), 9, "u1")], -1
    )
    path = write_picture(file, colour, samples=3, PhotometricInterpretation="YBR_FULL")
    assert corners(only_picture(read_frames(path))) == [0.0, 0.2, 0.4, 0.8]


def test_ybr_with_shared_chroma_is_its_luma_channel(file: Path) -> None:
    luma = quadrants(0, 51, 102, 204, "u1")
    pairs = np.empty((128, 64, 4), "u1")
    pairs[..., :2], pairs[..., 2:] = luma.reshape(128, 64, 2), 99
    path = write_picture(
        file,
        np.empty((128, 128, 3), "u1"),
        samples=3,
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=pairs.tobytes(),
    )
    assert corners(only_picture(read_frames(path))) == [0.0, 0.2, 0.4, 0.8]


def palette(
    red: bytes, green: bytes, blue: bytes, entries: int, first: int, bits: int, prefix: str = ""
) -> dict[str, Any]:
    elements: dict[str, Any] = {"PhotometricInterpretation": "PALETTE COLOR"}
    for colour, data in (("Red", red), ("Green", green), ("Blue", blue)):
        elements[f"{colour}PaletteColorLookupTableDescriptor"] = [entries, first, bits]
        elements[f"{prefix}{colour}PaletteColorLookupTableData"] = data
    return elements


def test_palette_is_looked_up_before_anything_else(file: Path) -> None:
    grey = np.array([0, 51 * 257, 102 * 257, 65535], "<u2").tobytes()
    path = write_picture(file, quadrants(10, 11, 12, 13, "u1"), **palette(grey, grey, grey, 4, 10, 16))
    assert corners(only_picture(read_frames(path))) == [0.0, 0.2, 0.4, 1.0]


def test_segmented_palette_is_expanded(file: Path) -> None:
    # One discrete entry 0, then a line of 255 steps up to 65535.
    segments = np.array([0, 1, 0, 1, 255, 65535], "<u2").tobytes()
    path = write_picture(
        file,
        quadrants(0, 51, 102, 255, "u1"),
        **palette(segments, segments, segments, 256, 0, 16, prefix="Segmented"),
    )
    assert corners(only_picture(read_frames(path))) == [0.0, 0.2, 0.4, 1.0]


def test_palette_without_tables_is_unreadable(file: Path) -> None:
    path = write_picture(file, quadrants(0, 1, 2, 3, "u1"), PhotometricInterpretation="PALETTE COLOR")
    with pytest.raises(Rejected, match="palette") as rejection:
        read_frames(path)
    assert rejection.value.code == "unreadable"


def test_uniform_border_is_trimmed_and_the_rest_padded_to_square(file: Path) -> None:
    screen = np.zeros((400, 300), "<i2")
    screen[100:228, 50:114] = quadrants(100, 200, 300, 400)[:, 32:96]
    picture = only_picture(read_frames(write_picture(file, screen, Modality="CR")))
    np.testing.assert_array_equal(picture[:, :32], 0.0)
    np.testing.assert_array_equal(picture[:, 96:], 0.0)
    assert [round(float(picture[32, x]), 2) for x in (48, 80)] == [0.25, 0.5]
    assert [round(float(picture[96, x]), 2) for x in (48, 80)] == [0.75, 1.0]


def test_large_pictures_are_averaged_not_sampled(file: Path) -> None:
    fine = np.tile(np.array([[0, 400], [400, 0]], "<i2"), (1024, 1024))
    fine[:, :1024] = 100
    picture = only_picture(read_frames(write_picture(file, fine, Modality="CR")))
    assert abs(float(picture[64, 96]) - float(picture[64, 32])) > 0.5
    assert float(picture[:, 70:].std()) < 0.001


@pytest.mark.parametrize("pixels", [np.zeros((64, 64), "<i2"), np.full((2, 64, 64), 7, "<i2")])
def test_uniform_picture_is_blank(file: Path, pixels: np.ndarray[Any, Any]) -> None:
    with pytest.raises(Rejected, match="uniform") as rejection:
        read_frames(write_picture(file, pixels, Modality="CR"))
    assert rejection.value.code == "blank"


def test_blank_frames_of_a_multiframe_are_left_out(file: Path) -> None:
    pixels = np.stack([quadrants(0, 1, 2, 3), np.zeros((128, 128), "<i2"), quadrants(3, 2, 1, 0)])
    assert read_frames(write_picture(file, pixels)).frame_numbers == (1, 3)


def test_multiframe_is_sampled_from_the_middle_and_scaled_as_one(file: Path) -> None:
    pixels = np.stack([quadrants(0, 200 + number, 600, 1000) for number in range(1, 101)])
    frames = read_frames(write_picture(file, pixels), maximum_frames=3)
    assert frames.frame_numbers == (21, 51, 81)
    assert frames.meta.number_of_frames == 100
    assert [corners(frame)[1] for frame in frames.pixels] == [0.221, 0.251, 0.281]


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        uid.BasicTextSRStorage,
        uid.KeyObjectSelectionDocumentStorage,
        uid.GrayscaleSoftcopyPresentationStateStorage,
        uid.SegmentationStorage,
        uid.RTStructureSetStorage,
        uid.RTPlanStorage,
        uid.EncapsulatedPDFStorage,
        uid.TwelveLeadECGWaveformStorage,
        uid.RawDataStorage,
    ],
)
def test_classes_without_a_picture_have_nothing_to_embed(file: Path, sop_class_uid: str) -> None:
    with pytest.raises(Rejected) as rejection:
        read_frames(write_picture(file, quadrants(0, 1, 2, 3), SOPClassUID=sop_class_uid))
    assert rejection.value.code == "nothing_to_embed"


def test_values_that_cannot_be_read_are_a_reason_not_a_crash(file: Path) -> None:
    # Shared chroma needs an even number of columns.
    path = write_picture(
        file,
        np.empty((3, 3, 3), "u1"),
        samples=3,
        PhotometricInterpretation="YBR_FULL_422",
        PixelData=bytes(18),
    )
    with pytest.raises(Rejected, match="ValueError") as rejection:
        read_frames(path)
    assert rejection.value.code == "unreadable"


def test_body_part_travels_with_the_frames(file: Path) -> None:
    path = write_picture(file, quadrants(0, 1, 2, 3), Modality="CR", BodyPartExamined="CHEST")
    assert read_frames(path).meta.body_part == "CHEST"
