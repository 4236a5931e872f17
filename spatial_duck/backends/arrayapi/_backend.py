"""PyTorch, JAX, sparse and array_api_strict as the data of images: keys, types, devices."""

from __future__ import annotations

import math
import sys
from importlib import import_module
from typing import TYPE_CHECKING, Any

import array_api_compat
import numpy as np

from spatial_duck._optional import missing_extra
from spatial_duck.backends._backend import Backend
from spatial_duck.backends._keys import open_key, steps_of
from spatial_duck.backends._registry import backend_of, name_of, root_of
from spatial_duck.backends.arrayapi._calls import call, namespace
from spatial_duck.backends.arrayapi._tools import to_dtype

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.backends._keys import Steps

__all__ = ["BACKEND"]

# --- keys -----------------------------------------------------------------------------------


def _host_key(key: Any) -> Any:
    """Convert the arrays of a key that are on the host to NumPy; others stay."""
    if key.__class__ is tuple:
        return tuple([_host_key(k) for k in key])
    if name_of(type(key)) == "arrayapi" and "cpu" in str(array_api_compat.device(key)).lower():
        return _to_numpy(key)
    return key


def _forward(cut: tuple[Any, ...], shape: Any) -> tuple[tuple[Any, ...], tuple[int, ...]]:
    """Return a cut with rising slices alone, as in the standard, and the axes to flip after it."""
    forward: list[Any] = []
    flipped: list[int] = []
    left = 0
    for k, n in zip(cut, shape, strict=True):
        if isinstance(k, slice):
            if k.step is not None and k.step < 0:
                walked = range(*k.indices(n))
                k = slice(walked[-1], walked[0] + 1, -k.step)
                flipped.append(left)
            left += 1
        forward.append(k)
    return tuple(forward), tuple(flipped)


def _cut(xp: Any, data: Any, cut: tuple[Any, ...]) -> Any:
    """Cut by integers and slices."""
    if all(isinstance(k, slice) and k == slice(None) for k in cut):
        return data
    forward, flipped = _forward(cut, data.shape)
    return xp.flip(data[forward], axis=flipped) if flipped else data[forward]


def _index_array(xp: Any, index: Any, place: Any) -> Any:
    """Return indices as `take` wants them: sparse knows only NumPy's."""
    return index if xp.__name__ == "sparse" else xp.asarray(index, device=place)


def _picked(xp: Any, out: Any, steps: Steps) -> Any:
    """Index by the arrays of a key."""
    place = array_api_compat.device(out)
    for axis, along in steps.takes:
        if isinstance(along, np.ndarray):
            out = xp.take(out, _index_array(xp, along, place), axis=axis)
        else:
            out = out[(*(slice(None),) * axis, along)]
    if steps.points:
        axes = [axis for axis, _ in steps.points]
        rest = [axis for axis in range(out.ndim) if axis not in axes]
        lengths, others = [out.shape[a] for a in axes], [out.shape[a] for a in rest]
        at = np.broadcast_arrays(*[index for _, index in steps.points])
        # The axes as one, so that the numbers of the voxels along it say all.
        number = np.zeros(at[0].shape, np.intp)
        for index, n in zip(at, lengths, strict=True):
            number = number * n + index
        out = xp.reshape(xp.permute_dims(out, (*axes, *rest)), (math.prod(lengths), *others))
        out = xp.take(out, _index_array(xp, number.ravel(), place), axis=0)
        out = xp.reshape(out, (*at[0].shape, *others))
    return out


def _index(data: Any, key: Any) -> Any:
    xp = namespace(data)
    key = _host_key(key)
    if name_of(type(key)) == "arrayapi" and key.ndim > 1:
        return data[key]  # a mask of all axes that only the device can look at
    steps = steps_of(tuple(data.shape), key)
    out = _picked(xp, _cut(xp, data, steps.cut), steps)
    if steps.order is not None:
        out = xp.permute_dims(out, steps.order)
    for axis in steps.insert:
        out = xp.expand_dims(out, axis=axis)
    if steps.empty_axis is not None:
        out = out[(*(slice(None),) * steps.empty_axis, slice(0, 0), ...)]
    return out


def _assign(data: Any, key: Any, value: Any) -> None:
    xp = namespace(data)
    key = _host_key(key)
    if name_of(type(key)) == "arrayapi":
        data[key] = value
        return
    place = array_api_compat.device(data)
    if isinstance(value, np.ndarray | np.generic | list | tuple):
        value = xp.asarray(np.asarray(value), device=place)
    steps = steps_of(tuple(data.shape), key)
    if not (steps.takes or steps.points or steps.empty_axis is not None):
        _assign_cut(xp, data, steps, value)
        return
    index = open_key(tuple(data.shape), key)
    if all(i.size for i in index):
        data[tuple([xp.asarray(i, device=place) for i in index])] = value


