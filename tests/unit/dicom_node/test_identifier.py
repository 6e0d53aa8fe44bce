"""Identifiers: what is asked, and the responses built to it."""

from io import BytesIO

import pytest
from pydicom import Dataset
from pydicom.filereader import read_dataset

from dicom_node.attributes import QueryLevel
from dicom_node.catalog.intake import fold
from dicom_node.errors import IdentifierMismatch
from dicom_node.identifier import Model, Query, build, parse
from dicom_node.similarity_block import CREATOR, Element
from tests.dicom import encoded

IMPLICIT = "1.2.840.10008.1.2"
EXPLICIT = "1.2.840.10008.1.2.1"


def identifier(level: str = "STUDY", **elements: object) -> Dataset:
    data_set = Dataset()
    data_set.QueryRetrieveLevel = level
    for keyword, value in elements.items():
        setattr(data_set, keyword, value)
    return data_set


def as_sent(data_set: Dataset, transfer_syntax: str = IMPLICIT) -> Dataset:
    return read_dataset(BytesIO(encoded(data_set, transfer_syntax)), transfer_syntax == IMPLICIT, True)


def test_supported_keys_with_their_values() -> None:
    query = parse(as_sent(identifier(PatientName="DOE*", StudyDate="20200101-", ModalitiesInStudy=["CT", "MR"])), ROOT)
    assert query.level is QueryLevel.STUDY
    assert query.keys == {"PatientName": "DOE*", "StudyDate": "20200101-", "ModalitiesInStudy": "CT\\MR"}
    assert not query.ignored
    assert query.similarity is None


ROOT = Model.STUDY_ROOT


@pytest.mark.parametrize(
    ("level", "elements"),
    [
        ("STUDY", {"PixelSpacing": [1, 1]}),
        ("STUDY", {"RequestAttributesSequence": [Dataset()]}),
        ("STUDY", {"SOPInstanceUID": ""}),
        ("PATIENT", {"StudyDate": ""}),
        ("SERIES", {"NumberOfSeriesRelatedInstances": "3"}),
    ],
)
def test_an_unsupported_optional_key_is_ignored_and_said_so(level: str, elements: dict[str, object]) -> None:
    query = parse(as_sent(identifier(level, **elements)), ROOT)
    assert query.keys == {}
    assert query.ignored


def test_private_elements_of_others_are_ignored_and_said_so() -> None:
    data_set = identifier(PatientID="P1")
    data_set.private_block(0x0099, "SOMEBODY", create=True).add_new(1, "LO", "x")
    query = parse(as_sent(data_set), ROOT)
    assert query.keys == {"PatientID": "P1"}
    assert query.ignored


def test_group_lengths_and_what_is_said_of_the_query_itself_ask_for_nothing() -> None:
    data_set = identifier(PatientID="", SpecificCharacterSet="ISO_IR 100", RetrieveAETitle="", InstanceAvailability="")
    data_set.add_new(0x00080000, "UL", 10)
    query = parse(as_sent(data_set), ROOT)
    assert query.keys == {"PatientID": ""}
    assert not query.ignored
    assert query.character_set == "ISO_IR 100"


def test_values_are_stripped_of_padding() -> None:
    query = parse(as_sent(identifier(StudyInstanceUID="1.2.3", PatientID=" P1 ")), ROOT)
    assert query.keys == {"StudyInstanceUID": "1.2.3", "PatientID": "P1"}


def test_a_key_of_a_number_may_be_no_number() -> None:
    assert parse(as_sent(identifier("SERIES", SeriesNumber="1")), ROOT).keys == {"SeriesNumber": "1"}
    raw = bytes.fromhex("08005200 06000000") + b"SERIES" + bytes.fromhex("20001100 02000000") + b"* "
    assert parse(read_dataset(BytesIO(raw), True, True), ROOT).keys == {"SeriesNumber": "*"}


@pytest.mark.parametrize("level", ["", "INSTANCE", "study", None])
def test_the_level_must_be_one_of_four(level: str | None) -> None:
    with pytest.raises(IdentifierMismatch) as caught:
        parse(as_sent(identifier(level)), ROOT)  # type: ignore[arg-type]
    assert caught.value.tag == 0x00080052


