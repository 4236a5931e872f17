"""Every method and attribute of ndarray: with ndarray's own answer, or named here with a reason."""

from __future__ import annotations

import copy
import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import SpatialArray

if TYPE_CHECKING:
    from collections.abc import Callable

VALUES = np.array([[[3.0, 1.0, 2.0, 5.0], [9.0, 7.0, 8.0, 4.0], [0.0, 6.0, 2.5, 1.5]]] * 2)
VALUES[1] *= -1

Call = "Callable[[Any], Any]"

#: By name of a method, calls of it with ndarray's parameters, by position and by name.
CALLS: dict[str, list[Callable[[Any], Any]]] = {
    "all": [lambda a: a.all(), lambda a: a.all(1), lambda a: a.all(axis=0, keepdims=True)],
    "any": [lambda a: a.any(), lambda a: a.any(1), lambda a: a.any((0, 2), where=a > 2)],
    "argmax": [lambda a: a.argmax(), lambda a: a.argmax(1), lambda a: a.argmax(-1, keepdims=True)],
    "argmin": [lambda a: a.argmin(), lambda a: a.argmin(axis=2)],
    "argpartition": [lambda a: a.argpartition(1), lambda a: a.argpartition(1, 0)],
    "argsort": [lambda a: a.argsort(), lambda a: a.argsort(1, "stable"), lambda a: a.argsort(None)],
    "astype": [
        lambda a: a.astype("f4"),
        lambda a: a.astype(int, "F"),
        lambda a: a.astype("i2", "K", "unsafe"),
        lambda a: a.astype("f8", copy=False),
    ],
    "byteswap": [lambda a: a.byteswap(), lambda a: a.copy().byteswap(True)],
    "choose": [lambda a: (abs(a) > 2).astype(int).choose([a, 0])],
    "clip": [lambda a: a.clip(1, 4), lambda a: a.clip(min=2), lambda a: a.clip(None, 3)],
    "compress": [
        lambda a: a.compress([True, False]),
        lambda a: a.compress([False, True, True], 1),
        lambda a: a.compress(condition=[0, 1], axis=0),
    ],
    "conj": [lambda a: a.conj()],
    "conjugate": [lambda a: (a * 1j).conjugate()],
    "copy": [lambda a: a.copy(), lambda a: a.copy("F"), lambda a: a.copy(order="K")],
    "cumprod": [lambda a: a.cumprod(1), lambda a: a.cumprod()],
    "cumsum": [lambda a: a.cumsum(), lambda a: a.cumsum(2, "f4"), lambda a: a.cumsum(axis=-1)],
    "diagonal": [lambda a: a.diagonal(), lambda a: a.diagonal(1, 1, 2)],
    "dot": [
        lambda a: a.dot([1, 2, 3, 4]),
        lambda a: a.dot(2.0),
        lambda a: a.dot(b=np.ones((4, 2))),
    ],
    "fill": [lambda a: _after(a.copy(), lambda c: c.fill(7))],
    "flatten": [lambda a: a.flatten(), lambda a: a.flatten("F")],
    "item": [lambda a: a.item(3), lambda a: a.item(1, 2, 0), lambda a: a.item((0, 1, 2))],
    "max": [lambda a: a.max(), lambda a: a.max((0, 1)), lambda a: a.max(1, initial=4)],
    "mean": [lambda a: a.mean(), lambda a: a.mean(0, "f4"), lambda a: a.mean(1, keepdims=True)],
    "min": [lambda a: a.min(), lambda a: a.min(axis=2)],
    "nonzero": [lambda a: a.nonzero()],
    "partition": [lambda a: _after(a.copy(), lambda c: c.partition(1, 1))],
    "prod": [lambda a: a.prod(), lambda a: a.prod(1)],
    "put": [
        lambda a: _after(a.copy(), lambda c: c.put([0, 5], [7, 8])),
        lambda a: _after(a.copy(), lambda c: c.put(indices=[-1], values=1, mode="raise")),
        lambda a: _after(a.copy(), lambda c: c.put([99], 1, "clip")),
    ],
    "ravel": [lambda a: a.ravel(), lambda a: a.ravel("F"), lambda a: a.ravel(order="K")],
    "repeat": [lambda a: a.repeat(2), lambda a: a.repeat(3, 1), lambda a: a.repeat([1, 2], axis=0)],
    "reshape": [
        lambda a: a.reshape(6, 4),
        lambda a: a.reshape((2, -1)),
        lambda a: a.reshape(-1, order="F"),
        lambda a: a.reshape((4, 6), copy=True),
    ],
    "round": [lambda a: (a / 3).round(), lambda a: (a / 3).round(2)],
    "searchsorted": [lambda a: a[0, 0, :1].searchsorted([1.0, 9.0], "right")],
    "sort": [
        lambda a: _after(a.copy(), lambda c: c.sort()),
        lambda a: _after(a.copy(), lambda c: c.sort(1)),
        lambda a: _after(a.copy(), lambda c: c.sort(-1, "stable")),
        lambda a: _after(a.copy(), lambda c: c.sort(axis=0, kind="heapsort")),
    ],
    "squeeze": [lambda a: a[:1].squeeze(), lambda a: a[:, :1].squeeze(1)],
    "std": [lambda a: a.std(), lambda a: a.std(1, None, None, 1)],
    "sum": [lambda a: a.sum(), lambda a: a.sum(1), lambda a: a.sum((0, 2), keepdims=True)],
    "swapaxes": [lambda a: a.swapaxes(0, 2)],
    "take": [
        lambda a: a.take(3),
        lambda a: a.take([0, 1], 1),
        lambda a: a.take(range(2), 2),
        lambda a: a.take([[0, 7]], axis=0, mode="wrap"),
    ],
    "tobytes": [lambda a: a.tobytes(), lambda a: a.tobytes("F")],
    "tolist": [lambda a: a.tolist()],
    "trace": [lambda a: a.trace(), lambda a: a.trace(1, 1, 2)],
    "transpose": [
        lambda a: a.transpose(),
        lambda a: a.transpose(None),
        lambda a: a.transpose(2, 0, 1),
        lambda a: a.transpose((1, 0, 2)),
        lambda a: a.transpose([1, 0, 2]),
    ],
    "var": [lambda a: a.var(), lambda a: a.var(0, ddof=1)],
    "view": [lambda a: a.view(), lambda a: a.view("i8"), lambda a: a.view(dtype=np.int64)],
    # --- attributes
    "T": [lambda a: a.T],
    "mT": [lambda a: a.mT],
    "data": [],  # the bare array here, a buffer there: memoryview(image) is one
    "device": [lambda a: a.device],
    "dtype": [lambda a: a.dtype],
    "flags": [lambda a: a.flags.c_contiguous],
    "flat": [lambda a: list(a.flat)],
    "imag": [lambda a: a.imag, lambda a: (a * 1j).imag],
    "itemsize": [lambda a: a.itemsize],
    "nbytes": [lambda a: a.nbytes],
    "ndim": [lambda a: a.ndim],
    "real": [lambda a: a.real],
    "shape": [lambda a: a.shape],
    "size": [lambda a: a.size],
    "strides": [lambda a: a.strides],
    "to_device": [lambda a: a.to_device("cpu")],
    # --- what Python calls
    "__abs__": [abs],
    "__array__": [np.asarray, lambda a: np.asarray(a, "f4")],
    "__array_namespace__": [lambda a: a.__array_namespace__().pi],
    "__bool__": [lambda a: bool(a[:1, :1, :1] > 2)],
    "__buffer__": [lambda a: bytes(memoryview(a.copy()))],
    "__complex__": [lambda a: complex(a[:1, :1, :1].sum())],
    "__contains__": [lambda a: 2.5 in a, lambda a: 99 in a],
    "__copy__": [copy.copy],
    "__deepcopy__": [copy.deepcopy],
    "__dlpack__": [np.from_dlpack],
    "__dlpack_device__": [lambda a: a.__dlpack_device__()],
    "__float__": [lambda a: float(a[0, 0, 0])],
    "__format__": [],  # of ndarray that of its text
    "__getitem__": [lambda a: a[1, ..., 2], lambda a: a[:, [0, 2]], lambda a: a[a > 2]],
    "__index__": [lambda a: _answer(lambda: [1, 2][a[0, 0, 0:1]])],
    "__int__": [lambda a: int(a[0, 0, 0])],
    "__invert__": [lambda a: ~(a > 2), lambda a: _answer(lambda: ~a)],
    "__iter__": [list],
    "__len__": [len],
    "__neg__": [lambda a: -a],
    "__pos__": [lambda a: +a],
    "__setitem__": [
        lambda a: _after(a.copy(), lambda c: c.__setitem__((0, slice(None), 1), [1, 2, 3])),
        lambda a: _after(a.copy(), lambda c: c.__setitem__(c > 2, 0)),
        lambda a: _after(a.copy(), lambda c: c.__setitem__((range(2), 0, 0), 9)),
    ],
}

