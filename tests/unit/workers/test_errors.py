"""A rejection keeps its code wherever it goes."""

import pickle

from workers.errors import CODES, Rejected


def test_code_survives_a_process_border() -> None:
    error = pickle.loads(pickle.dumps(Rejected("blank", "embed 1 frames: each is uniform")))
    assert (error.code, str(error)) == ("blank", "embed 1 frames: each is uniform")


def test_codes_are_a_closed_set() -> None:
    assert {"nothing_to_embed", "no_pixel_data", "undecodable", "truncated", "too_large", "blank"} < CODES
