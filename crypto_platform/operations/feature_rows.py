"""Feature rows between `core.features` and the table: built-in features are columns, a user's own one document."""

import numpy as np
import pandas as pd
from sqlalchemy import Column

from crypto_platform.core.features import FeatureSet
from crypto_platform.tables import features


def columns(feature_set: FeatureSet) -> list[Column[float]]:
    """Columns that hold the features of a set; `unpack` makes features of them."""
    own = [features.c.extra] if feature_set.own else []
    return [*(features.c[name] for name in feature_set.built_in), *own]


def pack(rows: pd.DataFrame, feature_set: FeatureSet) -> pd.DataFrame:
    """Rows of `core.features.compute` as the table takes them, `feature_set_hash` included."""
    rows = rows.assign(feature_set_hash=feature_set.hash)
    if not feature_set.own:
        return rows
    names = list(feature_set.own.names)
    documents = [
        {name: value for name, value in zip(names, values, strict=True) if np.isfinite(value)}
        for values in rows[names].to_numpy(float).tolist()
    ]
    return rows.drop(columns=names).assign(extra=pd.Series(documents, index=rows.index, dtype=object))


def unpack(rows: pd.DataFrame, feature_set: FeatureSet) -> pd.DataFrame:
    """Stored rows with a user's own features as columns, NaN where they are not there."""
    if not feature_set.own:
        return rows
    names = list(feature_set.own.names)
    values = [[(held or {}).get(name, np.nan) for name in names] for held in rows.pop("extra")]
    own = pd.DataFrame(np.array(values, dtype=float).reshape(len(rows), len(names)), columns=names, index=rows.index)
    return pd.concat([rows, own], axis=1)
