"""Laws of array files: equal arrays are equal bytes, and nothing but the expected arrays comes out of one."""

import io
import os
import pickle
import zipfile
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays_of

from crypto_platform.storage import npz
from crypto_platform.storage.npz import RefusedArraysError

LAYOUT: Any = {"a": (np.dtype("<f8"), ("rows", 2)), "b": (np.dtype("<i4"), ("rows",)), "c": (np.dtype("<i2"), (1,))}


def some(rows: int = 3) -> dict[str, np.ndarray]:
    return {
        "a": np.arange(2.0 * rows).reshape(rows, 2),
        "b": np.arange(rows, dtype="<i4"),
        "c": np.array([7], dtype="<i2"),
    }


def read(content: bytes, **known: int) -> dict[str, np.ndarray]:
    return npz.read(content, LAYOUT, known)


def packed(parts: dict[str, bytes], compression: int = zipfile.ZIP_STORED) -> bytes:
    target = io.BytesIO()
    with zipfile.ZipFile(target, "w", compression) as archive:
        for name, content in parts.items():
            archive.writestr(f"{name}.npy", content)
    return target.getvalue()


def npy(array: np.ndarray, **options: Any) -> bytes:
    target = io.BytesIO()
    np.lib.format.write_array(target, array, **options)
    return target.getvalue()


def parts(**changed: bytes) -> dict[str, bytes]:
    return {**{name: npy(array) for name, array in some().items()}, **changed}


@given(
    st.integers(0, 40).flatmap(
        lambda n: st.tuples(arrays_of.arrays("<f8", (n, 2)), arrays_of.arrays("<i4", n), arrays_of.arrays("<i2", 1))
    )
)
def test_what_is_written_is_read_to_the_last_bit(drawn: tuple[np.ndarray, ...]) -> None:
    written = dict(zip("abc", drawn, strict=True))
    content = npz.write(written)
    assert npz.write(dict(reversed(written.items()))) == content
    for name, array in read(content).items():
        assert array.tobytes() == written[name].tobytes()
        assert (array.dtype, array.shape) == (written[name].dtype, written[name].shape)
        assert not array.flags.writeable


def test_numpy_reads_the_same_file() -> None:
    with np.load(io.BytesIO(npz.write(some())), allow_pickle=False) as held:
        for name, array in some().items():
            np.testing.assert_array_equal(held[name], array)


def test_objects_are_not_written() -> None:
    with pytest.raises(ValueError, match="Object arrays"):
        npz.write({"a": np.array([object()], dtype=object)})


class _Mischief:
    """Makes a folder when it is unpickled."""

    def __init__(self, target: str) -> None:
        self.target = target

    def __reduce__(self) -> Any:
        return os.mkdir, (self.target,)


def test_an_array_of_objects_is_refused_and_never_unpickled(tmp_path: Any) -> None:
    trace = tmp_path / "trace"
    evil = np.empty((3, 2), dtype=object)
    evil[:] = _Mischief(str(trace))
    with pytest.raises(RefusedArraysError, match="a has type object"):
        read(packed(parts(a=npy(evil, allow_pickle=True))))
    with pytest.raises(RefusedArraysError, match="no readable archive"):
        read(pickle.dumps(_Mischief(str(trace))))
    with pytest.raises(RefusedArraysError, match="a has no readable header"):
        read(packed(parts(a=pickle.dumps(_Mischief(str(trace))))))
    assert not trace.exists()


def test_a_compressed_archive_is_refused_before_it_grows() -> None:
    bomb = packed(parts(a=npy(np.zeros((2_000_000, 2)))), zipfile.ZIP_DEFLATED)
    assert len(bomb) < 100_000
    with pytest.raises(RefusedArraysError, match="compressed"):
        read(bomb)


def test_a_shape_without_its_bytes_is_refused_before_memory_is_taken() -> None:
    header = np.lib.format.header_data_from_array_1_0(np.zeros((3, 2))) | {"shape": (3_000_000_000, 2)}
    target = io.BytesIO()
    np.lib.format.write_array_header_1_0(target, header)
    claim = target.getvalue() + bytes(48)
    with pytest.raises(RefusedArraysError, match="as many bytes"):
        read(packed(parts(a=claim)))


@pytest.mark.parametrize(
    ("changed", "why"),
    [
        ({"a": np.zeros((3, 2), "<f4")}, "a has type float32"),
        ({"a": np.zeros((3, 2), ">f8")}, "a has type >f8"),
        ({"a": np.zeros((3, 3))}, "a has shape"),
        ({"a": np.zeros(6)}, "a has 1 dimensions"),
        ({"a": np.asfortranarray(np.zeros((3, 2)))}, "a is stored by columns"),
        ({"b": np.zeros(4, "<i4")}, "b has shape"),
        ({"c": np.zeros(2, "<i2")}, "c has shape"),
        ({"c": np.zeros(0, "<i2")}, "c has shape"),
    ],
)
def test_other_types_and_shapes_are_refused_by_name(changed: dict[str, np.ndarray], why: str) -> None:
    with pytest.raises(RefusedArraysError, match=why):
        read(packed(parts(**{name: npy(array) for name, array in changed.items()})))


def test_the_set_of_arrays_is_closed() -> None:
    for held in (parts(d=npy(np.zeros(1))), {k: v for k, v in parts().items() if k != "b"}, {}):
        with pytest.raises(RefusedArraysError, match="not the 3 expected"):
            read(packed(held))
    twice = packed({**parts(), "d": npy(np.zeros(1, "<i2"))}).replace(b"d.npy", b"c.npy")
    with pytest.raises(RefusedArraysError, match="not the 3 expected"):
        read(twice)


def test_dimensions_known_beforehand_are_held_to() -> None:
    assert read(npz.write(some()), rows=3)
    with pytest.raises(RefusedArraysError, match="a has shape"):
        read(npz.write(some()), rows=4)


@given(st.data())
def test_any_damage_gives_the_same_arrays_or_a_refusal(data: st.DataObject) -> None:
    """Most damage is seen by the archive's checksums; what is not may only be in bytes that do not matter."""
    content = bytearray(npz.write(some()))
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.integers(0, len(content)) | st.just(len(content)))
    try:
        held = read(bytes(content[:cut]))
    except RefusedArraysError:
        return
    for name, array in some().items():
        np.testing.assert_array_equal(held[name], array)
