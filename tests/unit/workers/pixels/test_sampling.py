"""Which frames stand for a multi-frame instance."""

import pytest

from workers.pixels.sampling import affordable_frames, sample_frames


@pytest.mark.parametrize(
    ("count", "maximum", "indices"),
    [
        (1, 32, [0]),
        (3, 32, [0, 1, 2]),
        (19, 32, list(range(19))),
        (20, 32, list(range(1, 19))),
        (34, 32, list(range(1, 33))),
        (100, 3, [20, 50, 80]),
        (100, 1, [50]),
        (1_000_000_000, 2, [275_000_000, 725_000_000]),
    ],
)
def test_frames_come_evenly_from_the_middle_nine_tenths(count: int, maximum: int, indices: list[int]) -> None:
    assert sample_frames(count, maximum) == indices


@pytest.mark.parametrize(
    ("rows", "columns", "frames"), [(512, 512, 32), (1024, 1024, 16), (2048, 2048, 4), (4096, 4096, 1), (8192, 8192, 1)]
)
def test_larger_frames_are_sampled_more_sparsely(rows: int, columns: int, frames: int) -> None:
    assert affordable_frames(rows * columns, 32) == frames
