"""Private names of other libraries: each in one module, with a way to do without it.

What is done without is run here, with the names hidden. Where a library has got a public name for
what it lacked, a test fails and says which module is to use it.
"""

from __future__ import annotations

import ast
import importlib.util
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from types import ModuleType

PACKAGE = Path(sd.__file__).parent

#: Private names of other libraries, the one module that uses each, and what is done without it.
KNOWN = {
    "_task_spec": ("backends/dask/_private.py", "tuples, as Dask documents its graphs"),
    "_HANDLED_FUNCTIONS": ("backends/dask/_private.py", "Dask's function of the same name"),
    "_meta": ("backends/dask/_private.py", "blocks are taken for NumPy's"),
    "_supports_sync_io": ("backends/zarr/_private.py", "zarr asks `get` alone"),
    "_with_store": ("backends/zarr/_private.py", "`with_read_only`, which is public"),
    "zarr.core": ("backends/zarr/_private.py", "an event loop of its own"),
    "numba.core": ("resampling/_numba_cache.py", "each process compiles anew"),
    "_cache": ("resampling/_numba_cache.py", "each process compiles anew"),
    "_cache_file": ("resampling/_numba_cache.py", "each process compiles anew"),
    "_cache_path": ("resampling/_numba_cache.py", "each process compiles anew"),
    "_impl": ("resampling/_numba_cache.py", "each process compiles anew"),
    "_guard_against_spurious_io_errors": ("resampling/_numba_cache.py", "as above"),
    "_dim_names": ("io/_minc.py", "the file is refused"),
    "_oindex_get": ("array/_callers.py", "xarray's first way, NumPy's"),
    "_store_dict": ("io/ngff/_stamp.py", "a store in memory that is replaced is not told"),
    "_info": ("io/ngff/_stamp.py", "documented, by fsspec for asynchronous callers"),
    "_pipe_file": ("backends/zarr/_lock_object.py", "documented, as above"),
    "_request": ("interop/_imageio_plugin.py", "documented, by imageio for its plugins"),
    "_initializing": ("_lazy.py", "an import that failed is tried again a few times"),
    "_getframe": ("array/_callers.py", "documented, by Python"),
}
#: Names that the package has itself, too.
OWN = {
    ("_meta", "array/_collection.py"), ("_meta", "blocks/_lazy.py"),
    ("_cache", "viewer/_level_reader.py"),
    ("_takes_images", "interop/_itk_hook.py"),
}  # fmt: skip
#: Named tuples' methods, which Python documents.
PUBLIC = {"_replace", "_asdict", "_fields", "_make"}


def _own_names(trees: dict[str, ast.Module]) -> set[str]:
    """Return the names that the package itself defines."""
    own = set()
    for tree in trees.values():
        for node in ast.walk(tree):
            if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
                own.add(node.name)
            elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store):
                own.add(node.attr)
            elif isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                own.add(node.id)
            elif isinstance(node, ast.arg):
                own.add(node.arg)
    return own - KNOWN.keys()


def _private_names() -> set[tuple[str, str]]:
    """Return the private names that are not the package's own, with the module that uses each."""
    trees = {
        path.relative_to(PACKAGE).as_posix(): ast.parse(path.read_text("utf-8"))
        for path in PACKAGE.rglob("*.py")
    }
    own, found = _own_names(trees), set()
    for place, tree in trees.items():
        for node in ast.walk(tree):
            names = []
            if isinstance(node, ast.Attribute):
                names = [node.attr]
            elif isinstance(node, ast.Call) and getattr(node.func, "id", "") in (
                "getattr", "hasattr", "setattr"
            ):  # fmt: skip
                names = [getattr(node.args[1], "value", "")]
            elif isinstance(node, ast.ImportFrom | ast.Import):
                modules = [getattr(node, "module", None) or ""]
                modules += [alias.name for alias in node.names]
                if not any(m.startswith("spatial_duck") for m in modules):
                    names = [part for m in modules for part in m.split(".")]
                    names += [".".join(m.split(".")[:2]) for m in modules if ".core" in m]
            for name in map(str, names):
                private = name.startswith("_") and not name.startswith("__")
                if (private and name not in own | PUBLIC) or name in KNOWN:
                    found.add((name, place))
    return found


@pytest.mark.slow
def test_each_stands_in_one_module() -> None:
    found = {(name, place) for name, place in _private_names() if (name, place) not in OWN}
    wrong = {(n, p) for n, p in found if n not in KNOWN or KNOWN[n][0] != p}
    assert not wrong


def _without(module: str, *hidden: str, monkeypatch: Any) -> ModuleType:
    """Return a module as it is where other modules cannot be imported."""
    spec = importlib.util.find_spec(module)
    assert spec is not None
    assert spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    with monkeypatch.context() as patch:
        for name in hidden:
            patch.setitem(sys.modules, name, None)
        spec.loader.exec_module(made)
    return made


# --- Dask -----------------------------------------------------------------------------------


