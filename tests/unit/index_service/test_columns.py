"""Growing arrays keep earlier views; attribute columns know who lacks a value, also when it comes later."""

import numpy as np

from index_service.columns import AttributeColumns, GrowingArray
from index_service.port import Condition


def test_an_array_grows_and_an_earlier_view_keeps_what_it_showed() -> None:
    array = GrowingArray(np.int64)
    array.extend([1, 2])
    early = array.view
    array.extend(np.arange(1000))
    array.view[0] = 99
    assert early.tolist() == [1, 2]
    assert (len(array), array.view[[0, 1, 2, -1]].tolist()) == (1002, [99, 2, 0, 999])


def test_rows_of_a_wide_array_stay_whole() -> None:
    array = GrowingArray(np.float32, 2)
    for i in range(200):
        array.extend(np.full((1, 2), i, np.float32))
    assert array.view[[0, 63, 64, 199]].tolist() == [[0, 0], [63, 63], [64, 64], [199, 199]]


def test_an_attribute_that_comes_later_is_lacking_before() -> None:
    columns = AttributeColumns()
    columns.extend([{"sex": "F"}, {}])
    columns.extend([{"sex": "M", "date": "20200101"}])
    assert columns.matching(Condition("date", "in", ("20200101",))).tolist() == [False, False, True]
    assert columns.matching(Condition("date", "not_in", ("20200101",))).tolist() == [True, True, False]
    assert columns.equal("sex", None).tolist() == [False, True, False]
    assert columns.equal("date", "20200101").tolist() == [False, False, True]
    assert columns.equal("other", None).tolist() == [True, True, True]
    assert columns.equal("other", "x").tolist() == [False, False, False]


def test_a_range_compares_as_text_and_an_empty_value_is_a_value() -> None:
    columns = AttributeColumns()
    columns.extend([{"name": value} for value in ("", "a", "b", "ba", "c")] + [{}])
    assert columns.matching(Condition("name", "range", ("b", "c"))).tolist() == [False, False, True, True, True, False]
    assert columns.matching(Condition("name", "range", ("", ""))).tolist() == [True] * 5 + [False]
    assert columns.matching(Condition("name", "in", ("",))).tolist() == [True] + [False] * 5