def _assign_cut(xp: Any, data: Any, steps: Steps, value: Any) -> None:
    """Assign through integers and slices: where one runs backwards, the value is flipped."""
    forward, flipped = _forward(steps.cut, data.shape)
    if np.ndim(value) and (flipped or steps.insert):
        shape = tuple(data[forward].shape)
        full = list(shape)
        for axis in steps.insert:
            full.insert(axis, 1)
        value = xp.reshape(xp.broadcast_to(value, tuple(full)), shape)
        value = xp.flip(value, axis=flipped) if flipped else value
    data[(*forward, ...)] = value


def _to_numpy(data: Any) -> Any:
    return _TO_NUMPY.get(root_of(type(data)), np.asarray)(data)


def _from_torch(data: Any) -> Any:
    """Return a tensor in the host's memory; float32 holds every value of bfloat16."""
    torch = sys.modules["torch"]
    bare = data.detach().cpu().resolve_conj().resolve_neg()
    try:
        return (bare.float() if bare.dtype == torch.bfloat16 else bare).numpy()
    except TypeError as error:
        raise TypeError(
            f"NumPy has no type for {data.dtype}: use image.astype(torch.float32) first"
        ) from error


#: How each library copies to the host; NumPy knows the others.
_TO_NUMPY: dict[str, Callable[[Any], Any]] = {
    "torch": _from_torch,
    "sparse": lambda x: x.todense(),
    # Of its devices, only the first may be read by NumPy.
    "array_api_strict": lambda x: np.asarray(x.to_device(type(x.device)("CPU_DEVICE"))),
}


class _ArrayAPI(Backend):
    """Arrays that follow the array API standard."""

    name = "arrayapi"
    has_operators = True
    precedence = 10
    keeps_scalars = True

    def call(self, func: Any, args: Any, kwargs: Any) -> Any:
        return call(func, args, kwargs)

    def compute(self, data: Any, **options: Any) -> Any:
        return data

    def to_numpy(self, data: Any) -> Any:
        return _to_numpy(data)

    def take(self, data: Any, library: str = "", device: Any = None, **options: Any) -> Any:
        """Convert an array to a library's, without a copy where both can share memory."""
        if options:
            raise TypeError(f"to({library!r}) takes device=, got {', '.join(options)}")
        try:
            import_module(library)
            xp = import_module("jax.numpy" if library == "jax" else library)
        except ImportError as error:
            raise missing_extra(library, f".to({library!r})") from error
        found = backend_of(data)
        if found is self and root_of(type(data)).startswith(library):
            return data if device is None else array_api_compat.to_device(data, device)
        array = found.to_numpy(data)
        if not array.dtype.isnative:
            array = array.astype(array.dtype.newbyteorder("="))
        if library == "sparse":
            return xp.COO.from_numpy(array)
        if library == "torch" and (not array.flags.writeable or any(s < 0 for s in array.strides)):
            array = array.copy()  # PyTorch has neither read-only memory nor negative strides
        made = xp.asarray(array)
        return made if device is None else array_api_compat.to_device(made, device)

    def device(self, data: Any) -> Any:
        return array_api_compat.device(data)

    def namespace(self, data: Any) -> Any:
        return namespace(data)

    def itemsize(self, data: Any) -> int:
        xp = namespace(data)
        if xp.isdtype(data.dtype, "bool"):
            return 1
        info = xp.iinfo if xp.isdtype(data.dtype, "integral") else xp.finfo
        pair = 2 if xp.isdtype(data.dtype, "complex floating") else 1  # finfo is of one part
        return int(info(data.dtype).bits * pair // 8)

    def index(self, data: Any, key: Any) -> Any:
        return _index(data, key)

    def assign(self, data: Any, key: Any, value: Any) -> None:
        _assign(data, key, value)

    def astype(self, data: Any, dtype: Any, **options: Any) -> Any:
        xp = namespace(data)
        return xp.astype(data, to_dtype(xp, dtype), **options)

    def to_device(self, data: Any, device: Any, stream: Any = None) -> Any:
        return array_api_compat.to_device(data, device, stream=stream)

    def to_dask(self, data: Any, chunks: Any = "auto") -> Any:
        raise TypeError(
            f"Dask does not hold arrays of {type(data).__module__}: use .to('numpy') first"
        )


BACKEND = _ArrayAPI()
