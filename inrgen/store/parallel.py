"""Work on many files at once, with few of them in memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Executor, Future
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def map_ahead(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], depth: int
) -> Iterator[Result]:
    """Yield function(item) in the order of items, while at most depth results are held.

    A pool's own map begins all of them at once, and would hold every result.
    """
    coming: deque[Future[Result]] = deque()
    try:
        for item in items:
            coming.append(pool.submit(function, item))
            if len(coming) >= depth:
                yield coming.popleft().result()
        while coming:
            yield coming.popleft().result()
    finally:
        # where the caller stops early, or an item fails
        for future in coming:
            future.cancel()
