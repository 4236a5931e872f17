"""Every recipe on a device that refuses to be copied: right there, and nothing on the host."""

from __future__ import annotations

import inspect
import warnings
from contextlib import nullcontext
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray, backends
from spatial_duck.testing import DeviceArray, assert_no_host_copy
from tests.rules.calls import OVERRIDABLE, build, find, geometry_of
from tests.rules.recipes import RECIPES, Recipe

#: Not run here: where a piece of `trim_zeros` lies is told by its address, which data in memory
#: alone have; and NumPy 2.5 itself crashes where the ``like=`` of its C functions leads to another.
LEFT_OUT = {"trim_zeros", "frombuffer", "fromiter", "fromstring", "fromfile"}
KNOWN = [
    pytest.param(r, id=r.label)
    for r in RECIPES
    if find(r.name) in OVERRIDABLE and r.place != "asked elsewhere" and r.name not in LEFT_OUT
]


def _call(recipe: Recipe, of: Any) -> Any:
    return find(recipe.name)(*build(recipe.args, of), **build(recipe.kwargs, of))


def _on_device(value: Any, of: Any) -> Any:
    """Return what an image on the device holds, by way of a function of its values."""
    return SpatialArray(of(value.data.copy()), geometry_of(value))


@pytest.mark.slow
@pytest.mark.parametrize("recipe", KNOWN)
def test_nothing_leaves_the_device(recipe: Recipe) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        reference = _call(recipe, lambda im: _on_device(im, np.asarray))
        try:
            # A bare array beside an image must be on the device too, as CuPy asks.
            _call(recipe, lambda im: DeviceArray(im.data))
            refused = False
        except TypeError:
            refused = True
        with assert_no_host_copy(), pytest.raises(TypeError) if refused else nullcontext():
            found = _call(recipe, lambda im: _on_device(im, DeviceArray))
    if not refused:
        _compare(found, reference, recipe)


def _compare(found: Any, reference: Any, recipe: Recipe) -> None:
    if isinstance(reference, list | tuple):
        for f, r in zip(found, reference, strict=True):
            _compare(f, r, recipe)
        return
    if not isinstance(reference, SpatialArray):
        return
    assert isinstance(found, SpatialArray), "an array came back bare"
    assert type(found.data) is DeviceArray
    assert found.geometry == reference.geometry
    assert found.lost == reference.lost
    if "empty" not in recipe.name:
        np.testing.assert_array_equal(found.data.get(), reference.data)


V = np.random.default_rng(6).uniform(1, 9, (4, 3, 5))


def image() -> SpatialArray:
    return SpatialArray(DeviceArray(V), spacing=(3, 2, 0.5), origin=(1, 2, 3))


def test_values_come_to_the_host_only_when_asked() -> None:
    a = image()
    with assert_no_host_copy():
        b = ((a + 1) * a)[::-1, 1:].sum(axis=0) - 3
        b[...] = b * 2
        b += 1
        assert b.geometry == (a[::-1, 1:].sum(axis=0)).geometry
        for ask in (np.asarray, np.array, list, memoryview):
            if ask is list:
                continue
            with pytest.raises(TypeError):
                ask(b)
    before = DeviceArray.copies
    assert type(b.to("numpy").data) is np.ndarray
    assert DeviceArray.copies == before + 1


def test_arrays_of_the_host_do_not_mix_in() -> None:
    with pytest.raises(TypeError):
        image() + V
    with pytest.raises(TypeError):
        np.concatenate([image(), V])
    assert type((image() + np.float64(2)).data) is DeviceArray


def test_scalars_are_arrays_on_the_device() -> None:
    a = image()
    for found in (a[0, 0, 0], a.sum(), np.max(a)):
        assert type(found) is DeviceArray
    assert a.device == "device:0"
    assert backends.backend_of(a.data).name == "device"
    assert not backends.is_lazy(a.data)


# --- CuPy itself --------------------------------------------------------------------------

#: What images use of CuPy's arrays.
USED = """__array_function__ __array_ufunc__ __array__ device get astype copy item tolist tobytes
view fill sort partition flags strides __dlpack__ __dlpack_device__
__cuda_array_interface__""".split()


def test_cupys_names_take_what_we_give() -> None:
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    taken = {"asarray": ["a"], "asnumpy": ["a"], "empty": ["shape", "dtype"]}
    for name, parameters in taken.items():
        found = list(inspect.signature(getattr(cupy, name)).parameters)
        assert found[: len(parameters)] == parameters
    for name in ("__enter__", "__exit__"):
        assert hasattr(cupy.cuda.Device, name)
    for name in USED:
        assert hasattr(cupy.ndarray, name), name


@pytest.mark.gpu
def test_on_a_gpu() -> None:
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    a = SpatialArray(V, spacing=(3, 2, 0.5)).to("cupy")
    b = np.flip((a + 1)[1:], 0).sum(axis=1)
    assert isinstance(b.data, cupy.ndarray)
    with pytest.raises(TypeError):
        np.asarray(b)
    np.testing.assert_allclose(b.to("numpy").data, np.flip((V + 1)[1:], 0).sum(axis=1))
    with pytest.raises(cupy.cuda.memory.OutOfMemoryError):
        np.broadcast_to(a, (1 << 40, 4, 3, 5)) + 1
    assert isinstance(a.sum(), cupy.ndarray)
