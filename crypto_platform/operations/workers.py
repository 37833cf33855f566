"""Processes that fit models side by side, and end with the one that started them."""

import multiprocessing
import os
import threading
from concurrent.futures import ProcessPoolExecutor
from multiprocessing.connection import wait
from typing import Final

PRELOADED: Final = ("crypto_platform.operations.train", "sklearn.ensemble", "skops.io")


def pool(n: int) -> ProcessPoolExecutor:
    """A pool of `n` processes whose imports are done once for all.

    They start clean: a fork would copy this process' threads and connections. Killed in whatever way, this process
    leaves none of them behind.
    """
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
