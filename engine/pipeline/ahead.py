"""Work done ahead of need, in order."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Callable, Generator, Hashable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

T = TypeVar("T", bound=Hashable)
R = TypeVar("R")


def map_ahead(
    function: Callable[[T], R], items: Sequence[T], threads: int, keep: int
) -> Generator[R]:
    """Results of ``function`` in the order of ``items``, computed by ``threads`` at once.

    Leaving the iteration early drops what has not begun.

    Args:
        function: Called once for an item that comes again, while its result can be kept.
        items: What to compute; an item may stand in several places.
        threads: How many calls run at the same time; two results a thread wait to be taken.
        keep: How many results are kept for items that come again; beyond that the oldest is
            dropped and computed anew.
    """
    pool = ThreadPoolExecutor(threads, thread_name_prefix="forward")
    pending: deque[Future[R]] = deque()
    kept: dict[T, Future[R]] = {}
    uses = Counter(items)
    try:
        for item in items:
            future = kept.pop(item, None) or pool.submit(function, item)
            uses[item] -= 1
            if uses[item]:
                kept[item] = future
                if len(kept) > keep:
                    kept.pop(next(iter(kept)))
            pending.append(future)
            if len(pending) > 2 * threads:
                yield pending.popleft().result()
        while pending:
            yield pending.popleft().result()
    finally:
        pool.shutdown(wait=True, cancel_futures=True)
