"""The table of backends: what is an array, what may be mixed, and where data go when asked."""

from __future__ import annotations

import datetime as dt
import subprocess
import sys
from decimal import Decimal
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from spatial_duck import backends
from spatial_duck.testing import assert_lazy

DATA = np.arange(60.0).reshape(5, 4, 3)

KNOWN = [
    np.ndarray, np.memmap, np.recarray, np.ma.MaskedArray, np.float32, np.datetime64, np.bool_,
    int, float, complex, bool, str, bytes, Fraction, Decimal, dt.timedelta,
]  # fmt: skip
FOREIGN = [dict, list, object, type(None), Path, range]


@pytest.mark.parametrize("cls", KNOWN)
def test_arrays_and_scalars_are_known(cls: type) -> None:
    assert backends.is_known(cls)


@pytest.mark.parametrize("cls", FOREIGN)
def test_anything_else_is_not(cls: type) -> None:
    assert not backends.is_known(cls)


def test_a_subclass_with_a_meaning_of_its_own_is_not() -> None:
    class Quantity(np.ndarray):
        def __array_ufunc__(self, *args: Any, **kwargs: Any) -> Any:
            return NotImplemented

    class Same(np.ndarray):
        pass

    assert not backends.is_known(Quantity)
    assert backends.is_known(Same)


@pytest.mark.slow
@pytest.mark.parametrize(
    "module, name",
    [
        ("xarray", "DataArray"),
        ("xarray", "Variable"),
        ("pint", "Quantity"),
        ("unyt", "unyt_array"),
        ("astropy.units", "Quantity"),
        ("monai.data", "MetaTensor"),
    ],
)
def test_types_above_and_arrays_with_units_are_not(module: str, name: str) -> None:
    cls = getattr(pytest.importorskip(module, reason=f"needs {module}"), name)
    assert not backends.is_known(cls)


@pytest.mark.parametrize(
    "module, make, name",
    [
        ("dask.array", lambda m: m.ones(3), "dask"),
        ("cupy", lambda m: m.ndarray, "cupy"),
        ("torch", lambda m: m.ones(3), "arrayapi"),
        ("torch.nn", lambda m: m.Parameter, "arrayapi"),
        ("jax.numpy", lambda m: m.ones(3), "arrayapi"),
        ("sparse", lambda m: m.COO.from_numpy(np.eye(3)), "arrayapi"),
        ("array_api_strict", lambda m: m.ones(3), "arrayapi"),
    ],
)
def test_arrays_of_every_library_are_known(module: str, make: Any, name: str) -> None:
    array = make(pytest.importorskip(module, reason=f"needs {module}"))
    assert backends.is_known(array if isinstance(array, type) else type(array))
    if not isinstance(array, type):
        assert backends.backend_of(array).name == name


