"""The command line: a shell over the same operations the asset graph runs."""

from crypto_platform.cli.app import main

__all__ = ["main"]
