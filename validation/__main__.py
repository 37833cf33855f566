"""`python -m validation [PART …]`: each part prints Markdown."""

import sys

from validation import decisions

PARTS = {"decisions": decisions.run}


def main(names: list[str]) -> None:
    """Run the parts named, all without any."""
    if unknown := set(names) - set(PARTS):
        sys.exit(f"unknown parts {sorted(unknown)}; there are {', '.join(PARTS)}")
    for name in names or PARTS:
        print(PARTS[name]())


if __name__ == "__main__":
    main(sys.argv[1:])
