"""The engines: what finds the rows nearest to a vector. One file each, one port; FAISS is imported nowhere else."""

from collections.abc import Callable, Mapping

from index_service.engines.exact import ExactEngine
from index_service.engines.flat import FlatEngine
from index_service.engines.port import Engine

# By the name used in the settings.
ENGINES: Mapping[str, Callable[[], Engine]] = {"flat": FlatEngine, "exact": ExactEngine}
