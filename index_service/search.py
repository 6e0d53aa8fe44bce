"""One shard's answer to a query by value: select by filter, find candidates, compare vector by vector, rank.

A *target* is what becomes a neighbor (a group, a part or a record, by the query's level); a *unit* is what a part of
the example is compared with (a part of a group; else the target itself).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np

from index_service.candidates import frame_queries, marked, mean_queries, nearest_units
from index_service.columns import Mask, Ordinals
from index_service.engines.port import Engine
from index_service.port import ExamplePart, Neighbor, Query
from index_service.ranking import DISTANCE_DECIMALS, Similarities, Unit, best_row, best_units, distance, similarities
from index_service.table import Table


@dataclass(frozen=True, slots=True)
class Found:
    """Neighbors in their total order, and how many groups passed the filter."""

    neighbors: tuple[Neighbor, ...]
    groups_searched: int


def rank(neighbor: Neighbor) -> tuple[float, str, str, str, int]:
    """Return the key of the total order of neighbors."""
    return (neighbor.distance, neighbor.group, neighbor.part, neighbor.key, neighbor.position)


def search(table: Table, engine: Engine, query: Query, parts: Sequence[ExamplePart], candidates: int) -> Found:
    """Return the k neighbors of `parts` (unit length) nearest by the ranking, out of about `candidates` candidates."""
    selected = table.selected(query.filter)
    searched = len(_distinct(table.group_of_record[selected]))
    comparable = [tuple((name, part.attributes.get(name)) for name in query.comparable) for part in parts]
    masks = {values: selected & table.having(values) for values in set(comparable)}
    allowed = [masks[values] for values in comparable]
    any_allowed = np.logical_or.reduce(allowed)
    if not any_allowed.any():
        return Found((), searched)
    targets = _targets(table, engine, query, parts, any_allowed, max(candidates, 2 * query.k))
    neighbors = _compared(table, query, parts, allowed, targets)
    near = [neighbor for neighbor in neighbors if _near_enough(neighbor, query)]
    return Found(tuple(sorted(near, key=rank)[: query.k]), searched)


def _near_enough(neighbor: Neighbor, query: Query) -> bool:
    return query.minimum_score is None or round(1 - neighbor.distance, DISTANCE_DECIMALS) >= query.minimum_score


def _target_of_record(table: Table, query: Query) -> Ordinals:
    if query.level == "group":
        return table.group_of_record
    if query.level == "part":
        return table.part_of_record
    return np.arange(len(table.part_of_record))


def _distinct(ordinals: Ordinals) -> Ordinals:
    """Return the different ordinals, ascending: by marking, which beats sorting for many."""
    return np.flatnonzero(marked(ordinals, int(ordinals.max(initial=-1)) + 1))


def _targets(
    table: Table, engine: Engine, query: Query, parts: Sequence[ExamplePart], allowed: Mask, wanted: int
) -> list[int]:
    """Return the ordinals of the targets to compare: all there are when that is asked or few, else the near ones."""
    target_of_record = _target_of_record(table, query)
    present = _distinct(target_of_record[allowed])
    if query.exact or len(present) <= wanted:
        return [int(target) for target in present]
    by_key = query.level == "key"
    near = nearest_units(
        engine,
        table.vectors,
        frame_queries(parts),
        allowed[table.record_of_row],
        target_of_record[table.record_of_row],
        wanted,
        rounds=None if by_key else 1,  # a record is found by its own rows alone; a group also by its parts' means
    )
    return near if by_key else sorted({*near, *_by_means(table, engine, query, parts, allowed, wanted)})


def _by_means(
    table: Table, engine: Engine, query: Query, parts: Sequence[ExamplePart], allowed: Mask, wanted: int
) -> list[int]:
    allowed_parts = marked(table.part_of_record[allowed], len(table.means))
    target_of_part = table.group_of_part if query.level == "group" else np.arange(len(table.means))
    return nearest_units(engine, table.means, mean_queries(parts), allowed_parts, target_of_part, wanted)


def _units(table: Table, query: Query, target: int, allowed: Mask) -> list[Unit]:
    """Return the units of a target that hold allowed records, parts by name."""
    if query.level == "key":
        return [Unit(target, table.sample_of_records(np.array([target])))]
    parts = table.parts_of_group(target) if query.level == "group" else [table.part(target)]
    units = [Unit(part.ordinal, table.sample_of_part(part, allowed)) for part in parts]
    return [unit for unit in units if len(unit.rows)]


def _compared(
    table: Table, query: Query, parts: Sequence[ExamplePart], allowed: Sequence[Mask], targets: Sequence[int]
) -> list[Neighbor]:
    """Compare the example with each target and return one neighbor for each."""
    any_allowed = np.logical_or.reduce(allowed)
    by_target = [_units(table, query, target, any_allowed) for target in targets]
    counts = np.array([len(units) for units in by_target])
    units = list(chain.from_iterable(by_target))
    firsts = table.record_of_row[[unit.rows[0] for unit in units]]
    comparable = np.stack([mask[firsts] for mask in allowed])
    similar = similarities(parts, units, table.vectors)
    scores, matched = best_units(similar, comparable, np.cumsum(counts) - counts)
    leading = scores.argmax(axis=0)
    pairs = [(parts[part], units[matched[part, i]]) for i, part in enumerate(leading.tolist())]
    return [
        _neighbor(table, part, unit, score) for (part, unit), score in zip(pairs, _totals(query, scores), strict=True)
    ]


def _totals(query: Query, scores: Similarities) -> list[float]:
    """Return one similarity a target from float64[parts, targets], -inf where nothing is comparable."""
    if query.level == "group":
        # A part of the example without a counterpart is nothing alike, and counts like the others.
        return [float(total) for total in np.where(np.isfinite(scores), scores, 0.0).mean(axis=0)]
    return [float(total) for total in scores.max(axis=0)]


def _neighbor(table: Table, part: ExamplePart, unit: Unit, similarity: float) -> Neighbor:
    row = best_row(part, unit, table.vectors)
    record = table.record(int(table.record_of_row[row]))
    return Neighbor(record.group, record.part, record.key, table.position(row), distance(similarity))
