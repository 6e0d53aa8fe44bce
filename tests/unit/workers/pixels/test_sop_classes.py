"""The tables of SOP Classes."""

import pytest
from pydicom import uid

from workers.pixels.sop_classes import has_nothing_to_embed, modality_of


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        uid.ComprehensiveSRStorage,
        uid.ColorSoftcopyPresentationStateStorage,
        uid.SurfaceSegmentationStorage,
        uid.SpatialRegistrationStorage,
        uid.RTBeamsTreatmentRecordStorage,
        uid.EncapsulatedSTLStorage,
        uid.RealWorldValueMappingStorage,
        uid.MicroscopyBulkSimpleAnnotationsStorage,
        "1.2.840.10008.5.1.4.1.1.66.7",
    ],
)
def test_pictureless(sop_class_uid: str) -> None:
    assert has_nothing_to_embed(sop_class_uid)


@pytest.mark.parametrize(
    "sop_class_uid",
    [
        uid.CTImageStorage,
        uid.SecondaryCaptureImageStorage,
        uid.RTImageStorage,
        uid.RTDoseStorage,
        uid.ParametricMapStorage,
        uid.VLWholeSlideMicroscopyImageStorage,
        "1.3.46.670589.5.0.1.1",
        "",
    ],
)
def test_pictures(sop_class_uid: str) -> None:
    assert not has_nothing_to_embed(sop_class_uid)


def test_image_classes_of_the_standard_are_pictures() -> None:
    names = [entry[0] for value, entry in uid.UID_dictionary.items() if has_nothing_to_embed(value)]
    assert [name for name in names if "Image Storage" in name] == []


def test_image_class_decides_before_the_modality_element() -> None:
    assert modality_of(uid.EnhancedMRImageStorage, "OT") == "MR"
    assert modality_of(uid.SecondaryCaptureImageStorage, "CT") == "CT"
