"""NumPy's functions voxel by voxel and along one axis, on Dask arrays, lazily.

Where Dask has no such function, chunks are joined along the axis and NumPy's function runs on each
block. A function is here only if the type and shape of its result follow from those of its
arguments.
"""

from __future__ import annotations

import functools
import inspect
from typing import TYPE_CHECKING, Any

import dask.array as da
import numpy as np

from spatial_duck.backends.dask._private import meta_of
from spatial_duck.geometry._numbering import normalize_axes, normalize_axis
from spatial_duck.rules._bind import signature_of

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = [
    "FUNCTIONS",
    "along",
    "bind_arguments",
    "elementwise",
    "elemwise",
    "implements",
    "is_lazy",
    "refuse_lazy",
    "sample_block",
]

#: Lazy implementation of each NumPy function; other modules of this folder register theirs.
FUNCTIONS: dict[Any, Callable[..., Any]] = {}

#: With Dask's expressions it is public.
elemwise = getattr(da, "elemwise", None) or da.core.elemwise


def implements(*names: str, module: Any = np) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Register the decorated function as the implementation of some of NumPy's, if it has them."""

    def register(function: Callable[..., Any]) -> Callable[..., Any]:
        for name in names:
            if hasattr(module, name):
                FUNCTIONS[getattr(module, name)] = function
        return function

    return register


# --- arguments ----------------------------------------------------------------------------


def is_lazy(value: Any) -> bool:
    """Whether a value is a Dask array, or holds one in a list."""
    return isinstance(value, da.Array) or (
        isinstance(value, tuple | list) and any(is_lazy(v) for v in value)
    )


def bind_arguments(func: Any, args: Any, kwargs: Any) -> dict[str, Any]:
    """Return a call's arguments by name, with NumPy's default for the axis."""
    signature = signature_of(func)
    given: dict[str, Any] = dict(signature.bind(*args, **kwargs).arguments)
    if "axis" in signature.parameters:
        given.setdefault("axis", signature.parameters["axis"].default)
    if given.pop("out", None) is not None:
        raise TypeError(f"numpy.{func.__name__} on Dask takes no out=")
    return given


def refuse_lazy(func: Any, given: dict[str, Any]) -> None:
    """Refuse Dask arrays where an argument must be in memory."""
    for name, value in given.items():
        if is_lazy(value):
            raise TypeError(
                f"numpy.{func.__name__} on Dask needs {name} in memory: compute it first"
            )


def _flat(func: Any, a: Any) -> Any:
    """Return all voxels along one axis; refused where that would join all chunks."""
    if a.ndim > 1 and a.npartitions > 1:
        raise TypeError(
            f"numpy.{func.__name__} over all axes would put the whole array into one block: give "
            "axis=, or rechunk(-1) first if it fits in memory"
        )
    return a.reshape(-1)


def _check_known_length(func: Any, a: Any, axes: Any) -> None:
    if any(np.isnan(a.shape[i]) for i in axes):
        raise TypeError(
            f"numpy.{func.__name__} needs a known length: use data.compute_chunk_sizes() first"
        )


def sample_block(a: Any, *axes: int) -> Any:
    """Return an array in memory like a piece of `a`: whole along some axes, 1 along the others."""
    shape = tuple([n if i in axes else 1 for i, n in enumerate(a.shape)])
    return np.ones_like(meta_of(a), shape=shape)


def _empty(result: Any) -> Any:
    """Return an array in memory with the type of a result and no voxels."""
    result = np.asarray(result) if isinstance(result, np.generic) else result
    return result[(slice(0, 0),) * result.ndim]


# --- voxel by voxel -----------------------------------------------------------------------


def elementwise(func: Any, *names: str) -> Callable[..., Any]:
    """Make a function whose result has the shape of some arguments, broadcast together."""

    def run(*args: Any, **kwargs: Any) -> Any:
        given = bind_arguments(func, args, kwargs)
        arrays = {n: given.pop(n) for n in names if given.get(n) is not None}
        refuse_lazy(func, given)
        return elemwise(functools.partial(_by_name, func, tuple(arrays), given), *arrays.values())

    return run


def _by_name(func: Any, names: tuple[str, ...], given: dict[str, Any], *arrays: Any) -> Any:
    """Call a function with arrays for the first parameters, and the others by name or in order."""
    parameters = signature_of(func).parameters
    values = {**dict(zip(names, arrays, strict=False)), **given}
    positional = [
        values.pop(p)
        for p, kind in [(p, q.kind) for p, q in parameters.items()]
        if kind is inspect.Parameter.POSITIONAL_ONLY and p in values
    ]
    return func(*positional, **values)


