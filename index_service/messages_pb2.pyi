from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Empty(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Space(_message.Message):
    __slots__ = ("name", "dimension", "model", "preprocessing", "version", "metric")
    NAME_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    PREPROCESSING_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    METRIC_FIELD_NUMBER: _ClassVar[int]
    name: str
    dimension: int
    model: str
    preprocessing: str
    version: str
    metric: str
    def __init__(self, name: _Optional[str] = ..., dimension: _Optional[int] = ..., model: _Optional[str] = ..., preprocessing: _Optional[str] = ..., version: _Optional[str] = ..., metric: _Optional[str] = ...) -> None: ...

class SpaceList(_message.Message):
    __slots__ = ("spaces",)
    SPACES_FIELD_NUMBER: _ClassVar[int]
    spaces: _containers.RepeatedCompositeFieldContainer[Space]
    def __init__(self, spaces: _Optional[_Iterable[_Union[Space, _Mapping]]] = ...) -> None: ...

class Record(_message.Message):
    __slots__ = ("key", "group", "part", "vectors", "positions", "version", "order", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KEY_FIELD_NUMBER: _ClassVar[int]
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    POSITIONS_FIELD_NUMBER: _ClassVar[int]
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ORDER_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    key: str
    group: str
    part: str
    vectors: bytes
    positions: _containers.RepeatedScalarFieldContainer[int]
    version: int
    order: float
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, key: _Optional[str] = ..., group: _Optional[str] = ..., part: _Optional[str] = ..., vectors: _Optional[bytes] = ..., positions: _Optional[_Iterable[int]] = ..., version: _Optional[int] = ..., order: _Optional[float] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class RecordList(_message.Message):
    __slots__ = ("records",)
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class UpsertRequest(_message.Message):
    __slots__ = ("space", "records")
    SPACE_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    space: str
    records: _containers.RepeatedCompositeFieldContainer[Record]
    def __init__(self, space: _Optional[str] = ..., records: _Optional[_Iterable[_Union[Record, _Mapping]]] = ...) -> None: ...

class DeleteRequest(_message.Message):
    __slots__ = ("space", "keys", "groups")
    class KeysEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SPACE_FIELD_NUMBER: _ClassVar[int]
    KEYS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    space: str
    keys: _containers.ScalarMap[str, str]
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, space: _Optional[str] = ..., keys: _Optional[_Mapping[str, str]] = ..., groups: _Optional[_Iterable[str]] = ...) -> None: ...

class DeleteReply(_message.Message):
    __slots__ = ("deleted",)
    DELETED_FIELD_NUMBER: _ClassVar[int]
    deleted: int
    def __init__(self, deleted: _Optional[int] = ...) -> None: ...

class Condition(_message.Message):
    __slots__ = ("attribute", "operator", "values")
    ATTRIBUTE_FIELD_NUMBER: _ClassVar[int]
    OPERATOR_FIELD_NUMBER: _ClassVar[int]
    VALUES_FIELD_NUMBER: _ClassVar[int]
    attribute: str
    operator: str
    values: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, attribute: _Optional[str] = ..., operator: _Optional[str] = ..., values: _Optional[_Iterable[str]] = ...) -> None: ...

class GroupSet(_message.Message):
    __slots__ = ("groups",)
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, groups: _Optional[_Iterable[str]] = ...) -> None: ...

class Filter(_message.Message):
    __slots__ = ("conditions", "groups", "excluded_groups")
    CONDITIONS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    EXCLUDED_GROUPS_FIELD_NUMBER: _ClassVar[int]
    conditions: _containers.RepeatedCompositeFieldContainer[Condition]
    groups: GroupSet
    excluded_groups: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, conditions: _Optional[_Iterable[_Union[Condition, _Mapping]]] = ..., groups: _Optional[_Union[GroupSet, _Mapping]] = ..., excluded_groups: _Optional[_Iterable[str]] = ...) -> None: ...

class Example(_message.Message):
    __slots__ = ("group", "part", "key", "position")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    group: str
    part: str
    key: str
    position: int
    def __init__(self, group: _Optional[str] = ..., part: _Optional[str] = ..., key: _Optional[str] = ..., position: _Optional[int] = ...) -> None: ...

class ExamplePart(_message.Message):
    __slots__ = ("vectors", "dimension", "attributes")
    class AttributesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    DIMENSION_FIELD_NUMBER: _ClassVar[int]
    ATTRIBUTES_FIELD_NUMBER: _ClassVar[int]
    vectors: bytes
    dimension: int
    attributes: _containers.ScalarMap[str, str]
    def __init__(self, vectors: _Optional[bytes] = ..., dimension: _Optional[int] = ..., attributes: _Optional[_Mapping[str, str]] = ...) -> None: ...

