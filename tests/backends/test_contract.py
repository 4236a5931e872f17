"""The contract of backends: who is asked, what a key means, what is believed, what is one."""

from __future__ import annotations

import ast
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import backends
from spatial_duck.backends._keys import open_key, steps_of
from tests.effort import examples

PACKAGE = Path(sd.__file__).parent
CUBE = np.arange(27.0).reshape(3, 3, 3)

# --- nobody else looks at what an array is --------------------------------------------------

#: Attributes that tell one library's arrays from another's.
_TELLING = {"_meta", "dask", "to_dask", "__dask_graph__", "__array_function__", "persist"}
_ASKING = ("hasattr", "getattr")
#: Where one is looked at all the same, and why.
_ALLOWED = {
    ("array/_collection.py", "_meta"): "what Dask's functions look at on an image",
    ("blocks/_lazy.py", "_meta"): "an attribute of a class of its own",
    ("blocks/_api.py", "__array_function__"): "libraries whose functions a block may be given to",
    ("array/_asarray.py", "__module__"): "classes of other libraries' images",
    ("io/_location.py", "__array_function__"): "what is given for a path is any array, or no path",
    ("io/ngff/_store.py", "__module__"): "classes of stores, not of arrays",
}


def _probes() -> set[tuple[str, str]]:
    found = set()
    for path in PACKAGE.rglob("*.py"):
        place = path.relative_to(PACKAGE).as_posix()
        if place.startswith(("backends/", "interop/_", "testing/")):
            continue
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            name = None
            if isinstance(node, ast.Attribute) and node.attr in ("_meta", "to_dask"):
                name = node.attr
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in _ASKING:
                asked = getattr(node.args[1], "value", None)
                name = asked if asked in _TELLING else None
            elif isinstance(node, ast.Attribute) and node.attr == "__module__":
                of_type = (
                    isinstance(node.value, ast.Call) and ast.unparse(node.value.func) == "type"
                )
                name = "__module__" if of_type else None
            if name:
                found.add((place, name))
    return found


@pytest.mark.slow
def test_what_an_array_is_is_asked_of_its_backend_alone() -> None:
    assert _probes() - _ALLOWED.keys() == set()


# --- one law of keys ------------------------------------------------------------------------

_ARRAYS = [
    [0, 1, 2], [2, 0, 1], [1], [-1, -3], [], [[0, 1], [2, 0]], [[0], [2], [1]], range(2),
    np.array([True, False, True]), np.eye(3, dtype=bool), np.zeros(3, bool), True, False,
]  # fmt: skip
_PARTS = st.one_of(
    st.integers(-3, 2), st.just(None), st.just(Ellipsis), st.sampled_from(_ARRAYS),
    st.slices(3),
    st.builds(slice, st.integers(-9, 9), st.integers(-9, 9), st.sampled_from([-2, -1, 1, 3])),
)  # fmt: skip


def _applied(array: Any, key: Any) -> Any:
    """Do by NumPy what the steps of a key say."""
    steps = steps_of(array.shape, key)
    out = array[steps.cut]
    for axis, along in steps.takes:
        out = out[(slice(None),) * axis + (along,)]
    if steps.points:
        joint = dict(steps.points)
        rest = [a for a in range(out.ndim) if a not in joint]
        out = out.transpose([*joint, *rest])[tuple(joint.values())]
    out = out if steps.order is None else out.transpose(steps.order)
    out = np.expand_dims(out, steps.insert)
    empty_axis = steps.empty_axis
    return out if empty_axis is None else out[(slice(None),) * empty_axis + (slice(0, 0),)]


@pytest.mark.slow
@settings(max_examples=examples(400))
@given(st.lists(_PARTS, max_size=5).map(tuple))
def test_the_steps_of_a_key_do_what_numpy_does(key: Any) -> None:
    try:
        wanted = CUBE[key]
    except (IndexError, ValueError):
        with pytest.raises((IndexError, ValueError)):
            _applied(CUBE, key)
        return
    np.testing.assert_array_equal(_applied(CUBE, key), wanted)
    np.testing.assert_array_equal(CUBE[open_key(CUBE.shape, key)], wanted)


@pytest.mark.slow
@settings(max_examples=60)
@given(st.lists(_PARTS, max_size=4).map(tuple))
def test_keys_of_lazy_images_are_numpys_and_voxels_keep_their_place(key: Any) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    geometry = sd.Geometry(CUBE.shape, spacing=(1, 10, 100))
    lazy = sd.SpatialArray(da.from_array(CUBE, chunks=2), geometry)
    image = sd.SpatialArray(CUBE, geometry)
    try:
        wanted = image[key]
    except (IndexError, ValueError):
        with pytest.raises((IndexError, ValueError)):
            lazy[key]
        return
    found = lazy[key]
    np.testing.assert_array_equal(np.asarray(found), np.asarray(wanted))
    if isinstance(wanted, sd.SpatialArray):
        assert found.geometry == wanted.geometry