#: What an image does not have, and why.
WITHOUT = {
    "__array_finalize__": "of subclasses of ndarray",
    "__array_interface__": "an image hands out its bare values through __array__ and __buffer__",
    "__array_struct__": "an image hands out its bare values through __array__ and __buffer__",
    "__array_wrap__": "of subclasses of ndarray",
    "__class_getitem__": "an image has no type parameters",
    "__delitem__": "no array has it",
    "__imatmul__": "Python computes image = image @ other: the voxels change their meaning",
    "__setstate__": "pickles go through __reduce__",
    "_set_dtype": "private",
    "_set_shape": "private",
    "base": "image.data.base",
    "ctypes": "image.data.ctypes",
    "dump": "spatial_duck.write keeps the place",
    "dumps": "spatial_duck.write keeps the place",
    "getfield": "image.data.getfield",
    "resize": "an image cannot change its shape in place",
    "setfield": "image.data.setfield",
    "setflags": "image.data.setflags",
    "tofile": "spatial_duck.write keeps the place",
}


def _after(array: Any, change: Callable[[Any], Any]) -> Any:
    assert change(array) is None
    return array


def _answer(call: Callable[[], Any]) -> Any:
    try:
        return call()
    except (TypeError, BufferError) as error:
        return type(error)


def _bare(found: Any) -> Any:
    if isinstance(found, list | tuple):
        return type(found)([_bare(f) for f in found])
    return found.data if isinstance(found, SpatialArray) else found