def test_without_a_level_there_is_no_query() -> None:
    with pytest.raises(IdentifierMismatch):
        parse(Dataset(), ROOT)


def test_a_value_too_long_to_mean_anything_is_refused() -> None:
    with pytest.raises(IdentifierMismatch) as caught:
        parse(as_sent(identifier(PatientComments="x" * 1025)), ROOT)
    assert caught.value.tag == 0x00104000
    assert "x" not in str(caught.value).replace("too", "")


@pytest.mark.parametrize(
    ("character_set", "name"),
    [("ISO_IR 192", "Müller"), ("ISO_IR 100", "Müller"), (["", "ISO 2022 IR 87"], "Yamada=山田"), ("GB18030", "王")],
)
def test_keys_are_read_in_the_character_set_of_the_request(character_set: object, name: str) -> None:
    data_set = as_sent(identifier(SpecificCharacterSet=character_set, PatientName=name))
    assert parse(data_set, ROOT).keys["PatientName"] == name


def response(query: Query, **row: str) -> Dataset:
    return build(query, row, {}, "DICOMNODE")


def test_a_response_holds_what_was_asked_and_what_always_goes_with_it() -> None:
    query = parse(identifier(PatientName="D*", StudyDescription="", PixelSpacing=None), ROOT)
    built = response(query, PatientName="Doe^Jane", StudyDescription="", PatientID="P1")
    assert [element.keyword for element in built] == [
        "QueryRetrieveLevel", "RetrieveAETitle", "InstanceAvailability", "StudyDescription", "PatientName",
    ]  # fmt: skip
    assert (built.QueryRetrieveLevel, built.RetrieveAETitle, built.InstanceAvailability) == (
        "STUDY", "DICOMNODE", "ONLINE",
    )  # fmt: skip
    assert built.StudyDescription == ""


@pytest.mark.parametrize(
    ("requested", "name", "expected"),
    [
        ("", "Doe", None),
        ("ISO_IR 100", "Doe", "ISO_IR 100"),
        ("ISO_IR 100", "Müller", "ISO_IR 100"),
        ("ISO_IR 100", "山田", "ISO_IR 192"),
        ("ISO_IR 192", "山田", "ISO_IR 192"),
        ("GB18030", "王", "GB18030"),
        ("ISO_IR 13", "山田", "ISO_IR 192"),
        ("\\ISO 2022 IR 87", "山田", "ISO_IR 192"),
        ("", "Müller", "ISO_IR 192"),
        ("NONSENSE", "Doe", None),
    ],
)
def test_the_character_set_of_a_response(requested: str, name: str, expected: str | None) -> None:
    query = Query(ROOT, QueryLevel.STUDY, {"PatientName": ""}, character_set=requested)
    built = response(query, PatientName=name)
    assert built.get("SpecificCharacterSet") == expected
    assert str(as_sent(built).PatientName) == name


def test_several_values_and_damaged_ones() -> None:
    keys = dict.fromkeys(["ImageType", "Rows", "Columns", "InstanceNumber", "PatientComments", "ContentDate"], "")
    built = response(
        Query(ROOT, QueryLevel.IMAGE, keys),
        ImageType="ORIGINAL\\PRIMARY", Rows="512", Columns="many", InstanceNumber="one", PatientComments="a\\b",
        ContentDate="yesterday",
    )  # fmt: skip
    sent = as_sent(built, EXPLICIT)
    assert sent.ImageType == ["ORIGINAL", "PRIMARY"]
    assert sent.Rows == 512
    assert sent["Columns"].value is None
    assert sent["InstanceNumber"].value is None
    assert sent.PatientComments == "a\\b"
    assert sent.ContentDate == "yesterday"


def block(**values: object) -> Dataset:
    data_set = identifier()
    private = data_set.private_block(0x5349, CREATOR, create=True)
    for name, value in values.items():
        element = Element[name]
        private.add_new(element.offset, element.vr, value)
    return data_set


