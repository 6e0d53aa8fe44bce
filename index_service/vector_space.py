"""The vector-space contract: what makes two vectors comparable. Vectors of different spaces never mix."""

import hashlib
import json
from dataclasses import asdict, dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class VectorSpace:
    """A named space; `name` is its identity on the wire, the rest must agree for vectors to be comparable."""

    name: str
    dimension: int
    model: str
    preprocessing: str
    version: str
    metric: Literal["cosine"] = "cosine"

    def digest(self) -> str:
        """Return the hex SHA-256 of the definition, independent of field order."""
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()