for _curve in (np.interp, np.polyval):
    FUNCTIONS[_curve] = elementwise(_curve, "x")


@implements("nan_to_num")
def _nan_to_num(x: Any, copy: bool = True, *values: Any, **named: Any) -> Any:  # noqa: ARG001
    """Replace values, never in place: blocks are shared."""
    run = elementwise(np.nan_to_num, "x", "nan", "posinf", "neginf")
    return run(x, True, *values, **named)


@implements("searchsorted")
def _searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Any:
    if is_lazy(a):
        return da.searchsorted(a, da.asarray(v), side, sorter)
    return elementwise(np.searchsorted, "v")(a, v, side, sorter)


def _of_dates(func: Any, dtype: Any) -> Callable[..., Any]:
    def run(*dates: Any, **options: Any) -> Any:
        return elemwise(functools.partial(func, **options), *dates, dtype=dtype)

    return run


FUNCTIONS[np.is_busday] = _of_dates(np.is_busday, bool)
FUNCTIONS[np.busday_offset] = _of_dates(np.busday_offset, "M8[D]")
FUNCTIONS[np.busday_count] = _of_dates(np.busday_count, np.int64)


@implements("datetime_as_string")
def _datetime_as_string(arr: Any, **options: Any) -> Any:
    run = functools.partial(np.datetime_as_string, **options)
    return elemwise(run, arr, dtype=run(sample_block(arr)).dtype)


def _same_width(func: Any) -> Callable[..., Any]:
    def run(a: Any) -> Any:
        return a.map_blocks(func, dtype=a.dtype)

    return run


for _name in ("capitalize", "lower", "swapcase", "title", "upper"):
    FUNCTIONS[getattr(np.strings, _name)] = _same_width(getattr(np.strings, _name))
for _name in ("equal", "not_equal", "greater", "greater_equal", "less", "less_equal"):
    FUNCTIONS[getattr(np.char, _name)] = functools.partial(
        elemwise, getattr(np.char, _name), dtype=bool
    )


@implements("astype")
def _astype(x: Any, dtype: Any, /, *, copy: bool = True, device: Any = None) -> Any:  # noqa: ARG001
    return x.astype(dtype, copy=copy)


@implements("copy")
def _copy(a: Any, order: str = "K", subok: bool = False) -> Any:  # noqa: ARG001
    return a.copy()


# --- along an axis ------------------------------------------------------------------------


def _along(func: Any) -> Callable[..., Any]:
    """Make a function that treats each line along an axis by itself."""
    first = next(iter(signature_of(func).parameters))

    def run(*args: Any, **kwargs: Any) -> Any:
        given = bind_arguments(func, args, kwargs)
        a, axis = given.pop(first), given.pop("axis")
        refuse_lazy(func, given)
        if axis is None:
            a, axis = _flat(func, a), 0
        return along(func, a, axis, given)

    return run


def along(func: Any, a: Any, axis: int, given: dict[str, Any]) -> Any:
    """Call a function on whole lines along an axis, which may get another length or go away."""
    axis = normalize_axis(axis, a.ndim)
    _check_known_length(func, a, (axis,))
    tried = func(sample_block(a, axis), axis=axis, **given)
    a = a.rechunk({axis: -1})
    run = functools.partial(func, axis=axis, **given)
    if tried.ndim < a.ndim:
        return a.map_blocks(run, drop_axis=axis, dtype=tried.dtype, meta=_empty(tried))
    chunks = list(a.chunks)
    chunks[axis] = (tried.shape[axis],)
    return a.map_blocks(run, chunks=tuple(chunks), dtype=tried.dtype, meta=_empty(tried))


for _sorting in (np.sort, np.argsort, np.partition, np.argpartition):
    FUNCTIONS[_sorting] = _along(_sorting)


def _of_bits(func: Any) -> Callable[..., Any]:
    def run(a: Any, /, axis: Any = None, **options: Any) -> Any:
        return along(func, _flat(func, a) if axis is None else a, axis or 0, options)

    return run


for _packing in (np.packbits, np.unpackbits):
    FUNCTIONS[_packing] = _of_bits(_packing)


@implements("sort_complex")
def _sort_complex(a: Any) -> Any:
    a = _along(np.sort)(a)
    small = a.dtype.kind in "iu" and a.dtype.itemsize < 4
    return (
        a
        if a.dtype.kind == "c"
        else a.astype("F" if small else "G" if a.dtype.char == "g" else "D")
    )


