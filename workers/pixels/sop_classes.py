"""Which SOP Classes hold no picture to embed, and which modality's rules an image class follows. Pure tables.

A class that is in no table is taken for an image: what it lacks is found when its header is read.
"""

from pydicom import uid

_STORAGE = "1.2.840.10008.5.1.4.1.1."
_PICTURELESS_CLASSES = frozenset(
    {_STORAGE + leaf for leaf in ("4.2", "8", "9", "10", "11", "66", "67", "77.1.5.3", "77.1.5.8", "129", "131")}
    | {uid.MediaStorageDirectoryStorage, uid.HangingProtocolStorage, uid.ColorPaletteStorage}
)
_PICTURELESS_FAMILIES = (
    _STORAGE + "9.",  # waveforms
    _STORAGE + "11.",  # presentation states
    _STORAGE + "66.",  # registrations, fiducials, segmentations, tractography
    _STORAGE + "68.",  # surface scans
    _STORAGE + "78.",  # lensometry and other eye measurements
    _STORAGE + "79.",
    _STORAGE + "80.",
    _STORAGE + "88.",  # structured reports, key object selections
    _STORAGE + "90.",
    _STORAGE + "91.",  # microscopy annotations
    _STORAGE + "104.",  # encapsulated documents
    _STORAGE + "200.",  # protocols
    _STORAGE + "201.",  # inventories
    _STORAGE + "481.",  # radiotherapy: structure sets, plans, records
    "1.2.840.10008.5.1.4.34.",  # delivery instructions
    "1.2.840.10008.5.1.4.43.",  # implant templates
    "1.2.840.10008.5.1.4.44.",
    "1.2.840.10008.5.1.4.45.",
)
# RT Image, RT Dose and the enhanced RT images: pictures within a family that has none.
_PICTURES = frozenset(_STORAGE + leaf for leaf in ("481.1", "481.2", "481.23", "481.24"))

_MODALITIES: dict[str, str] = {
    uid.CTImageStorage: "CT",
    uid.EnhancedCTImageStorage: "CT",
    uid.LegacyConvertedEnhancedCTImageStorage: "CT",
    uid.MRImageStorage: "MR",
    uid.EnhancedMRImageStorage: "MR",
    uid.EnhancedMRColorImageStorage: "MR",
    uid.LegacyConvertedEnhancedMRImageStorage: "MR",
    uid.PositronEmissionTomographyImageStorage: "PT",
    uid.EnhancedPETImageStorage: "PT",
    uid.LegacyConvertedEnhancedPETImageStorage: "PT",
    uid.NuclearMedicineImageStorage: "NM",
    uid.UltrasoundImageStorage: "US",
    uid.UltrasoundMultiFrameImageStorage: "US",
    uid.EnhancedUSVolumeStorage: "US",
    uid.DigitalMammographyXRayImageStorageForPresentation: "MG",
    uid.DigitalMammographyXRayImageStorageForProcessing: "MG",
    uid.BreastTomosynthesisImageStorage: "MG",
}


def has_nothing_to_embed(sop_class_uid: str) -> bool:
    """Say whether the class holds no picture of a patient, whatever elements an instance of it carries."""
    if sop_class_uid in _PICTURES:
        return False
    return sop_class_uid in _PICTURELESS_CLASSES or sop_class_uid.startswith(_PICTURELESS_FAMILIES)


def modality_of(sop_class_uid: str, modality: str) -> str:
    """Return whose rules to follow: the image class where it names a modality, else the Modality element."""
    return _MODALITIES.get(sop_class_uid, modality)
