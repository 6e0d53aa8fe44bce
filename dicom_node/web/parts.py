"""What the routes work on: the parts of the node, handed over by `serve`, and how a route gets them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from dicom_node.catalog.repository import Catalog
from dicom_node.settings import Settings
from dicom_node.similarity_search import SimilaritySearch
from index_service.port import VectorIndex


@dataclass(frozen=True, slots=True)
class NodeParts:
    """The parts of one node. `checks` are the stations an instance passes, by name; each raises Unavailable or Corrupt
    while it could not.
    """

    settings: Settings
    catalog: Catalog
    index: VectorIndex
    similarity: SimilaritySearch
    checks: Mapping[str, Callable[[], object]]


def _parts(request: Request) -> NodeParts:
    parts: NodeParts = request.app.state.parts
    return parts


Parts = Annotated[NodeParts, Depends(_parts)]