@implements("unwrap")
def _unwrap(p: Any, discont: Any = None, axis: int = -1, *, period: Any = 2 * np.pi) -> Any:
    return along(np.unwrap, p, axis, {"discont": discont, "period": period})


@implements("trapezoid", "trapz")
def _trapezoid(y: Any, x: Any = None, dx: Any = 1.0, axis: int = -1) -> Any:
    axis = normalize_axis(axis, y.ndim)
    step = dx
    if x is not None:
        x = da.asarray(x)
        step = da.diff(x) if x.ndim == 1 else da.diff(x, axis=axis)
        if x.ndim == 1:
            step = step.reshape([-1 if i == axis else 1 for i in range(y.ndim)])
    before = (slice(None),) * axis
    return (step * (y[(*before, slice(1, None))] + y[(*before, slice(None, -1))]) / 2.0).sum(axis)


def _cumulative(run: Any, neutral: int) -> Callable[..., Any]:
    def cumulative(
        x: Any, /, *, axis: Any = None, dtype: Any = None, out: Any = None,
        include_initial: bool = False,
    ) -> Any:  # fmt: skip
        if axis is None:
            if x.ndim != 1:
                raise ValueError("For arrays which have more than one dimension ``axis`` is needed")
            axis = 0
        if out is not None and include_initial:
            raise TypeError("Dask takes no out= with include_initial")
        axis = normalize_axis(axis, x.ndim)
        result = run(x, axis=axis, dtype=dtype, out=out)
        if not include_initial:
            return result
        shape = [1 if i == axis else n for i, n in enumerate(x.shape)]
        return da.concatenate([da.full_like(result, neutral, shape=shape), result], axis)

    return cumulative


implements("cumulative_sum")(_cumulative(da.cumsum, 0))
implements("cumulative_prod")(_cumulative(da.cumprod, 1))


@implements("lexsort")
def _lexsort(keys: Any, axis: int = -1) -> Any:
    keys = da.stack(keys) if isinstance(keys, tuple | list) else keys
    if keys.ndim == 1:
        return da.from_array(np.asarray(0))
    axis = normalize_axis(axis, keys.ndim - 1)
    keys = keys.rechunk({0: -1, axis + 1: -1})
    return keys.map_blocks(np.lexsort, axis=axis, drop_axis=0, dtype=np.intp)


@implements("take_along_axis")
def _take_along_axis(arr: Any, indices: Any, axis: Any = -1) -> Any:
    if axis is None:
        arr, axis = _flat(np.take_along_axis, arr), 0
    axis = normalize_axis(axis, arr.ndim)
    arr = da.asarray(arr).rechunk({axis: -1})
    labels = list(range(arr.ndim))
    other = [arr.ndim if i == axis else i for i in labels]
    run = functools.partial(_take_along, axis=axis)
    return da.blockwise(
        run, other, arr, labels, da.asarray(indices), other, concatenate=True, dtype=arr.dtype,
        meta=meta_of(arr),
    )  # fmt: skip


def _take_along(arr: Any, indices: Any, axis: int) -> Any:
    return np.take_along_axis(arr, indices, axis)


def _quantiles(func: Any) -> Callable[..., Any]:
    """Make a median or quantile of whole lines, or planes, along axes that go away."""

    def run(*args: Any, **kwargs: Any) -> Any:
        given = bind_arguments(func, args, kwargs)
        a, axis, keepdims = given.pop("a"), given.pop("axis"), given.pop("keepdims", False)
        keepdims = keepdims is True
        refuse_lazy(func, given)
        n = a.ndim
        if axis is None and n > 1:
            _flat(func, a)
        axes = normalize_axes(axis, n)
        _check_known_length(func, a, axes)
        block = functools.partial(func, axis=axes, keepdims=keepdims, **given)
        tried = block(sample_block(a))
        new = np.ndim(given.get("q", 0))
        a = a.rechunk(dict.fromkeys(axes, -1))
        kept = [
            (1,) if i in axes else c for i, c in enumerate(a.chunks) if keepdims or i not in axes
        ]
        return a.map_blocks(
            block,
            drop_axis=() if keepdims else axes,
            new_axis=tuple(range(new)),
            chunks=(*[(m,) for m in np.shape(given.get("q", 0))], *kept),
            dtype=tried.dtype,
            meta=_empty(tried),
        )

    return run


for _name in ("median", "percentile", "quantile"):
    for _prefix in ("", "nan"):
        FUNCTIONS[getattr(np, _prefix + _name)] = _quantiles(getattr(np, _prefix + _name))