class Query(_message.Message):
    __slots__ = ("space", "k", "example", "parts", "level", "filter", "comparable", "minimum_score", "exact")
    SPACE_FIELD_NUMBER: _ClassVar[int]
    K_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    LEVEL_FIELD_NUMBER: _ClassVar[int]
    FILTER_FIELD_NUMBER: _ClassVar[int]
    COMPARABLE_FIELD_NUMBER: _ClassVar[int]
    MINIMUM_SCORE_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    space: str
    k: int
    example: Example
    parts: _containers.RepeatedCompositeFieldContainer[ExamplePart]
    level: str
    filter: Filter
    comparable: _containers.RepeatedScalarFieldContainer[str]
    minimum_score: float
    exact: bool
    def __init__(self, space: _Optional[str] = ..., k: _Optional[int] = ..., example: _Optional[_Union[Example, _Mapping]] = ..., parts: _Optional[_Iterable[_Union[ExamplePart, _Mapping]]] = ..., level: _Optional[str] = ..., filter: _Optional[_Union[Filter, _Mapping]] = ..., comparable: _Optional[_Iterable[str]] = ..., minimum_score: _Optional[float] = ..., exact: _Optional[bool] = ...) -> None: ...

class FetchRequest(_message.Message):
    __slots__ = ("space", "example")
    SPACE_FIELD_NUMBER: _ClassVar[int]
    EXAMPLE_FIELD_NUMBER: _ClassVar[int]
    space: str
    example: Example
    def __init__(self, space: _Optional[str] = ..., example: _Optional[_Union[Example, _Mapping]] = ...) -> None: ...

class Neighbor(_message.Message):
    __slots__ = ("group", "part", "key", "position", "distance")
    GROUP_FIELD_NUMBER: _ClassVar[int]
    PART_FIELD_NUMBER: _ClassVar[int]
    KEY_FIELD_NUMBER: _ClassVar[int]
    POSITION_FIELD_NUMBER: _ClassVar[int]
    DISTANCE_FIELD_NUMBER: _ClassVar[int]
    group: str
    part: str
    key: str
    position: int
    distance: float
    def __init__(self, group: _Optional[str] = ..., part: _Optional[str] = ..., key: _Optional[str] = ..., position: _Optional[int] = ..., distance: _Optional[float] = ...) -> None: ...

class Answer(_message.Message):
    __slots__ = ("neighbors", "groups_searched", "shards_answered", "shards_total")
    NEIGHBORS_FIELD_NUMBER: _ClassVar[int]
    GROUPS_SEARCHED_FIELD_NUMBER: _ClassVar[int]
    SHARDS_ANSWERED_FIELD_NUMBER: _ClassVar[int]
    SHARDS_TOTAL_FIELD_NUMBER: _ClassVar[int]
    neighbors: _containers.RepeatedCompositeFieldContainer[Neighbor]
    groups_searched: int
    shards_answered: int
    shards_total: int
    def __init__(self, neighbors: _Optional[_Iterable[_Union[Neighbor, _Mapping]]] = ..., groups_searched: _Optional[int] = ..., shards_answered: _Optional[int] = ..., shards_total: _Optional[int] = ...) -> None: ...

class ShardStats(_message.Message):
    __slots__ = ("shard", "available", "spaces", "groups", "records", "vectors", "log_bytes", "memory_bytes", "last_sequence")
    class SpacesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: int
        def __init__(self, key: _Optional[str] = ..., value: _Optional[int] = ...) -> None: ...
    SHARD_FIELD_NUMBER: _ClassVar[int]
    AVAILABLE_FIELD_NUMBER: _ClassVar[int]
    SPACES_FIELD_NUMBER: _ClassVar[int]
    GROUPS_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    VECTORS_FIELD_NUMBER: _ClassVar[int]
    LOG_BYTES_FIELD_NUMBER: _ClassVar[int]
    MEMORY_BYTES_FIELD_NUMBER: _ClassVar[int]
    LAST_SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    shard: int
    available: bool
    spaces: _containers.ScalarMap[str, int]
    groups: int
    records: int
    vectors: int
    log_bytes: int
    memory_bytes: int
    last_sequence: int
    def __init__(self, shard: _Optional[int] = ..., available: _Optional[bool] = ..., spaces: _Optional[_Mapping[str, int]] = ..., groups: _Optional[int] = ..., records: _Optional[int] = ..., vectors: _Optional[int] = ..., log_bytes: _Optional[int] = ..., memory_bytes: _Optional[int] = ..., last_sequence: _Optional[int] = ...) -> None: ...

class StatsReply(_message.Message):
    __slots__ = ("shards",)
    SHARDS_FIELD_NUMBER: _ClassVar[int]
    shards: _containers.RepeatedCompositeFieldContainer[ShardStats]
    def __init__(self, shards: _Optional[_Iterable[_Union[ShardStats, _Mapping]]] = ...) -> None: ...

class SnapshotEnd(_message.Message):
    __slots__ = ("entries", "records")
    ENTRIES_FIELD_NUMBER: _ClassVar[int]
    RECORDS_FIELD_NUMBER: _ClassVar[int]
    entries: int
    records: int
    def __init__(self, entries: _Optional[int] = ..., records: _Optional[int] = ...) -> None: ...
