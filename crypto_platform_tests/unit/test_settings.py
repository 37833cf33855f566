"""Laws of the settings: bounded, complete, one sentence for each mistake, and no secret told."""

import base64
import os
from pathlib import Path
from typing import Any

import pytest
from annotated_types import Ge, Gt, Le, Lt
from pydantic import SecretStr, ValidationError

from crypto_platform import settings as configuration
from crypto_platform.errors import ConfigurationError, UnknownSymbolError
from crypto_platform.settings import PREFIX, Settings

SECRET = "s3cr3t-word"
SECRET_VALUES = {
    "database_url": f"postgresql://me:{SECRET}@host/db",
    "alert_smtp_url": f"smtp://me:{SECRET}@host",
    "alert_webhook_url": f"https://host/{SECRET}",
    "alert_webhook_secret": "whsec_" + base64.b64encode(f"{SECRET} and some more bytes".encode()).decode(),
}
TARGETS = {
    "alert_slack_token": "xoxb-1",
    "alert_slack_channel": "#alerts",
    "alert_smtp_url": "smtps://host",
    "alert_email_from": "platform@example.org",
    "alert_email_to": "me@example.org, you@example.org",
    "alert_webhook_url": "https://host/hook",
    "alert_webhook_secret": base64.b64encode(bytes(24)).decode(),
}
SECRETS = [name for name, field in Settings.model_fields.items() if "SecretStr" in str(field.annotation)]