def test_dask_has_no_public_names_for_them_yet() -> None:
    """When this fails, use the public names in backends/dask/_private.py."""
    dask = pytest.importorskip("dask", reason="needs dask")
    da = pytest.importorskip("dask.array", reason="needs dask")
    assert not hasattr(da.ones(1), "meta")
    assert not hasattr(dask, "Task")
    assert not hasattr(da, "HANDLED_FUNCTIONS")


def test_graphs_are_made_without_dasks_tasks(monkeypatch: Any) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    pytest.importorskip("scipy", reason="needs SciPy")
    from spatial_duck.backends.dask import _private

    hidden = _without(_private.__name__, "dask._task_spec", monkeypatch=monkeypatch)
    assert hidden.Task is not _private.Task
    for name in ("DataNode", "List", "Task", "TaskRef"):
        monkeypatch.setattr(_private, name, getattr(hidden, name))
    values = np.random.default_rng(0).normal(size=(9, 10, 11))
    image = sd.SpatialArray(values, spacing=(2, 1, 1))
    lazy = image.replace(da.from_array(values, chunks=4))
    wanted = sd.resample(image, spacing=1.3)
    np.testing.assert_array_equal(sd.resample(lazy, spacing=1.3).compute().data, wanted.data)
    smooth = sd.map_blocks(lambda block: block + 1, lazy, halo=1)
    np.testing.assert_array_equal(np.asarray(smooth.compute()), values + 1)
    parts = hidden.List(hidden.TaskRef("a"), 3, hidden.List(hidden.TaskRef(("b", 0))))
    task = hidden.Task("c", lambda x, y: (x, y), parts, ("a", 0))
    assert task[1:] == ("a", ("b", 0))
    assert task[0](1, 2) == ([1, 3, [2]], ("a", 0))


def test_blocks_are_numpys_where_dask_does_not_say(monkeypatch: Any) -> None:
    da = pytest.importorskip("dask.array", reason="needs dask")
    from spatial_duck.backends.dask import _calls, _private

    block = _private.meta_of(SimpleNamespace(ndim=2, dtype=np.dtype("i2")))
    assert block.shape == (0, 0)
    assert block.dtype == np.int16
    assert _private.implementation_of(np.amax) is not None
    monkeypatch.delattr(da.core, "_HANDLED_FUNCTIONS")
    assert _private.implementation_of(np.amax) is None
    assert _calls._find(np.concatenate) is da.concatenate


# --- zarr -----------------------------------------------------------------------------------


def test_zarr_has_no_public_names_for_them_yet() -> None:
    """When this fails, use the public names in backends/zarr/_private.py."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    assert not hasattr(zarr, "sync")
    assert not hasattr(zarr.storage.WrapperStore, "supports_sync_io")


def test_stores_are_filled_without_zarrs_event_loop(monkeypatch: Any) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    store = zarr.storage.MemoryStore()
    image = sd.SpatialArray(np.arange(24).reshape(4, 6), spacing=(2, 1), unit="um")
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "zarr.core.sync", None)
        sd.write(store, image)
    back = sd.read(store)
    np.testing.assert_array_equal(np.asarray(back), image.data)
    assert back.geometry.isclose(image.geometry)


def test_read_only_stores_see_every_key() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    zarr.create_array(store, shape=(4,), chunks=(2,), dtype="i2")[...] = 1
    reading = store.with_read_only(True)
    assert reading.read_only
    assert type(reading) is RecordingStore
    zarr.open_array(reading, mode="r")[:2]
    assert store.chunks_read[-1] == "c/0"


# --- Numba ----------------------------------------------------------------------------------


def test_kernels_are_kept_by_numbas_names_and_run_without(monkeypatch: Any) -> None:
    numba = pytest.importorskip("numba", reason="needs numba")
    from spatial_duck.resampling import _numba_cache

    def twice(x: float) -> float:
        return 2 * x

    plain = type(numba.njit(twice)._cache)
    kept = _numba_cache.keep(numba.njit(twice), twice, [("a", 1, 2)])
    assert type(kept._cache) is _numba_cache._Kept
    name = _numba_cache.__name__
    hidden = _without(name, "numba.core.caching", monkeypatch=monkeypatch)
    compiled = hidden.keep(numba.njit(twice), twice, [("a", 1, 2)])
    assert type(compiled._cache) is plain
    assert compiled(4) == 8


# --- nibabel and xarray -----------------------------------------------------------------------


def test_minc_without_the_names_of_dimensions_is_refused() -> None:
    from spatial_duck.io import _minc

    assert _minc._dimensions(SimpleNamespace(_dim_names=("zspace", "yspace"))) == [
        "zspace", "yspace"
    ]  # fmt: skip
    with pytest.raises(FormatError, match="the order of the dimensions"):
        _minc._dimensions(SimpleNamespace())


def test_xarray_has_the_functions_whose_questions_are_told_apart() -> None:
    """When this fails, `array/_callers.py` no longer knows who asks."""
    pytest.importorskip("xarray", reason="needs xarray")
    from xarray.core import indexing
    from xarray.namedarray import core, daskmanager

    assert any(hasattr(v, "_oindex_get") for v in vars(indexing).values())
    assert hasattr(core.NamedArray, "chunks")
    assert daskmanager
