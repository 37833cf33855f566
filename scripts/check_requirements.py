#!/usr/bin/env python3
"""Check that `requirements/` is what `make lock` would write, as far as that can be seen without a network.

Every requirement of `pyproject.toml` is pinned to a version it allows, every pin carries a hash and no address, and the
development set holds the running set at the same versions.
"""

import re
import sys
import tomllib
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

TOP = Path(__file__).resolve().parent.parent


def pins(path: Path) -> dict[str, Requirement]:
    """Requirements of a file by canonical name.

    A name may be pinned twice under different markers; the last one stands for both.
    """
    logical = path.read_text().replace("\\\n", " ").splitlines()
    found = {}
    for line in logical:
        if "://" in line or " @ " in line:
            sys.exit(f"{path.name}: an address in {line[:80]!r}; `make lock` writes none")
        requirement, *hashes = re.split(r"\s+--hash=", line.strip())
        if not requirement:
            continue
        if not hashes:
            sys.exit(f"{path.name}: {requirement} has no hash; run `make lock`")
        parsed = Requirement(requirement)
        found[canonicalize_name(parsed.name)] = parsed
    return found


def pinned_version(requirement: Requirement) -> str:
    """The one version of a pin."""
    return next(iter(requirement.specifier)).version


def main() -> None:
    """Exit with one sentence at the first difference."""
    project = tomllib.loads((TOP / "pyproject.toml").read_text())
    groups = project["dependency-groups"]
    run, dev = (pins(TOP / "requirements" / f"{name}.txt") for name in ("run", "dev"))
    wanted = {
        "run.txt": (run, [*project["project"]["dependencies"], *groups["build"]]),
        "dev.txt": (dev, [*project["project"]["dependencies"], *groups["build"], *groups["dev"]]),
    }
    for name, (pinned, requirements) in wanted.items():
        for text in requirements:
            requirement = Requirement(text)
            pin = pinned.get(canonicalize_name(requirement.name))
            if pin is None:
                sys.exit(f"requirements/{name} lacks {requirement.name}; run `make lock`")
            if not requirement.specifier.contains(pinned_version(pin), prereleases=True):
                sys.exit(f"requirements/{name} pins {pin}, pyproject.toml asks for {requirement}; run `make lock`")
    for name, pin in run.items():
        other = dev.get(name)
        if other is None or other.specifier != pin.specifier:
            sys.exit(f"requirements/run.txt pins {pin}, dev.txt {other or 'nothing'}; run `make lock`")
    sys.stdout.write(f"requirements in step: {len(run)} to run, {len(dev)} to develop\n")


if __name__ == "__main__":
    main()
