"""Measurements of the platform, as ratios where something stands beside it.

Seconds depend on the machine and on what else it does; ratios of one run less so.
"""

import argparse
from typing import Final

from benchmarks import features, history, hourly, politeness, recording, serving, simulate, training, writes

PARTS: Final = {
    "tick": (hourly.run, "one hour's work beside a row-by-row baseline; 5, 50 and 500 symbols; about three minutes"),
    "writes": (writes.run, "upserts of candles and feature rows on SQLite and Postgres; about a minute"),
    "history": (history.run, "a year of 5 symbols backfilled from a replay server, on both; about 3 minutes"),
    "features": (features.run, "indicators beside plain pandas; 5, 50 and 500 symbols; about two minutes"),
    "training": (training.run, "a month of one symbol trained, and fits beside plain ones; two minutes"),
    "recording": (recording.run, "all recorded candles, where CRYPTO_PLATFORM_TEST_DATA has them; about 3 minutes"),
    "politeness": (politeness.run, "several processes at a vendor's rate limit; about 15 seconds"),
    "simulate": (simulate.run, "the time machine: 30 days of 5 symbols, twice; about ten minutes"),
    "serving": (serving.run, "bundles read to forecast: one in fresh processes, 500 in a batch; about a minute"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {name:12}{about}" for name, (_, about) in PARTS.items()),
    )
    parser.add_argument("parts", nargs="*", metavar="PART", help="what to measure, all without any; see below")
    parser.add_argument("--quick", action="store_true", help="less of each: 5 symbols, few rows, one round")
    asked = parser.parse_args()
    if unknown := [name for name in asked.parts if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; choose of {', '.join(PARTS)}")
    for name in asked.parts or PARTS:
        run, _ = PARTS[name]
        print(f"\n{run(quick=asked.quick)}\n", flush=True)


if __name__ == "__main__":
    main()
