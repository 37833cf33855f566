"""Evidence: `science` is written to docs/validation.md, `decisions` to docs/decisions-validated.md.

`promotions` is one section of the decisions, made without the others in two minutes.

A part takes minutes the first time; its forecasts are kept under HOME, so that scoring them again is quick. Sections
of parts that were not asked for stay as they are.
"""

import argparse
import re
from pathlib import Path
from typing import Final

from validation import decisions, promotions, science

DOCS: Final = Path(__file__).parents[1] / "docs"
REPORT: Final = DOCS / "validation.md"
DECISIONS_REPORT: Final = DOCS / "decisions-validated.md"
PARTS: Final = {
    "planted": (science.planted, "a known signal at four strengths is found; some five minutes"),
    "noise": (science.noise, "random walks and shuffled labels give nothing; some ten minutes"),
    "year": (science.year, "five symbols, a year of recorded history, all horizons; half an hour"),
    "3years": (science.three_years, "five symbols, three years of recorded history, one hour ahead; half an hour"),
}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m validation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        epilog="parts:\n" + "\n".join(f"  {name:10}{about}" for name, (_, about) in PARTS.items()),
    )
    parser.add_argument("subject", choices=["science", "decisions", "promotions"], help="what to validate")
    parser.add_argument("parts", nargs="*", metavar="PART", help="of the science; all without any")
    asked = parser.parse_args()
    if asked.subject == "decisions":
        section = f"<!-- promotions -->\n{promotions.run()}\n<!-- end of promotions -->"
        DECISIONS_REPORT.write_text(f"{decisions.run()}\n\n{section}\n")
        print(f"decisions: written to {DECISIONS_REPORT.name}", flush=True)
        return
    if asked.subject == "promotions":
        text = replaced(DECISIONS_REPORT.read_text(), asked.subject, promotions.run())
        DECISIONS_REPORT.write_text(text)
        print(f"promotions: written to {DECISIONS_REPORT.name}", flush=True)
        return
    if unknown := [name for name in asked.parts if name not in PARTS]:
        parser.error(f"there is no part {', '.join(unknown)}; choose of {', '.join(PARTS)}")
    for name in asked.parts or PARTS:
        run, _ = PARTS[name]
        REPORT.write_text(replaced(REPORT.read_text(), name, run()))
        print(f"{name}: written to {REPORT.name}", flush=True)


def replaced(text: str, part: str, content: str) -> str:
    """The document with the results of a part, which stand between two marks.

    Raises
    ------
    ValueError
        The marks are not there.
    """
    first, last = f"<!-- {part} -->", f"<!-- end of {part} -->"
    if first not in text or last not in text:
        raise ValueError(f"the document has no marks {first} and {last}")
    pattern = re.compile(re.escape(first) + ".*?" + re.escape(last), re.DOTALL)
    return pattern.sub(lambda _: f"{first}\n{content}\n{last}", text)


if __name__ == "__main__":
    main()
