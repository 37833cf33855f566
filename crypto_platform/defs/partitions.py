"""The one partition: by symbol, in the order of the symbols file. Time lives in the tables."""

import itertools
from collections.abc import Collection, Iterator, Mapping, Sequence

import dagster as dg
from dagster._core.storage.tags import (
    ASSET_PARTITION_RANGE_END_TAG,
    ASSET_PARTITION_RANGE_START_TAG,
    PARTITION_NAME_TAG,
)

from crypto_platform.settings import Settings


def symbol_partitions(settings: Settings) -> dg.StaticPartitionsDefinition:
    """Partitions of every per-symbol asset."""
    return dg.StaticPartitionsDefinition([symbol.name for symbol in settings.followed])


def range_tags(keys: Sequence[str]) -> dict[str, str]:
    """Run tags that make one run cover a contiguous range of partitions, one materialization each."""
    return {ASSET_PARTITION_RANGE_START_TAG: keys[0], ASSET_PARTITION_RANGE_END_TAG: keys[-1]}


def shards(keys: Sequence[str], n: int) -> list[Sequence[str]]:
    """`keys` in at most n contiguous parts of nearly equal size.

    Examples
    --------
    >>> shards(["BTC", "ETH", "ADA"], 2)
    [['BTC', 'ETH'], ['ADA']]
    """
    n = min(n, len(keys))
    size, extra = divmod(len(keys), n)
    bounds = [0]
    for part in range(n):
        bounds.append(bounds[-1] + size + (part < extra))
    return [keys[a:b] for a, b in itertools.pairwise(bounds)]


def contiguous(chosen: Collection[str], keys: Sequence[str]) -> Iterator[list[str]]:
    """Those of `keys` that are chosen, in runs of neighbors: what a run of the graph can cover.

    Examples
    --------
    >>> list(contiguous({"ADA", "BTC", "ETH"}, ["BTC", "ETH", "SOL", "ADA"]))
    [['BTC', 'ETH'], ['ADA']]
    """
    for is_chosen, part in itertools.groupby(keys, key=set(chosen).__contains__):
        if is_chosen:
            yield list(part)


def keys_of(tags: Mapping[str, str], all_keys: Sequence[str]) -> list[str]:
    """Partitions a run covers, read from its tags; all of them for a run without partition tags."""
    if PARTITION_NAME_TAG in tags:
        return [tags[PARTITION_NAME_TAG]]
    if ASSET_PARTITION_RANGE_START_TAG in tags:
        first, last = (
            all_keys.index(tags[tag]) for tag in (ASSET_PARTITION_RANGE_START_TAG, ASSET_PARTITION_RANGE_END_TAG)
        )
        return list(all_keys[first : last + 1])
    return list(all_keys)


def covered(tags: Mapping[str, str], all_keys: Sequence[str]) -> list[str]:
    """As `keys_of`, of a run of any age: none where its range begins or ends with one that is no longer followed."""
    try:
        return keys_of(tags, all_keys)
    except ValueError:
        return []
