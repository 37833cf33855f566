"""Laws of the schema: what a store is given, what is refused, and with which words."""

import re
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, func, inspect, select, text

from crypto_platform.errors import ConfigurationError, SchemaVersionError, StoreError
from crypto_platform.storage import schema
from crypto_platform.storage.engines import open_engine, parse_url
from crypto_platform.storage.warehouse import Warehouse
from crypto_platform.tables import latest_predictions, metadata
from crypto_platform.tables.columns import check_constraints

VIEWS = {"latest_predictions"}


def test_the_migrations_make_exactly_what_the_tables_declare(store: Warehouse) -> None:
    with store.engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, metadata) == []


def test_an_empty_store_gets_tables_view_and_revision_at_first_use(store: Warehouse) -> None:
    assert inspect(store.raw_engine).get_table_names() == []
    for table in (*metadata.sorted_tables, latest_predictions):
        assert store.read(select(func.count().label("n")).select_from(table))["n"].tolist() == [0]
    with store.reading() as connection:
        assert schema.current(connection) == schema.head()
    inspector = inspect(store.raw_engine)
    assert set(inspector.get_table_names()) == {*metadata.tables, "alembic_version"}
    assert set(inspector.get_view_names()) == VIEWS


def test_check_constraints_are_declared_in_the_database_too(store: Warehouse) -> None:
    inspector = inspect(store.engine)
    for table in metadata.sorted_tables:
        declared = {check.name for check in check_constraints(table)}
        there = {c["name"] for c in inspector.get_check_constraints(table.name)}
        assert {str(name)[:63] for name in declared} <= there, table.name


def test_upgrading_twice_changes_nothing(store: Warehouse) -> None:
    schema.upgrade(store.raw_engine)
    before = _objects(store)
    schema.upgrade(store.raw_engine)
    assert _objects(store) == before


def test_a_newer_schema_is_refused_in_one_sentence(store: Warehouse, store_url: str) -> None:
    _set_revision(store, "9999")
    for refuse in (lambda s: s.engine, lambda s: schema.upgrade(s.raw_engine)):
        later = Warehouse.open(store_url)
        with pytest.raises(SchemaVersionError, match=r"schema 9999, which is newer .*install the version") as error:
            refuse(later)
        later.close()
        assert "\n" not in str(error.value)
    assert _revision(store) == "9999"  # nothing was touched


def test_an_older_schema_names_the_command_that_mends_it(
    store: Warehouse, store_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert store.engine
    monkeypatch.setattr(schema, "head", lambda: "0042")
    later = Warehouse.open(store_url)
    with pytest.raises(SchemaVersionError, match=r"this version needs 0042: run `crypto-platform db upgrade`"):
        assert later.engine
    later.close()


def test_tables_of_somebody_else_are_never_taken_over(store: Warehouse) -> None:
    with store.raw_engine.begin() as connection:
        connection.execute(text("CREATE TABLE features (mine INTEGER)"))
    with pytest.raises(SchemaVersionError, match=r"tables named features that this platform did not make"):
        assert store.engine
    assert inspect(store.raw_engine).get_table_names() == ["features"]


def test_a_store_below_a_file_is_refused_with_the_setting_to_change(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    with pytest.raises(StoreError, match=r"cannot be created \(.+\); set CRYPTO_PLATFORM_HOME"):
        open_engine(f"sqlite:///{tmp_path / 'file' / 'store.db'}")


def test_a_file_that_is_no_database_is_refused_as_a_store_error(tmp_path: Path) -> None:
    (tmp_path / "store.db").write_bytes(b"this is a diary, not a database. " * 100)
    store = Warehouse.open(f"sqlite:///{tmp_path / 'store.db'}")
    with pytest.raises(StoreError, match="not a database"):
        assert store.engine
    store.close()


def test_a_refused_login_names_the_store_but_not_the_password(postgres_database: str) -> None:
    url = parse_url(postgres_database).set(username="stranger", password="s3cr3t-word")
    store = Warehouse.open(url.render_as_string(hide_password=False))
    with pytest.raises(StoreError, match=r"stranger.*CRYPTO_PLATFORM_DATABASE_URL") as error:
        assert store.engine
    store.close()
    _holds_no_secret(error.value)


def test_an_unreachable_server_is_named_without_the_password() -> None:
    store = Warehouse.open("postgresql://me:s3cr3t-word@127.0.0.1:1/db")
    with pytest.raises(StoreError, match=r"me:\*\*\*@127\.0\.0\.1:1") as error:
        assert store.engine
    store.close()
    _holds_no_secret(error.value)


@pytest.mark.parametrize("url", ["s3cr3t-word", "mysql://me:s3cr3t-word@host/db", "postgresql://me:s3cr3t-word@h:x/d"])
def test_what_is_no_url_of_ours_is_refused_without_repeating_it(url: str) -> None:
    with pytest.raises(ConfigurationError, match="CRYPTO_PLATFORM_DATABASE_URL") as error:
        open_engine(url)
    assert "s3cr3t-word" not in str(error.value)


@pytest.mark.parametrize("scheme", ["postgres", "postgresql", "postgresql+psycopg"])
def test_postgres_urls_all_mean_the_installed_driver(scheme: str) -> None:
    assert parse_url(f"{scheme}://me@host/db").drivername == "postgresql+psycopg"


def test_the_test_server_speaks_utc_and_utf8_whatever_its_machine(store: Warehouse) -> None:
    if store.dialect != "postgresql":
        pytest.skip("Postgres only: SQLite knows no time zone")
    with store.reading() as connection:
        assert connection.scalar(text("SHOW timezone")) == "UTC"


def _holds_no_secret(error: BaseException | None) -> None:
    while error is not None:
        assert "s3cr3t-word" not in f"{error}{error!r}"
        error = error.__cause__


def _objects(store: Warehouse) -> set[str]:
    inspector = inspect(store.raw_engine)
    return {*inspector.get_table_names(), *inspector.get_view_names()}


def _set_revision(store: Warehouse, revision: str) -> None:
    with store.engine.begin() as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = :r"), {"r": revision})


def _revision(store: Warehouse) -> str | None:
    plain = create_engine(store.raw_engine.url)
    with plain.connect() as connection:
        found = connection.scalar(text("SELECT version_num FROM alembic_version"))
    plain.dispose()
    assert re.fullmatch(r"\w+", str(found))
    return str(found)