@pytest.fixture(autouse=True)
def bare_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No variable of ours and no `.env`."""
    for name in list(os.environ):
        if name.startswith(PREFIX):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def bounds() -> list[tuple[str, float]]:
    """Each bounded field with the nearest values outside its bounds."""
    outside: list[tuple[str, float]] = []
    for name, field in Settings.model_fields.items():
        for bound in field.metadata:
            if isinstance(bound, Ge):
                outside.append((name, float(bound.ge) - 1))  # type: ignore[arg-type]
            if isinstance(bound, Gt):
                outside.append((name, bound.gt))  # type: ignore[arg-type]
            if isinstance(bound, Le):
                outside.append((name, float(bound.le) + 1))  # type: ignore[arg-type]
            if isinstance(bound, Lt):
                outside.append((name, bound.lt))  # type: ignore[arg-type]
    return outside


@pytest.mark.parametrize(("name", "value"), bounds())
def test_every_bound_holds_and_its_variable_is_named(name: str, value: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + name.upper(), f"{value:g}")
    with pytest.raises(ConfigurationError, match=rf"{PREFIX}{name.upper()}='{value:g}': .*(than|equal)"):
        configuration.load()


def test_every_number_is_bounded_on_both_sides_or_a_seed() -> None:
    for name, field in Settings.model_fields.items():
        if field.annotation in {int, float} and name != "seed":
            kinds = {type(bound) for bound in field.metadata}
            assert kinds & {Ge, Gt}, name
            assert kinds & {Le, Lt}, name


def test_the_defaults_are_valid_and_every_field_is_described() -> None:
    settings = configuration.load()
    assert [symbol.name for symbol in settings.followed] == ["BTC", "ETH", "ADA", "SOL", "DOT"]
    assert settings.store_url.startswith("sqlite:///")
    assert settings.signal_rules.round_trip_cost == pytest.approx(0.003)
    assert all(field.description for field in Settings.model_fields.values())


def test_settings_cannot_be_changed() -> None:
    with pytest.raises(ValidationError, match="frozen"):
        configuration.load().seed = 1  # type: ignore[misc]


@pytest.mark.parametrize(
    ("variable", "hint"),
    [
        ("SYMBOL", "did you mean CRYPTO_PLATFORM_SYMBOLS"),
        ("FEE_BSP", "FEE_BPS?"),
        ("XYZZYPLUGH", "docs/settings.md|mean"),
    ],
)
def test_an_unknown_variable_is_refused_with_a_hint(variable: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PREFIX + variable, "1")
    with pytest.raises(ConfigurationError, match=rf"{PREFIX}{variable} is not a setting; .*({hint})"):
        configuration.load()


def test_an_unknown_symbol_is_found_at_once_with_the_known_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}SYMBOLS", "BTC,NOPE")
    with pytest.raises(
        UnknownSymbolError, match=r"unknown symbol 'NOPE'; known: BTC, ETH, .*symbols add NOPE.*SYMBOLS_FILE"
    ):
        configuration.load()


@pytest.mark.parametrize(("given", "expected"), [("eth, btc,", ["BTC", "ETH"]), ("", None), ("SOL,SOL", ["SOL"])])
def test_symbols_are_names_in_any_case_in_the_order_of_the_file(
    given: str, expected: list[str] | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"{PREFIX}SYMBOLS", given)
    names = [symbol.name for symbol in configuration.load().followed]
    assert names == (expected or ["BTC", "ETH", "ADA", "SOL", "DOT"])


@pytest.mark.parametrize("given", ["2", "1,2", "one", ",", "1;3", "0"])
def test_other_horizons_are_refused_by_name(given: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}HORIZONS", given)
    with pytest.raises(ConfigurationError, match=f"{PREFIX}HORIZONS"):
        configuration.load()


def test_horizons_are_sorted_and_unique(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}HORIZONS", "7,1,7")
    assert configuration.load().horizons == (1, 7)


@pytest.mark.parametrize("name", SECRETS)
def test_secrets_are_never_shown(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    value = SECRET_VALUES.get(name, SECRET)
    for variable, given in {**TARGETS, name: value}.items():
        monkeypatch.setenv(PREFIX + variable.upper(), given)
    settings = configuration.load()
    assert getattr(settings, name).get_secret_value() == value
    for shown in (
        repr(settings),
        str(settings),
        repr(settings.sources),
        repr(settings.targets),
        str(settings.model_dump()),
        settings.model_dump_json(),
    ):
        assert SECRET not in shown


def test_no_target_is_set_without_settings_and_each_with_all_of_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    assert configuration.load().targets.names == ()
    for name, value in TARGETS.items():
        monkeypatch.setenv(PREFIX + name.upper(), value)
    settings = configuration.load()
    assert settings.targets.names == ("slack", "email", "webhook")
    assert settings.targets.email_to == ("me@example.org", "you@example.org")


@pytest.mark.parametrize("missing", TARGETS)
def test_a_target_set_in_part_is_refused_by_the_names_of_both_variables(
    missing: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in TARGETS.items():
        if name != missing:
            monkeypatch.setenv(PREFIX + name.upper(), value)
    with pytest.raises(ConfigurationError, match=rf"{PREFIX}ALERT_\w+ is set and {PREFIX}{missing.upper()} is not"):
        configuration.load()


@pytest.mark.parametrize(
    ("name", "value", "says"),
    [
        ("alert_smtp_url", f"https://me:{SECRET}@host", "begins with https://; it has to be smtp:// or smtps://"),
        ("alert_smtp_url", SECRET, "is no address"),
        ("alert_smtp_url", f"smtp://me:{SECRET}@host:x", "is no address"),
        ("alert_webhook_url", f"http://host/{SECRET}", "begins with http://; it has to be https://"),
        ("alert_webhook_secret", SECRET, "is no base64 of 24 bytes or more"),
        ("alert_webhook_secret", base64.b64encode(bytes(23)).decode(), "is no base64 of 24 bytes or more"),
        ("alert_slack_url", "http://slack.example/api", "begins with http://"),
        ("alert_email_to", "me@example.org,you", "'you' is no address"),
        ("alert_email_from", "me@example.org\nBcc: you@example.org", "is no address"),
    ],
)
def test_what_a_target_cannot_be_is_refused_and_no_secret_told(
    name: str, value: str, says: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for variable, given in {**TARGETS, name: value}.items():
        monkeypatch.setenv(PREFIX + variable.upper(), given)
    with pytest.raises(ConfigurationError, match=says) as error:
        configuration.load()
    assert PREFIX + name.upper() in str(error.value)
    assert SECRET not in str(error.value)


def test_only_a_webhook_on_this_machine_may_do_without_tls(monkeypatch: pytest.MonkeyPatch) -> None:
    for variable, given in {**TARGETS, "alert_webhook_url": "http://127.0.0.1:9/hook"}.items():
        monkeypatch.setenv(PREFIX + variable.upper(), given)
    assert "webhook" in configuration.load().targets.names


def test_a_mistake_beside_a_secret_does_not_tell_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"{PREFIX}DATABASE_URL", f"postgresql://me:{SECRET}@host/db")
    monkeypatch.setenv(f"{PREFIX}SEED", "-1")
    with pytest.raises(ConfigurationError) as error:
        configuration.load()
    assert SECRET not in str(error.value)


def test_every_key_and_every_address_with_a_key_in_it_is_a_secret() -> None:
    keys = ("_key", "_token", "_secret", "database_url", "smtp_url", "webhook_url")
    named = {name for name in Settings.model_fields if name.endswith(keys)}
    assert named == set(SECRETS)
    assert SECRETS
    assert repr(SecretStr(SECRET)) == "SecretStr('**********')"


def test_the_environment_file_is_read_and_the_environment_wins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".env").write_text(f"{PREFIX}SEED=5\n{PREFIX}SHARDS=3\n")
    monkeypatch.setenv(f"{PREFIX}SEED", "6")
    settings = configuration.load(shards=4)
    assert (settings.seed, settings.shards) == (6, 4)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("not toml", "cannot be read"),
        ("[[symbol]]\ntitle = 'no name'", "name"),
        ("[[symbol]]\nname = 'A'\n[[symbol]]\nname = 'A'", "unique"),
        ("[[symbol]]\nname = 'ALL'", "not ALL"),
        ("[[symbol]]\nname = 'btc'", "upper-case"),
        ("", "cannot be read"),
        ("symbol = 3", "cannot be read"),
    ],
)
def test_a_bad_symbols_file_is_refused_by_name(text: str, why: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text)
    with pytest.raises(ConfigurationError, match=rf"mine\.toml.*{why}"):
        configuration.load(symbols_file=path)


def test_what_the_home_chose_comes_on_top_of_the_symbols_file(tmp_path: Path) -> None:
    mine, home = tmp_path / "mine.toml", tmp_path / "home"
    mine.write_text('[[symbol]]\nname = "A"\ndefault = true\n[[symbol]]\nname = "B"\n')
    home.mkdir()
    (home / "symbols.toml").write_text('[[symbol]]\nname = "B"\nfollow = true\ncoinpaprika = "b-b"\n')
    settings = configuration.load(home=home, symbols_file=mine)
    assert [(s.name, s.coinpaprika) for s in settings.followed] == [("A", None), ("B", "b-b")]
    assert [s.name for s in configuration.load(home=home, symbols_file=mine, symbols=("a",)).followed] == ["A"]


def test_the_symbols_file_may_not_be_the_one_of_the_home(tmp_path: Path) -> None:
    path = tmp_path / "symbols.toml"
    path.write_text('[[symbol]]\nname = "A"\ndefault = true\n')
    with pytest.raises(ConfigurationError, match=r"SYMBOLS_FILE=.*symbols\.toml.*move it"):
        configuration.load(home=tmp_path, symbols_file=path)


def test_following_nothing_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text('[[symbol]]\nname = "A"\n')
    with pytest.raises(ConfigurationError, match=r"no symbol is followed: .*CRYPTO_PLATFORM_SYMBOLS"):
        configuration.load(symbols_file=path)


def test_listing_dates_hold_unless_the_prices_are_not_of_their_time() -> None:
    real, ignored = (configuration.load(listing_dates=how).book for how in ("real", "ignored"))
    assert real["MATIC"].listings
    assert not any(symbol.listings for symbol in ignored.values())
    assert list(real) == list(ignored)
    assert ignored["BTTC"].market == "BTTC"


def test_a_missing_symbols_file_is_refused_by_name(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"gone\.toml cannot be read"):
        configuration.load(symbols_file=tmp_path / "gone.toml")


@pytest.mark.parametrize(("url", "folder"), [("/data/models", "/data/models"), ("file:///data/models", "/data/models")])
def test_artifacts_live_in_a_folder(url: str, folder: str) -> None:
    assert configuration.load(artifacts_url=url).artifacts_folder == Path(folder)


def test_artifacts_elsewhere_are_refused() -> None:
    settings: Any = configuration.load(artifacts_url="s3://bucket/models")
    with pytest.raises(ConfigurationError, match=r"ARTIFACTS_URL.*only folders"):
        assert settings.artifacts_folder