def test_looking_up_imports_nothing() -> None:
    code = (
        "import sys, numpy as np; from spatial_duck import backends;"
        "backends.adopt([1]); backends.adopt(np.ones(3)); backends.is_known(dict);"
        "bad = {'dask', 'zarr', 'cupy', 'torch', 'array_api_compat'} & set(sys.modules);"
        "assert not bad, bad"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


ADOPTED = [
    ([[1, 2], [3, 4]], (2, 2)),
    (3.0, ()),
    (np.float32(3), ()),
    (memoryview(b"abc"), (3,)),
    (np.ones((2, 3)), (2, 3)),
]


@pytest.mark.parametrize("given, shape", ADOPTED)
def test_arrays_lists_and_numbers_are_adopted(given: Any, shape: tuple[int, ...]) -> None:
    adopted = backends.adopt(given)
    assert type(adopted) is np.ndarray
    assert adopted.shape == shape
    assert np.shares_memory(adopted, given) or not isinstance(given, np.ndarray)


def test_what_numpy_views_with_fixed_axes_is_adopted_as_an_array() -> None:
    with pytest.warns(PendingDeprecationWarning):
        given = np.matrix([[1, 2]])
    assert type(backends.adopt(given)) is np.ndarray


def test_zarr_arrays_are_adopted_as_views() -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    array = zarr.array(DATA)
    view = backends.adopt(array)
    assert view.array is array
    assert backends.adopt(view) is view


@pytest.mark.parametrize("given", ["volume.nii", Path("volume.nii"), {}, None, object(), range(3)])
def test_anything_else_is_refused_with_a_hint(given: Any) -> None:
    with pytest.raises(TypeError, match="must be an array of"):
        backends.adopt(given)


def test_paths_are_told_of_read() -> None:
    with pytest.raises(TypeError, match=r"spatial_duck\.read"):
        backends.adopt("volume.nii")


# --- every backend ------------------------------------------------------------------------


def test_data_move_only_when_asked(backend: Any) -> None:
    data = backends.adopt(backend.make(DATA))
    with assert_lazy():
        found = backends.backend_of(data)
        assert backends.is_lazy(data) == found.lazy == backend.lazy
        assert "cpu" in str(backends.device(data)).lower() or found.name == "cupy"
        backends.persist(data) if found.name != "dask" else None
    computed = backends.compute(data)
    assert not backends.is_lazy(computed)
    np.testing.assert_array_equal(backends.to(data, "numpy"), DATA)


@pytest.mark.parametrize("target", ["numpy", "dask", "array_api_strict", "torch", "sparse"])
def test_to_every_backend_and_back(backend: Any, target: str) -> None:
    pytest.importorskip(target, reason=f"needs {target}")
    data = backends.adopt(backend.make(DATA))
    if target == "dask" and backends.backend_of(data).name == "arrayapi":
        with pytest.raises(TypeError, match="to\\('numpy'\\)"):
            backends.to(data, target)
        return
    moved = backends.to(data, target)
    assert type(moved).__module__.startswith(target)
    np.testing.assert_array_equal(backends.to(moved, "numpy"), DATA)


def test_to_refuses_what_is_no_place() -> None:
    with pytest.raises(ValueError, match=r"spatial_duck\.write"):
        backends.to(DATA, "zarr")
    with pytest.raises(ValueError, match="must be one of"):
        backends.to(DATA, "numpi")


def test_memory_layouts_that_torch_lacks_are_copied() -> None:
    pytest.importorskip("torch", reason="needs torch")
    read_only = DATA.copy()
    read_only.flags.writeable = False
    for array in [DATA[::-1], read_only, DATA.astype(">f8")]:
        np.testing.assert_array_equal(backends.to(backends.to(array, "torch"), "numpy"), array)
    shared = DATA.copy()
    assert np.shares_memory(backends.to(shared, "torch").numpy(), shared)


KEYS = [
    np.s_[0], np.s_[::-1], np.s_[..., ::-2], np.s_[1:4, None, 2, ::-1], np.s_[None, ..., 0],
    np.s_[3:0:-2, ..., None], np.s_[1, 2, 0], np.s_[0:0:-1], np.s_[::-1, ..., 0, ::-1],
]  # fmt: skip


@pytest.mark.parametrize("key", KEYS, ids=str)
def test_plain_keys_on_every_backend(backend: Any, key: Any) -> None:
    found = backends.index(backends.adopt(backend.make(DATA)), key)
    np.testing.assert_array_equal(backends.to(found, "numpy"), DATA[key])


FUNCTIONS = [
    (np.add, (1,), {}), (np.sin, (), {}), (np.power, (2,), {}), (np.less, (3.0,), {}),
    (np.add.reduce, (1,), {}), (np.maximum.reduce, (), {"axis": 0}),
    (np.add.accumulate, (1,), {}), (np.sum, (), {"axis": (0, 2)}), (np.sum, (), {}),
    (np.mean, (1,), {}), (np.std, (), {"ddof": 1}), (np.var, (0,), {}),
    (np.max, (), {"axis": -1, "keepdims": True}), (np.argmax, (0,), {}), (np.all, (), {}),
    (np.cumsum, (1,), {}), (np.flip, (0,), {}), (np.transpose, ((2, 0, 1),), {}),
    (np.swapaxes, (0, -1), {}), (np.moveaxis, (0, 2), {}), (np.expand_dims, ((0, 2),), {}),
    (np.squeeze, (), {}), (np.rot90, (), {"k": 3, "axes": (0, 2)}), (np.reshape, ((20, 3),), {}),
    (np.ravel, (), {}), (np.clip, (2.0, 8.0), {}), (np.roll, (2,), {"axis": 0}),
    (np.where, (1.0, 0.0), {}), (np.diff, (), {"axis": 1}), (np.ptp, (), {"axis": 0}),
    (np.broadcast_to, ((2, 5, 4, 3),), {}), (np.zeros_like, (), {}), (np.copy, (), {}),
    (np.repeat, (2,), {"axis": 0}), (np.tile, ((2, 1, 1),), {}), (np.round, (), {}),
    (np.fliplr, (), {}), (np.flipud, (), {}), (np.real, (), {}),
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    "function, args, kwargs", FUNCTIONS, ids=lambda x: getattr(x, "__name__", None)
)
def test_functions_run_on_every_backend_and_compute_nothing(
    backend: Any, function: Any, args: Any, kwargs: Any
) -> None:
    data = backends.adopt(backend.make(DATA))
    expected = function(DATA > 5 if function is np.where else DATA, *args, **kwargs)
    with assert_lazy():
        if function is np.where:
            data = backends.call(np.greater, (data, 5), {})
        found = backends.call(function, (data, *args), kwargs)
    got = found if isinstance(found, np.generic) else backends.to(found, "numpy")
    np.testing.assert_allclose(got, expected, rtol=1e-12)
    assert np.shape(got) == np.shape(expected)


@pytest.mark.parametrize("join", [np.concatenate, np.stack])
def test_lists_of_arrays_find_their_backend(backend: Any, join: Any) -> None:
    data = backends.adopt(backend.make(DATA))
    with assert_lazy():
        found = backends.call(join, ([data, data],), {"axis": 1})
        pieces = backends.call(np.split, (data, [1, 3]), {"axis": 0})
    np.testing.assert_array_equal(backends.to(found, "numpy"), join([DATA, DATA], axis=1))
    for got, expected in zip(pieces, np.split(DATA, [1, 3]), strict=True):
        np.testing.assert_array_equal(backends.to(got, "numpy"), expected)


@pytest.mark.parametrize("function", [np.trim_zeros, np.shares_memory])
def test_what_a_backend_lacks_is_a_type_error(backend: Any, function: Any) -> None:
    data = backends.adopt(backend.make(DATA))
    if backends.backend_of(data).name in ("numpy", "cupy"):
        pytest.skip("has them all")
    args = (data,) if function is np.trim_zeros else (data, data)
    with assert_lazy(), pytest.raises(TypeError, match=r"numpy|compute|to\('numpy'\)"):
        backends.call(function, args, {})


def test_out_writes_into_array_api_arrays() -> None:
    strict = pytest.importorskip("array_api_strict", reason="needs array_api_strict")
    data = strict.asarray(DATA.copy())
    backends.call(np.multiply, (data, 2.0), {"out": (data,)})
    np.testing.assert_array_equal(backends.to(data, "numpy"), DATA * 2)
    whole = strict.asarray(np.arange(3))
    with pytest.raises(TypeError, match=r"Cannot cast|promoted"):
        backends.call(np.add, (whole, 0.5), {"out": (whole,)})
    np.testing.assert_array_equal(backends.to(whole, "numpy"), np.arange(3))


def test_numpy_arrays_join_array_api_arrays_on_the_host() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    found = backends.call(np.add, (torch.ones(3), np.arange(3.0)), {})
    np.testing.assert_array_equal(found.numpy(), [1, 2, 3])


def test_gradients_pass_through() -> None:
    torch = pytest.importorskip("torch", reason="needs torch")
    x = torch.ones(4, 3, requires_grad=True)
    y = backends.call(np.flip, (backends.index(x, np.s_[::-2]),), {"axis": 1})
    backends.call(np.sum, (backends.call(np.square, (y,), {}),), {}).backward()
    np.testing.assert_array_equal(x.grad.numpy(), np.repeat([0, 2, 0, 2], 3).reshape(4, 3))


# --- the GPU ------------------------------------------------------------------------------


def test_names_used_exist_in_the_installed_cupy() -> None:
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    from spatial_duck.backends._cupy import BACKEND

    assert BACKEND.name == "cupy"
    for name in ("asarray", "asnumpy", "empty", "ndarray"):
        assert hasattr(cupy, name)
    assert hasattr(cupy.cuda, "Device")
    for name in ("__array_function__", "__array_ufunc__", "device"):
        assert hasattr(cupy.ndarray, name)


@pytest.mark.gpu
def test_copies_to_and_from_the_gpu_are_explicit() -> None:
    pytest.importorskip("cupy", reason="needs cupy")
    data = backends.to(DATA, "cupy")
    with pytest.raises(TypeError):
        backends.as_numpy(data)
    np.testing.assert_array_equal(backends.to(data, "numpy"), DATA)
    lazy = backends.to(backends.to(data, "dask"), "cupy")
    assert backends.backend_of(backends.compute(lazy)).name == "cupy"
    np.testing.assert_array_equal(backends.to(lazy, "numpy"), DATA)