def _transformed(func: Any) -> Callable[..., Any]:
    """Make an FFT along one axis."""

    def transform(
        a: Any, n: int | None = None, axis: int = -1, norm: Any = None, out: Any = None
    ) -> Any:
        if out is not None:
            raise TypeError(f"numpy.fft.{func.__name__} on Dask takes no out=")
        return along(func, a, axis, {"n": n, "norm": norm})

    return transform


def _transformed_along(name: str, default: Any) -> Callable[..., Any]:
    """Make an FFT along several axes, one after the other, as NumPy does: so are the chunks."""
    first = FUNCTIONS[getattr(np.fft, name)]
    others = FUNCTIONS[np.fft.ifft if "i" in name else np.fft.fft]

    def transform(a: Any, s: Any = None, axes: Any = default, norm: Any = None, **more: Any) -> Any:
        if more.pop("out", None) is not None:
            raise TypeError(f"numpy.fft.{name}n on Dask takes no out=")
        if axes is None:
            axes = tuple(range(a.ndim)) if s is None else tuple(range(-len(s), 0))
        lengths = [None if n == -1 else n for n in s] if s is not None else [None] * len(axes)
        runs = [others] * (len(axes) - 1) + [first]  # the last axis named is the real one
        steps = list(zip(axes, lengths, runs, strict=True))
        for axis, n, run in steps if name == "irfft" else steps[::-1]:
            a = run(a, n, axis, norm)
        return a

    return transform


for _name in ("fft", "ifft", "rfft", "irfft", "hfft", "ihfft"):
    FUNCTIONS[getattr(np.fft, _name)] = _transformed(getattr(np.fft, _name))
for _name in ("fft", "ifft", "rfft", "irfft"):
    FUNCTIONS[getattr(np.fft, _name + "2")] = _transformed_along(_name, (-2, -1))
    FUNCTIONS[getattr(np.fft, _name + "n")] = _transformed_along(_name, None)


def _sliding(func: Any, first: str) -> Callable[..., Any]:
    """Make convolve or correlate: of whole lines, both in one block."""

    def run(a: Any, v: Any, mode: str = "valid" if first == "a" else "full") -> Any:
        a, v = da.asarray(a).rechunk(-1), da.asarray(v).rechunk(-1)
        block = functools.partial(func, mode=mode)
        tried = block(sample_block(a, 0), sample_block(v, 0))
        return da.blockwise(
            block, "k", a, "i", v, "j", new_axes={"k": len(tried)}, concatenate=True,
            dtype=tried.dtype,
        )  # fmt: skip

    return run


FUNCTIONS[np.convolve] = _sliding(np.convolve, "")
FUNCTIONS[np.correlate] = _sliding(np.correlate, "a")


@implements("vander")
def _vander(x: Any, N: Any = None, increasing: bool = False) -> Any:
    n = x.shape[0] if N is None else N
    block = functools.partial(np.vander, N=n, increasing=increasing)
    return x.map_blocks(
        block, new_axis=1, chunks=(x.chunks[0], (n,)), dtype=block(sample_block(x)).dtype
    )


@implements("diff")
def _diff(a: Any, n: int = 1, axis: int = -1, **ends: Any) -> Any:
    """Subtract neighbours; Dask's own function would compute what is put before or after."""
    pieces = {k: v for k, v in ends.items() if isinstance(v, da.Array) and v.ndim}
    if not pieces:
        return da.diff(a, n, axis, **ends)
    rest = {k: v for k, v in ends.items() if k not in pieces}
    if rest:
        raise TypeError("Dask has no diff with prepend and append of two kinds of array")
    parts = [pieces.get("prepend"), a, pieces.get("append")]
    return da.diff(da.concatenate([p for p in parts if p is not None], axis), n, axis)


@implements("gradient")
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: Any = 1) -> Any:
    """Do what Dask does, in chunks that are long enough for it."""
    refuse_lazy(np.gradient, {"varargs": varargs})
    axes = normalize_axes(axis, f.ndim)
    for i in axes:
        f = f.rechunk({i: _at_least(edge_order + 1, f.chunks[i])})
    found = da.gradient(f, *varargs, axis=axes, edge_order=edge_order)
    return found[0] if len(axes) == 1 else tuple(found)


def _at_least(least: int, chunks: tuple[int, ...]) -> tuple[int, ...]:
    """Join chunks with their neighbours until none is shorter than `least`."""
    joined: list[int] = []
    for n in chunks:
        if joined and (joined[-1] < least or n < least):
            joined[-1] += n
        else:
            joined.append(n)
    return tuple(joined)
