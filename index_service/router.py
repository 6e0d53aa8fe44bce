"""One index out of many shards: a group lives on the shard its name hashes to, a search is asked of all and merged.

The rule: a shard that does not answer is never passed over in silence. A search without it is marked partial, a write
to it is Unavailable. Used by the router's server process; the shards are `VectorIndex`es, near or far.
"""

import hashlib
import logging
from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor, wait
from dataclasses import replace
from heapq import merge
from itertools import islice
from typing import TypeVar

from index_service.errors import Corrupt, Rejected, Unavailable
from index_service.port import Answer, Example, Query, Record, ShardStats, VectorIndex
from index_service.sampling import sampled_parts
from index_service.search import rank
from index_service.settings import IndexSettings
from index_service.validation import check_query
from index_service.vector_space import VectorSpace

_logger = logging.getLogger(__name__)
_T = TypeVar("_T")
_Call = Callable[[VectorIndex], _T]


def shard_of(group: str, shards: int) -> int:
    """Return the number of the shard that a group lives on; the same for ever, since it decides where data is."""
    digest = hashlib.blake2b(group.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    return int.from_bytes(digest, "big") % shards


class Router:
    """A `VectorIndex` over shards, in the order of their numbers. Safe for threads."""

    def __init__(self, shards: Sequence[VectorIndex], settings: IndexSettings) -> None:
        self._shards = tuple(shards)
        self._settings = settings
        self._missing: set[int] = set()  # shards that did not answer when last asked, so that each is told once
        # Room for every request at every shard at once, so that one slow shard cannot hold up questions to the others.
        self._threads = ThreadPoolExecutor(len(self._shards) * settings.threads, thread_name_prefix="router")

    # --- changes -------------------------------------------------------------------------------------------------

    def create_space(self, space: VectorSpace) -> None:
        """See `VectorIndex.create_space`; known once all shards know it."""
        self._write({number: lambda shard: shard.create_space(space) for number in range(len(self._shards))})

    def upsert(self, space: str, records: Sequence[Record]) -> None:
        """See `VectorIndex.upsert`. On Unavailable some shards may have stored their records."""

        def call(mine: Sequence[Record]) -> _Call[None]:
            return lambda shard: shard.upsert(space, mine)

        by_shard = self._by_shard(records, lambda record: record.group)
        self._write({number: call(mine) for number, mine in by_shard.items()})

    def delete(self, space: str, keys: Mapping[str, str] | None = None, groups: Sequence[str] = ()) -> int:
        """See `VectorIndex.delete`. On Unavailable some shards may have deleted theirs."""
        keys_of = self._by_shard((keys or {}).items(), lambda item: item[1])
        groups_of = self._by_shard(groups, lambda group: group)

        def call(number: int) -> _Call[int]:
            return lambda shard: shard.delete(space, dict(keys_of[number]), groups_of[number])

        return sum(self._write({number: call(number) for number in {*keys_of, *groups_of}}))

    def _by_shard(self, items: Iterable[_T], group_of: Callable[[_T], str]) -> defaultdict[int, list[_T]]:
        by_shard: defaultdict[int, list[_T]] = defaultdict(list)
        for item in items:
            by_shard[shard_of(group_of(item), len(self._shards))].append(item)
        return by_shard

    def _write(self, calls: Mapping[int, _Call[_T]]) -> list[_T]:
        """Make the calls side by side; return their results, or raise when all have ended and one of them failed."""
        futures = self._start(calls)
        done, _ = wait(futures.values(), self._settings.write_timeout_s)
        for number, future in futures.items():
            if future not in done:
                raise Unavailable(f"shard {number} did not acknowledge in time")
        return [future.result() for future in futures.values()]

    # --- questions -----------------------------------------------------------------------------------------------

    def spaces(self) -> list[VectorSpace]:
        """See `VectorIndex.spaces`; those that any shard that answers knows."""
        answers = self._ask_all(lambda shard: shard.spaces())
        return sorted({space for spaces in answers.values() for space in spaces}, key=lambda space: space.name)

    def search(self, query: Query) -> Answer:
        """See `VectorIndex.search`. Raise Unavailable when the example's shard, or every shard, does not answer."""
        check_query(query)
        by_value = self._by_value(query)
        return _merged(self._ask_all(lambda shard: shard.search(by_value)).values(), query.k, len(self._shards))

    def _by_value(self, query: Query) -> Query:
        if query.example is None:
            return query
        records = self.fetch(query.space, query.example)
        if not records:
            raise Rejected("the example has no vectors in this vector space")
        return replace(query, example=None, parts=sampled_parts(records, self._settings.sample_vectors))

    def fetch(self, space: str, example: Example) -> list[Record]:
        """See `VectorIndex.fetch`; Unavailable when the shard of the group does not answer in time."""
        number = shard_of(example.group, len(self._shards))
        future = self._threads.submit(self._shards[number].fetch, space, example)
        try:
            return future.result(self._settings.search_timeout_s)
        except TimeoutError as error:
            raise Unavailable(f"shard {number} did not answer in time") from error

    def stats(self) -> list[ShardStats]:
        """See `VectorIndex.stats`; shards that do not answer are listed as not available."""
        answers = self._answers(lambda shard: shard.stats())
        return [
            replace(answers[number][0], shard=number) if number in answers else ShardStats(number, available=False)
            for number in range(len(self._shards))
        ]

    def close(self) -> None:
        """Close the connections to all shards."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        for shard in self._shards:
            shard.close()

    def _ask_all(self, call: _Call[_T]) -> dict[int, _T]:
        answers = self._answers(call)
        if not answers:
            raise Unavailable("no shard answers")
        return answers

    def _answers(self, call: _Call[_T]) -> dict[int, _T]:
        """Ask every shard; return the answers given in time, by number. Rejected by one is Rejected."""
        futures = self._start(dict.fromkeys(range(len(self._shards)), call))
        wait(futures.values(), self._settings.search_timeout_s)
        answers = {}
        for number, future in futures.items():
            try:
                answers[number] = future.result(0)
            except (Unavailable, Corrupt, TimeoutError) as error:
                self._note_missing(number, str(error) or "no answer in time")
            else:
                self._note_answered(number)
        return answers

    def _note_missing(self, number: int, reason: str) -> None:
        if number not in self._missing:
            self._missing.add(number)
            _logger.warning("shard %d is missing in the answers: %s", number, reason)

    def _note_answered(self, number: int) -> None:
        if number in self._missing:
            self._missing.discard(number)
            _logger.info("shard %d answers again", number)

    def _start(self, calls: Mapping[int, _Call[_T]]) -> dict[int, Future[_T]]:
        return {number: self._threads.submit(call, self._shards[number]) for number, call in calls.items()}


def _merged(answers: Iterable[Answer], k: int, shards: int) -> Answer:
    """Merge answers that are each in the total order; every answer is one shard's."""
    given = list(answers)
    return Answer(
        tuple(islice(merge(*(answer.neighbors for answer in given), key=rank), k)),
        sum(answer.groups_searched for answer in given),
        shards_answered=len(given),
        shards_total=shards,
    )
