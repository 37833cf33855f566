"""The data dictionary, as Markdown."""

from sqlalchemy import MetaData

from crypto_platform.tables.columns import type_name


def data_dictionary(metadata: MetaData) -> str:
    """Every table and column with type, unit and meaning.

    Returns
    -------
    str
        Markdown; tables in alphabetical order.
    """
    lines = [
        "# Data dictionary",
        "",
        "Rendered from `crypto_platform/tables` by `crypto-platform docs`; edits here are lost.",
        "Instants are UTC: `TIMESTAMPTZ` on Postgres, microseconds since 1970 on SQLite.",
        "The view `latest_predictions` has the champion's newest row of `predictions` per symbol and horizon.",
    ]
    for table in sorted(metadata.tables.values(), key=lambda t: t.name):
        grain = table.info.get("grain", "")
        lines += ["", f"## {table.name}", "", f"{table.comment} Grain: {grain}.", ""]
        lines += ["| column | type | unit | null | meaning |", "| --- | --- | --- | --- | --- |"]
        for column in table.columns:
            key = " (key)" if column.primary_key else ""
            null = "yes" if column.nullable else "no"
            unit = column.info.get("unit", "")
            lines.append(f"| `{column.name}`{key} | {type_name(column)} | {unit} | {null} | {column.comment} |")
    return "\n".join(lines) + "\n"