@pytest.mark.parametrize("transfer_syntax", [IMPLICIT, EXPLICIT])
def test_the_private_block_is_read(transfer_syntax: str) -> None:
    sent = as_sent(
        block(
            EXAMPLE_INSTANCE="1.2.3", EXAMPLE_STUDY="1.2", EXAMPLE_FRAME="7", SPACE="s", MAXIMUM_MATCHES="5",
            MINIMUM_SCORE="0.5", SAME_PATIENT="ONLY", RANK=None,
        ),
        transfer_syntax,
    )  # fmt: skip
    read = parse(sent, ROOT).similarity
    assert read is not None
    assert list(read.example.items()) == [(Element.EXAMPLE_INSTANCE, "1.2.3"), (Element.EXAMPLE_STUDY, "1.2")]
    assert (read.frame_number, read.space, read.maximum_matches) == (7, "s", 5)
    assert (read.minimum_score, read.same_patient) == (0.5, "ONLY")
    assert Element.RANK in read.asked


def test_values_of_senders_without_our_dictionary() -> None:
    data_set = identifier()
    data_set.add_new(0x53490010, "LO", CREATOR)
    data_set.add_new(0x53491001, "UN", b"1.2.3\0")
    data_set.add_new(0x53491009, "UN", b"12")
    read = parse(as_sent(data_set, EXPLICIT), ROOT).similarity
    assert read is not None
    assert (read.example, read.maximum_matches) == ({Element.EXAMPLE_STUDY: "1.2.3"}, 12)


def test_elements_of_group_5349_count_only_under_our_creator() -> None:
    data_set = identifier()
    data_set.add_new(0x53490010, "LO", "SOMEBODY ELSE")
    data_set.add_new(0x53491001, "UI", "1.2.3")
    assert parse(as_sent(data_set), ROOT).similarity is None


@pytest.mark.parametrize(
    ("values", "tag"),
    [
        ({"EXAMPLE_STUDY": "not a uid"}, 0x53491001),
        ({"EXAMPLE_STUDY": ["1.2", "1.3"]}, 0x53491001),
        ({"EXAMPLE_STUDY": "1.2", "EXAMPLE_FRAME": "1"}, 0x53491004),
        ({"EXAMPLE_INSTANCE": "1.2", "EXAMPLE_REGION": ["1", "2", "3", "4"]}, 0x53491005),
        ({"EXAMPLE_VECTOR": b"\0\0\0\0"}, 0x53491007),
        ({"MAXIMUM_MATCHES": "0"}, 0x53491009),
        ({"MINIMUM_SCORE": "1.5"}, 0x5349100A),
        ({"SAME_PATIENT": "MAYBE"}, 0x5349100B),
        ({"DIVERSIFY": "YES"}, 0x5349100C),
    ],
)
def test_values_of_the_block_that_nobody_can_mean(values: dict[str, object], tag: int) -> None:
    with pytest.raises(IdentifierMismatch) as caught:
        parse(as_sent(block(**values), EXPLICIT), ROOT)
    assert caught.value.tag == tag


def test_private_values_are_answered_only_when_asked_for() -> None:
    values = {Element.RANK: "1", Element.SCORE: "0.5", Element.METRIC: "COSINE"}
    query = parse(block(RANK=None, SCORE=None), ROOT)
    built = as_sent(build(query, {}, values, "DICOMNODE"), EXPLICIT)
    assert [str(element.tag) for element in built if element.tag.is_private] == [
        "(5349,0010)", "(5349,1010)", "(5349,1011)",
    ]  # fmt: skip
    assert built[0x5349, 0x0010].value == "DICOM-NODE SIMILARITY 1"
    assert (built[0x5349, 0x1010].value, float(built[0x5349, 0x1011].value)) == (1, 0.5)
    without = build(parse(identifier(), ROOT), {}, values, "DICOMNODE")
    assert not any(element.tag.is_private for element in without)


@pytest.mark.parametrize(
    ("name", "folded"),
    [
        ("DOE^John^^^", "doe^john"),
        ("Doe^J =山田^^", "doe^j=山田"),
        ("Mu\u0308ller", "müller"),
        ("A^\\B==", "a\\b"),
        ("Straße", "strasse"),
    ],
)
def test_names_as_they_are_compared(name: str, folded: str) -> None:
    assert fold(name) == folded
