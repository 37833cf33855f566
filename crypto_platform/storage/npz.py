"""Arrays as one `.npz` file: equal arrays are equal bytes, and reading runs nothing and is bounded by the file's size.

Entries are stored, not compressed: an archive cannot grow when it is opened. Object arrays are never written or read.
"""

import io
import math
import zipfile
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from crypto_platform.core.serving import Layout

EPOCH: Final = (1980, 1, 1, 0, 0, 0)
SUFFIX: Final = ".npy"


class RefusedArraysError(ValueError):
    """Bytes that are not the arrays they should be."""


def write(arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """A file of arrays, sorted by name, without a date.

    Raises
    ------
    ValueError
        An array holds objects.
    """
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", zipfile.ZIP_STORED) as packed:
        for name, array in sorted(arrays.items()):
            content = io.BytesIO()
            npy.write_array(content, np.ascontiguousarray(array), version=(1, 0), allow_pickle=False)
            packed.writestr(zipfile.ZipInfo(name + SUFFIX, EPOCH), content.getvalue())
    return target.getvalue()


def read(content: bytes, layout: Layout, dimensions: Mapping[str, int]) -> dict[str, NDArray[Any]]:
    """The arrays of a file, which must be exactly those of a layout; read-only.

    Parameters
    ----------
    content : bytes
    layout : mapping of str to (dtype, shape)
        Names in a shape are dimensions that the arrays share.
    dimensions : mapping of str to int
        Lengths of those that are known beforehand.

    Raises
    ------
    RefusedArraysError
        Anything else than these arrays, in any way.
    """
    lengths = dict(dimensions)
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as packed:
            entries = packed.infolist()
            names = sorted(entry.filename for entry in entries)
            if names != sorted(name + SUFFIX for name in layout):
                raise RefusedArraysError(f"it holds {len(names)} arrays that are not the {len(layout)} expected")
            if odd := [e.filename for e in entries if e.compress_type != zipfile.ZIP_STORED or e.flag_bits & 1]:
                raise RefusedArraysError(f"{odd[0]} is compressed or encrypted")
            # No stored entry is larger than the file; overlapping ones could be so together.
            if sum(entry.file_size for entry in entries) > len(content):
                raise RefusedArraysError("its entries claim more bytes than it has")
            parts = {name: packed.read(name + SUFFIX) for name in layout}
    except (zipfile.BadZipFile, OSError, EOFError, KeyError, NotImplementedError, RuntimeError, UnicodeError) as error:
        raise RefusedArraysError(f"it is no readable archive ({type(error).__name__})") from error
    return {name: _array(name, part, *layout[name], lengths) for name, part in parts.items()}


def _array(
    name: str, content: bytes, dtype: np.dtype[Any], expected: tuple[int | str, ...], lengths: dict[str, int]
) -> NDArray[Any]:
    """One array, its header compared with the layout before its bytes are looked at."""
    stream = io.BytesIO(content)
    try:
        written_as = npy.read_magic(stream)
        shape, is_fortran, said = npy.read_array_header_1_0(stream)
    except Exception as error:  # numpy parses the header as a literal and lets many kinds of errors through
        raise RefusedArraysError(f"{name} has no readable header ({type(error).__name__})") from error
    if written_as != (1, 0):
        raise RefusedArraysError(f"{name} has another version of the format")
    if said != dtype or said.hasobject:
        raise RefusedArraysError(f"{name} has type {said}, not {dtype}")
    if is_fortran and len(shape) > 1:
        raise RefusedArraysError(f"{name} is stored by columns")
    if len(shape) != len(expected):
        raise RefusedArraysError(f"{name} has {len(shape)} dimensions, not {len(expected)}")
    for length, wanted in zip(shape, expected, strict=True):
        held = wanted if isinstance(wanted, int) else lengths.setdefault(wanted, length)
        if length != held:
            raise RefusedArraysError(f"{name} has shape {shape}, which does not fit {expected}")
    if math.prod(shape) * dtype.itemsize != len(content) - stream.tell():
        raise RefusedArraysError(f"{name} has not as many bytes as its shape {shape} needs")
    return np.frombuffer(content, dtype, offset=stream.tell()).reshape(shape)
