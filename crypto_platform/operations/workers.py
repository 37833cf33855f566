"""Processes that share work, and end with the one that started them."""

import multiprocessing
import os
import threading
from collections.abc import Callable, Iterable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Any, Final

from crypto_platform.core.validation import Each

MANY: Final = 25  # works of 0.3 s, on two processes that take 3.5 s to start
PRELOADED: Final = ("crypto_platform.operations.train", "sklearn.ensemble", "skops.io")


class Workers:
    """Processes of one thread each, started when there is work.

    They start clean: a fork would copy this process' threads and connections. Their imports are done once for all.
    Killed in whatever way, this process leaves none of them behind.

    Parameters
    ----------
    n : int
        How many; with one, the caller's process does the work itself.
    """

    def __init__(self, n: int = 1) -> None:
        self.n = n
        self._starting = threading.Lock()
        self._pool: ProcessPoolExecutor | None = None

    def each(self, function: Callable[..., Any], *arguments: Iterable[Any]) -> Iterable[Any]:
        """`map`, which several processes begin at once, and one when it is asked for the results."""
        if self.n == 1:
            return map(function, *arguments)
        with self._starting:
            if self._pool is None:
                self._pool = _pool(self.n)
        return self._pool.map(function, *arguments)

    def for_many(self, n: int) -> Each:
        """`each` for so many short works, this process' own where starting others takes longer than they save."""
        return self.each if self._pool or n >= MANY else map

    def close(self) -> None:
        """End them when what they do is done; more work starts others."""
        with self._starting:
            ended, self._pool = self._pool, None
        if ended:
            ended.shutdown()


ALONE: Final = Workers()


def _pool(n: int) -> ProcessPoolExecutor:
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(list(PRELOADED))
    return ProcessPoolExecutor(n, mp_context=context, initializer=_end_with_parent)


def _end_with_parent() -> None:
    """Watch the starting process: each worker holds the pipe it waits on open itself, so its end tells nobody."""
    threading.Thread(target=_watch, name="end-with-parent", daemon=True).start()


def _watch() -> None:
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