def _operators() -> set[str]:
    """Return the operators, which have a test of their own."""
    names = "add sub mul truediv floordiv mod pow lshift rshift and or xor matmul divmod".split()
    return {
        *(f"__{p}{n}__" for n in names for p in ("", "r", "i")),
        *(f"__{n}__" for n in ("lt", "le", "gt", "ge", "eq", "ne", "hash")),
    }


def test_every_attribute_of_ndarray_is_known() -> None:
    ofobject = set(dir(object)) | {"__doc__", "__module__"}
    protocol = {"__array_function__", "__array_ufunc__", "__array_priority__", "__reduce_ex__"}
    names = set(dir(np.ndarray)) - _operators() - protocol - (ofobject - CALLS.keys())
    removed = {"itemset", "newbyteorder", "ptp", "tostring"}  # by NumPy 2.3
    assert names - removed - CALLS.keys() - WITHOUT.keys() == set()
    assert CALLS.keys() <= set(dir(np.ndarray)) | {"__buffer__"}


def test_what_an_image_lacks_says_what_to_use() -> None:
    image = SpatialArray(VALUES)
    for name in WITHOUT:
        assert not hasattr(image, name), name
        if not name.startswith("_"):
            with pytest.raises(AttributeError, match=r"image\.data|spatial_duck|numpy\.resize"):
                getattr(image, name)


@pytest.mark.filterwarnings("ignore::numpy.exceptions.ComplexWarning")
@pytest.mark.parametrize("layout", ["C", "F", "strided", "big-endian", "read-only"])
@pytest.mark.parametrize("name", CALLS)
def test_methods_are_those_of_ndarray(name: str, layout: str) -> None:
    if name == "__buffer__" and sys.version_info < (3, 12):
        pytest.skip("classes give buffers from Python 3.12 on")
    array = {
        "C": lambda: VALUES.copy(),
        "F": lambda: np.asfortranarray(VALUES),
        "strided": lambda: np.repeat(VALUES, 2, 2)[:, :, ::2],
        "big-endian": lambda: VALUES.astype(">f8"),
        "read-only": lambda: VALUES.copy(),
    }[layout]()
    array.flags.writeable = layout != "read-only"
    image = SpatialArray(array, spacing=(2.0, 0.5, 0.25), origin=(1.0, 2.0, 3.0))
    for n, call in enumerate(CALLS[name]):
        wanted = _answer(lambda c=call: c(array))
        got = _answer(lambda c=call: c(image))
        values = _bare(got)
        assert type(values) is type(wanted), f"call {n}"
        for g, w in zip(*(x if isinstance(x, list | tuple) else [x] for x in (values, wanted)),
                        strict=True):  # fmt: skip
            if isinstance(w, np.ndarray):
                assert g.dtype == w.dtype
                assert g.flags.f_contiguous == w.flags.f_contiguous
                assert g.flags.writeable == w.flags.writeable
                assert isinstance(got, list | tuple | SpatialArray | np.ndarray)
            np.testing.assert_array_equal(g, w)


def test_methods_that_need_memory_say_so() -> None:
    da = pytest.importorskip("dask.array", reason="needs Dask")
    lazy = SpatialArray(da.from_array(VALUES, chunks=2))
    for use in (
        lambda: lazy.sort(),
        lambda: lazy.partition(1),
        lambda: lazy.byteswap(),
        lambda: lazy.strides,
        lambda: lazy.flags,
        lambda: lazy.flat,
    ):
        with pytest.raises(TypeError, match=r"compute|numpy"):
            use()


def test_a_copy_is_made_on_every_backend(backend: Any) -> None:
    image = SpatialArray(backend.make(VALUES), spacing=(2.0, 0.5, 0.25))
    copied = image.copy()
    assert copied.geometry == image.geometry
    np.testing.assert_array_equal(backend.to_numpy(copied.compute().data), VALUES)
    assert image.view().geometry == image.geometry


def test_pickles_through_a_file_keep_everything() -> None:
    image = SpatialArray(VALUES, spacing=(2.0, 0.5, 0.25), attrs={"a": 1})
    import pickle

    stream = io.BytesIO()
    pickle.dump(image, stream)
    stream.seek(0)
    again = pickle.load(stream)
    assert again.geometry == image.geometry
    assert again.attrs == image.attrs
