"""The attributes the catalog keeps and queries can name: one table, from which the columns, the matching, the
answers and the conformance statement follow.

Pure: no database, no network. The rule: an attribute stands here exactly once, at the level of the entity it describes
(PS3.3 A.1.2). Patient attributes are kept with each study, as that study stated them.
"""

from dataclasses import dataclass
from enum import IntEnum


class QueryLevel(IntEnum):
    """The Query/Retrieve levels of PS3.4 C.6, from the top."""

    PATIENT = 0
    STUDY = 1
    SERIES = 2
    IMAGE = 3


@dataclass(frozen=True, slots=True)
class Attribute:
    """One kept attribute: its DICOM keyword, VR, level, and the catalog column that holds its text."""

    keyword: str
    vr: str
    level: QueryLevel
    column: str


def _attributes(level: QueryLevel, *rows: tuple[str, str, str]) -> tuple[Attribute, ...]:
    return tuple(Attribute(keyword, vr, level, column) for keyword, vr, column in rows)


ATTRIBUTES: tuple[Attribute, ...] = (
    *_attributes(
        QueryLevel.PATIENT,
        ("PatientID", "LO", "patient_id"),
        ("IssuerOfPatientID", "LO", "issuer_of_patient_id"),
        ("PatientName", "PN", "patient_name"),
        ("PatientBirthDate", "DA", "patient_birth_date"),
        ("PatientBirthTime", "TM", "patient_birth_time"),
        ("PatientSex", "CS", "patient_sex"),
        ("EthnicGroup", "SH", "ethnic_group"),
        ("PatientComments", "LT", "patient_comments"),
    ),
    *_attributes(
        QueryLevel.STUDY,
        ("StudyInstanceUID", "UI", "study_instance_uid"),
        ("StudyDate", "DA", "study_date"),
        ("StudyTime", "TM", "study_time"),
        ("AccessionNumber", "SH", "accession_number"),
        ("StudyID", "SH", "study_id"),
        ("StudyDescription", "LO", "study_description"),
        ("ReferringPhysicianName", "PN", "referring_physician_name"),
        ("NameOfPhysiciansReadingStudy", "PN", "name_of_physicians_reading_study"),
        ("InstitutionName", "LO", "institution_name"),
        ("PatientAge", "AS", "patient_age"),
        ("PatientSize", "DS", "patient_size"),
        ("PatientWeight", "DS", "patient_weight"),
        ("Occupation", "SH", "occupation"),
        ("AdditionalPatientHistory", "LT", "additional_patient_history"),
    ),
    *_attributes(
        QueryLevel.SERIES,
        ("SeriesInstanceUID", "UI", "series_instance_uid"),
        ("Modality", "CS", "modality"),
        ("SeriesNumber", "IS", "series_number"),
        ("SeriesDescription", "LO", "series_description"),
        ("SeriesDate", "DA", "series_date"),
        ("SeriesTime", "TM", "series_time"),
        ("BodyPartExamined", "CS", "body_part_examined"),
        ("Laterality", "CS", "laterality"),
        ("ProtocolName", "LO", "protocol_name"),
        ("Manufacturer", "LO", "manufacturer"),
        ("ManufacturerModelName", "LO", "manufacturer_model_name"),
        ("StationName", "SH", "station_name"),
        ("InstitutionalDepartmentName", "LO", "institutional_department_name"),
        ("PerformingPhysicianName", "PN", "performing_physician_name"),
        ("OperatorsName", "PN", "operators_name"),
        ("PerformedProcedureStepStartDate", "DA", "performed_procedure_step_start_date"),
        ("PerformedProcedureStepStartTime", "TM", "performed_procedure_step_start_time"),
        ("FrameOfReferenceUID", "UI", "frame_of_reference_uid"),
    ),
    *_attributes(
        QueryLevel.IMAGE,
        ("SOPInstanceUID", "UI", "sop_instance_uid"),
        ("SOPClassUID", "UI", "sop_class_uid"),
        ("InstanceNumber", "IS", "instance_number"),
        ("ContentDate", "DA", "content_date"),
        ("ContentTime", "TM", "content_time"),
        ("AcquisitionDate", "DA", "acquisition_date"),
        ("AcquisitionTime", "TM", "acquisition_time"),
        ("AcquisitionNumber", "IS", "acquisition_number"),
        ("ImageType", "CS", "image_type"),
        ("Rows", "US", "rows"),
        ("Columns", "US", "columns"),
        ("BitsAllocated", "US", "bits_allocated"),
        ("NumberOfFrames", "IS", "number_of_frames"),
        ("PhotometricInterpretation", "CS", "photometric_interpretation"),
    ),
)

# What is worked out when asked for: no column of its own. StudyComments is there for similarity's rank and score.
COMPUTED: tuple[Attribute, ...] = (
    *_attributes(
        QueryLevel.PATIENT,
        ("NumberOfPatientRelatedStudies", "IS", ""),
        ("NumberOfPatientRelatedSeries", "IS", ""),
        ("NumberOfPatientRelatedInstances", "IS", ""),
    ),
    *_attributes(
        QueryLevel.STUDY,
        ("ModalitiesInStudy", "CS", "modality"),
        ("SOPClassesInStudy", "UI", "sop_class_uid"),
        ("NumberOfStudyRelatedSeries", "IS", ""),
        ("NumberOfStudyRelatedInstances", "IS", ""),
        ("StudyComments", "LT", ""),
    ),
    *_attributes(QueryLevel.SERIES, ("NumberOfSeriesRelatedInstances", "IS", "")),
)

BY_KEYWORD: dict[str, Attribute] = {attribute.keyword: attribute for attribute in ATTRIBUTES}

COMPUTED_BY_KEYWORD: dict[str, Attribute] = {attribute.keyword: attribute for attribute in COMPUTED}

UNIQUE_KEY: dict[QueryLevel, str] = {
    QueryLevel.PATIENT: "PatientID",
    QueryLevel.STUDY: "StudyInstanceUID",
    QueryLevel.SERIES: "SeriesInstanceUID",
    QueryLevel.IMAGE: "SOPInstanceUID",
}


def at_level(level: QueryLevel) -> tuple[Attribute, ...]:
    """List the attributes of exactly this level, in table order."""
    return tuple(attribute for attribute in ATTRIBUTES if attribute.level is level)
