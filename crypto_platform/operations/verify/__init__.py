"""Whether a store keeps every rule it should, and who breaks one: read in one snapshot, nothing is written.

SQL of whole tables does the work; only features, bundles and refused rows are computed again here.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from datetime import datetime

from sqlalchemy import Connection

from crypto_platform.core.features import DEFAULT, FeatureSet
from crypto_platform.operations.verify import declared, market, science
from crypto_platform.operations.verify.findings import Breach, Finding, RowRule, Rule, ask
from crypto_platform.storage.artifacts import ArtifactStore
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import metadata, ohlcv_data, ohlcv_gaps

__all__ = ["Finding", "Rule", "Verdict", "verify"]


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a verification saw.

    Parameters
    ----------
    findings : tuple of Finding
        Empty where the store is sound.
    rules : int
        Rules that were looked at.
    rows : int
        Rows of all tables.
    """

    findings: tuple[Finding, ...]
    rules: int
    rows: int

    @property
    def broken(self) -> tuple[Rule, ...]:
        """Rules that something breaks, each once."""
        return tuple(dict.fromkeys(finding.rule for finding in self.findings))


def verify(
    store: Warehouse,
    artifacts: ArtifactStore,
    *,
    as_of: datetime,
    is_vendor: Callable[[str], bool] | None = None,
    feature_set: FeatureSet = DEFAULT,
    deep: bool = False,
) -> Verdict:
    """Look at every rule of a store.

    Parameters
    ----------
    store : Warehouse
        Also one with a schema that is not ours: then that is the only finding.
    artifacts : ArtifactStore
    as_of : datetime
        The present; nothing in the store may be of later.
    is_vendor : callable, optional
        Whether a name is a known vendor's; not asked where None.
    feature_set : FeatureSet
        What the store's features are compared with.
    deep : bool
        Compute all features again instead of the newest `science.SAMPLE` of each symbol.
    """
    with store.snapshot() as connection:
        if findings := declared.absent(connection):
            return Verdict(tuple(findings), 1, 0)
        findings = declared.unenforced(connection)
        # A key that is enforced has no duplicates.
        loose = {finding.table for finding in findings}
        keyed = [table for table in metadata.sorted_tables if deep or table.name in loose]
        rows = 0
        for table, rules in _row_rules(as_of, store.dialect, deep=deep).items():
            n, found = declared.scan(connection, metadata.tables[table], rules)
            rows += n
            findings += found
        for breach in (*declared.duplicates(keyed), *_breaches(connection, is_vendor)):
            findings += ask(connection, breach)
        findings += market.gaps(connection)
        findings += market.edges_of_series(connection)
        findings += market.refused_rows(connection)
        findings += science.bundles(connection, artifacts)
        candles = {ohlcv_data.name, ohlcv_gaps.name}
        unsound = frozenset(f.symbol for f in findings if f.table in candles and f.symbol is not None)
        findings += science.follow_from_candles(connection, as_of, unsound, feature_set, deep=deep)
    return Verdict(tuple(findings), len(Rule), rows)


def _row_rules(as_of: datetime, dialect: str, *, deep: bool) -> dict[str, list[RowRule]]:
    """Rules on single rows, by table."""
    by_table: dict[str, list[RowRule]] = {
        table.name: [*declared.row_rules(table, dialect, deep=deep), *declared.future(table, as_of)]
        for table in metadata.sorted_tables
    }
    for rule in (*market.row_rules(as_of), *science.row_rules()):
        by_table[rule.table.name].append(rule)
    return by_table


def _breaches(connection: Connection, is_vendor: Callable[[str], bool] | None) -> Iterator[Breach]:
    """Rules on several rows."""
    yield from declared.dangling()
    yield from market.sources(connection, is_vendor)
    yield from market.coverage()
    yield from market.feature_coverage()
    yield from market.revisions()
    yield from science.models()
    yield from science.outcomes()
