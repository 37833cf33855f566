"""Workers end with the process that started them, however it ended."""

import os
import signal
import subprocess
import sys
import time
from contextlib import closing
from pathlib import Path

import pytest

from crypto_platform.operations.workers import MANY, Workers

STARTS_TWO = """
import time

from crypto_platform.operations.workers import Workers

if __name__ == "__main__":
    workers = Workers(2)
    print(*set(workers.each(work, range(20))), flush=True)
    time.sleep(600)
"""
WORK = "def work(_): import os, time; time.sleep(0.3); return os.getpid()"


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="looks at processes through /proc")
def test_workers_of_a_killed_process_end(tmp_path: Path) -> None:
    script = tmp_path / "starts_two.py"
    script.write_text(f"{WORK}\n{STARTS_TWO}")
    with subprocess.Popen([sys.executable, str(script)], stdout=subprocess.PIPE, text=True) as starter:
        assert starter.stdout is not None
        workers = [int(word) for word in starter.stdout.readline().split()]
        assert len(workers) == 2
        assert all(map(is_alive, workers))
        os.kill(starter.pid, signal.SIGKILL)
    deadline = time.monotonic() + 30
    while any(map(is_alive, workers)):
        assert time.monotonic() < deadline, "a worker outlives the process it works for"
        time.sleep(0.1)


def test_few_short_works_start_no_process() -> None:
    with closing(Workers(2)) as workers:
        assert workers.for_many(MANY - 1) is map
        assert workers.for_many(MANY) == workers.each
        assert list(workers.each(abs, [-1, -2])) == [1, 2]
        assert workers.for_many(1) == workers.each  # they are there
        workers.close()
        assert workers.for_many(1) is map
