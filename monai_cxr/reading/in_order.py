"""In order: work done ahead in threads, its results in the order of what it was given."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def in_order(
    work: Callable[[Item], Result],
    items: Iterable[Item],
    *,
    workers: int,
    ahead: int,
    name: str,
    stop: Callable[[], None] | None = None,
) -> Generator[Result, None, None]:
    """Work on items in threads; give the results in the order of the items.

    Args:
        work: What is done with each, in a thread.
        items: Taken in this thread, and only as fast as results are asked for.
        workers: How many threads.
        ahead: Items in flight at most: waiting, being worked on, or done and not yet taken. With
            one alone the work is done in this thread.
        name: Name of the threads.
        stop: Called when the iterator ends or is closed, to end what is still under way.

    Yields:
        One result an item. An error of the work is raised where its result would stand.
    """
    pool = ThreadPoolExecutor(workers, thread_name_prefix=name)
    waiting: deque[Future[Result]] = deque()
    try:
        if ahead == 1:
            yield from map(work, items)
            return
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) >= ahead:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        for future in waiting:
            future.cancel()
        if stop is not None:
            stop()
        pool.shutdown(wait=True, cancel_futures=True)
