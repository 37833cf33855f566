"""One exception family. Each message is one sentence naming the culprit and the cure.

Nothing here knows what raised it: rendering and exit codes belong to the command line, retries to `sources`.
"""


class PlatformError(Exception):
    """Base of every error a user can meet; `exit_code` is what the command line answers."""

    exit_code = 1


class ConfigurationError(PlatformError):
    """A setting, file or argument is wrong: nothing was tried."""

    exit_code = 2


class UnknownSymbolError(ConfigurationError):
    """A symbol that no symbols file lists."""

    def __init__(self, symbol: str, known: tuple[str, ...]) -> None:
        super().__init__(
            f"unknown symbol {symbol!r}; known: {', '.join(known)} (`crypto-platform symbols add {symbol}` looks it "
            "up; by hand it goes into symbols.toml of the home, or the file that CRYPTO_PLATFORM_SYMBOLS_FILE names)"
        )


class InvalidBarsError(PlatformError):
    """Candles break an invariant that a computation relies on."""


class UnlawfulFeatureError(PlatformError):
    """A user's own feature breaks a law that every feature keeps."""


class SourceError(PlatformError):
    """An upstream API could not give what was asked."""


class SourceUnavailableError(SourceError):
    """Time-outs, 5xx or rate limits outlasted the retries; later may work."""


class SourceRefusedError(SourceError):
    """The provider said no (key, plan, quota, unknown id): retrying cannot help."""


class RefusesAllError(SourceRefusedError):
    """The provider would refuse whatever else it is asked, too: the key, the plan, the place."""


class KeyRefusedError(RefusesAllError):
    """A key that was given is wrong, or its plan or quota does not allow this."""


class MalformedResponseError(SourceError):
    """The provider answered something its contract does not allow."""


class UnreadableFileError(SourceError):
    """A file of history is damaged, not what its checksum says, or of a form nobody here knows."""


class StoreError(PlatformError):
    """The warehouse cannot be used as it is."""


class SchemaVersionError(StoreError):
    """The database was made by another version of the schema."""


class ProvenanceError(StoreError):
    """Simulated, recorded and live data must not meet in one store."""


class ArtifactError(PlatformError):
    """A model bundle is missing, truncated, tampered with or of another format."""


class NotTrainableError(PlatformError):
    """A training set that cannot carry a model: too few rows, one class, too thin a minority."""