# --- what is declared and what is computed --------------------------------------------------

WRONG = {
    "shape": (lambda x: x.map_blocks(lambda b: b[:1], dtype=x.dtype), "declares shape"),
    "axes": (lambda x: x.map_blocks(lambda b: b[0], dtype=x.dtype, chunks=x.chunks),
             "declares shape"),
    "type": (lambda x: x.map_blocks(lambda b: b.astype("i2"), dtype="f8", meta=np.empty((0,) * 3)),
             "declares dtype"),
}  # fmt: skip


@pytest.mark.parametrize("ask", ["compute", "to", "asarray", "dask.compute"])
@pytest.mark.parametrize("what", WRONG)
def test_what_is_computed_is_held_against_what_was_declared(what: str, ask: str) -> None:
    dask = pytest.importorskip("dask", reason="needs dask")
    da = pytest.importorskip("dask.array", reason="needs dask")
    make, words = WRONG[what]
    image = sd.SpatialArray(make(da.from_array(CUBE, chunks=3)), spacing=2.0)
    ways = {
        "compute": image.compute,
        "to": lambda: image.to("numpy"),
        "asarray": lambda: np.asarray(image),
        "dask.compute": lambda: dask.compute(image),
    }
    with pytest.raises(sd.errors.SpatialDuckError, match=words):
        ways[ask]()


# --- which data are one ---------------------------------------------------------------------


def test_two_stores_that_print_the_same_are_two() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    tokenize = pytest.importorskip("dask.base", reason="needs dask").tokenize

    class Named(zarr.storage.MemoryStore):  # type: ignore[misc]
        def __str__(self) -> str:
            return "memory://the-same"

        __repr__ = __str__

    def made(value: float) -> sd.SpatialArray:
        array = zarr.create_array(Named(), shape=(4, 6), chunks=(2, 3), dtype="f8")
        array[...] = value
        return sd.SpatialArray(array, spacing=1.0)

    a, b = made(1.0), made(2.0)
    assert tokenize(a) != tokenize(b)
    np.testing.assert_array_equal(np.asarray(b - a), np.ones((4, 6)))
    again = backends.adopt(a.data)
    assert tokenize(backends.identity(again)) == tokenize(backends.identity(a.data))


def test_one_path_in_two_file_systems_is_two(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    dirfs = pytest.importorskip("fsspec.implementations.dirfs", reason="needs fsspec")
    wrapper = pytest.importorskip("fsspec.implementations.asyn_wrapper", reason="needs fsspec")
    local = pytest.importorskip("fsspec.implementations.local", reason="needs fsspec")
    tokenize = pytest.importorskip("dask.base", reason="needs dask").tokenize

    def made(root: str, value: float) -> sd.SpatialArray:
        system = dirfs.DirFileSystem(str(tmp_path / root), local.LocalFileSystem(auto_mkdir=True))
        store = zarr.storage.FsspecStore(
            wrapper.AsyncFileSystemWrapper(system, asynchronous=True), path="a.zarr"
        )
        array = zarr.create_array(store, shape=(4, 6), chunks=(2, 3), dtype="f8")
        array[...] = value
        return sd.SpatialArray(array, spacing=1.0)

    a, b = made("one", 1.0), made("other", 2.0)
    assert str(a.data.array.store) == str(b.data.array.store)
    assert tokenize(a) != tokenize(b)
    np.testing.assert_array_equal(np.asarray(b - a), np.ones((4, 6)))


def test_a_folder_is_one_by_whatever_path(tmp_path: Path, monkeypatch: Any) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    tokenize = pytest.importorskip("dask.base", reason="needs dask").tokenize

    def opened(folder: str, value: float | None = None) -> Any:
        if value is not None:
            made = zarr.create_array(folder, shape=(4,), chunks=(2,), dtype="f8")
            made[...] = value
        return backends.identity(backends.adopt(zarr.open_array(folder, mode="r")))

    (tmp_path / "one").mkdir()
    (tmp_path / "other").mkdir()
    monkeypatch.chdir(tmp_path / "one")
    first = opened("a.zarr", 1.0)
    assert tokenize(first) == tokenize(opened(str(tmp_path / "one" / "a.zarr")))
    monkeypatch.chdir(tmp_path / "other")
    assert tokenize(first) != tokenize(opened("a.zarr", 2.0))
