"""Run a kernel on an image: at once in memory, chunk by chunk with a halo if lazy.

A kernel is a function ``kernel(engine, block, **values)`` that gives a block of the same shape. Its
halo says how many voxels around a voxel its value depends on; a lazy image is filtered chunk by
chunk with that overlap, and the result is that of the whole array in memory. Beyond the array's own
ends the kernel continues it by its ``mode``, in memory and in chunks alike.
"""

from __future__ import annotations

import math
from functools import partial
from importlib import import_module
from itertools import product
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends
from spatial_duck._optional import require
from spatial_duck.array import SpatialArray, as_image, is_image, on_grid
from spatial_duck.errors import GeometryMismatchError
from spatial_duck.geometry import _align as mixing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from numpy.typing import NDArray

__all__ = [
    "MODES",
    "SLAB_VOXELS",
    "Engine",
    "check_image",
    "check_mode",
    "data_on_same_grid",
    "engine_of",
    "exact_differences",
    "lazy_data",
    "measure_parts",
    "require_host",
    "round_to_float64",
    "run",
    "slabs",
    "with_same_chunks",
    "wrap",
]

#: How an array goes on beyond its ends, as in SciPy.
MODES = ("reflect", "constant", "nearest", "mirror", "wrap")


class Engine(NamedTuple):
    """The libraries that work on a block.

    Attributes
    ----------
    xp : module
        NumPy or CuPy.
    nd : module
        `scipy.ndimage` or `cupyx.scipy.ndimage`.
    """

    xp: Any
    nd: Any


#: Voxels of an array in memory that are looked at together.
SLAB_VOXELS = 1 << 21
#: The backends that filters work on.
_BACKENDS = ("numpy", "cupy", "dask", "zarr")


def engine_of(block: Any) -> Engine:
    """Return the libraries for a block in memory.

    Raises
    ------
    ImportError
        If SciPy is not installed; the message names the extra.
    """
    if backends.library(block) == "cupy":
        return Engine(import_module("cupy"), import_module("cupyx.scipy.ndimage"))
    return Engine(np, require("scipy.ndimage", "spatial_duck.ndimage"))


def check_image(
    image: Any, what: str, kinds: str = "biufc", argument: str = "image", *, on_host: bool = False
) -> SpatialArray:
    """Return the image, or raise for other objects, values and backends than filters take.

    The argument and the host's memory are as for `as_image`.
    """
    image = as_image(image, what, argument, on_host=on_host)
    found = backends.backend_of(image.data).name
    if found not in _BACKENDS:
        raise TypeError(
            f"{what} works on NumPy, CuPy, Dask and Zarr arrays, got "
            f"{backends.library(image.data)}; use image.to('numpy') first"
        )
    if np.dtype(image.dtype).kind not in kinds:
        advice = (
            "labels are bool or integers, such as image > threshold or image.astype('int32')"
            if "f" not in kinds
            else "convert them first, with image.astype('float32') or np.abs(image)"
        )
        raise TypeError(f"{what} cannot work on values of type {image.dtype}; {advice}")
    if any(n != n for n in image.shape):
        raise ValueError(
            f"{what} needs a shape that is known, got {image.shape}: call compute_chunk_sizes() of "
            "the Dask array first"
        )
    return image  # type: ignore[no-any-return]


def check_mode(mode: str) -> str:
    """Return the mode, or raise for an unknown one."""
    if mode not in MODES:
        raise ValueError(f"mode must be one of {', '.join(MODES)}, got {mode!r}")
    return mode


def data_on_same_grid(what: str, image: SpatialArray, other: Any, argument: str) -> Any:
    """Return the data of an image on the same grid, or a bare array of the same shape.

    Parameters
    ----------
    what : str
        The function, for messages.
    image : SpatialArray
        Where they must lie.
    other : image or array
        An image as `asarray` takes them, or an array; tensors of the host become NumPy's.
    argument : str
        What the other is called there.

    Raises
    ------
    GeometryMismatchError
        If it lies elsewhere.
    ValueError
        If a bare array has another shape.
    TypeError
        If it is neither an image nor an array, or has masked values.
    """
    if is_image(other):
        other = as_image(other, what, argument)
        if other.shape != image.shape:
            raise GeometryMismatchError(
                f"{what}: {argument} has dims {other.dims!r} of shape {other.shape}, and the image "
                f"{image.dims!r} of {image.shape}: bring it there with resample({argument}, "
                "to=image), labels with interpolation='nearest'"
            )
        mixing.broadcast(what, (image.geometry, other.geometry))
        data = other.data
    else:
        data = backends.adopt(other)
        backends.refuse_masked(data, what)
    if tuple(data.shape) != image.shape:
        raise ValueError(
            f"{what}: expected {argument} of shape {image.shape}, got {tuple(data.shape)}"
        )
    known = backends.backend_of(data).name in _BACKENDS
    return data if known else backends.host_form(data, what)


def lazy_data(image: SpatialArray) -> Any:
    """Return the Dask array of a lazy image, or None for one in memory."""
    return backends.chunked(image.data, None) if backends.is_lazy(image.data) else None


def require_host(data: Any, what: str) -> Any:
    """Return the data, or raise where they are on a GPU.

    Raises
    ------
    TypeError
        If the data, or the blocks of a Dask array, are on a GPU.
    """
    if backends.library(data) == "cupy":
        raise TypeError(
            f"{what} works in the host's memory, and copies nothing there unasked: use "
            "image.to('numpy'), or for chunks map_blocks(cupy.asnumpy) on the Dask array"
        )
    return data


def slabs(shape: Sequence[int]) -> list[slice]:
    """Return slices along the first axis that make an array in memory, `SLAB_VOXELS` each.

    What is worked out of each takes no more memory than a slab does, however large the array is.

    Examples
    --------
    >>> slabs((5, 3000, 1000))
    [slice(0, 1, None), slice(1, 2, None), slice(2, 3, None), slice(3, 4, None), slice(4, 5, None)]
    """
    rows = max(SLAB_VOXELS // max(math.prod(shape[1:]), 1), 1)
    return [slice(i, min(i + rows, shape[0])) for i in range(0, max(shape[0], 1), rows)]


def with_same_chunks(data: Any, other: Any) -> tuple[Any, Any]:
    """Return arrays of one shape as Dask arrays with the chunks of the first; None stays None."""
    lazy = backends.chunked(data, None)
    if other is None:
        return lazy, None
    second = backends.chunked(other, None)
    return lazy, second if second.chunks == lazy.chunks else second.rechunk(lazy.chunks)


def measure_parts(
    part: Callable[..., Any], join: Callable[[list[Any]], Any], data: Any, other: Any
) -> Any:
    """Return ``join`` of the results of ``part(block, other_block, start)``.

    Parameters
    ----------
    part : callable
        Takes blocks of both arrays, and the index of their first voxel.
    join : callable
        Takes the list of results.
    data, other : array
        Arrays of one shape, the second of which may be None. In memory they go slab by slab; if one
        is lazy they go chunk by chunk, to a `dask.delayed.Delayed`.
    """
    if not (backends.is_lazy(data) or (other is not None and backends.is_lazy(other))):
        rest = (0,) * (data.ndim - 1)
        found = [
            part(data[rows], None if other is None else other[rows], (rows.start, *rest))
            for rows in slabs(data.shape)
        ]
        return join(found)
    import dask

    lazy, second = with_same_chunks(data, other)
    blocks = backends.chunk_values(lazy)
    others = [None] * len(blocks) if second is None else backends.chunk_values(second)
    starts = product(*[np.cumsum([0, *c[:-1]]).tolist() for c in lazy.chunks])
    task = dask.delayed(part, pure=True)
    found = [task(*each) for each in zip(blocks, others, starts, strict=True)]
    return dask.delayed(join, pure=True)(found)


def wrap(image: SpatialArray, data: Any) -> SpatialArray:
    """Return other data with an image's geometry, attrs and coordinates."""
    return on_grid(image, data, image.geometry)


def run(
    image: SpatialArray,
    kernel: Callable[..., Any],
    *,
    halo: Sequence[int],
    dtype: Any = None,
    mode: str = "reflect",
    **values: Any,
) -> SpatialArray:
    """Run a kernel on an image.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    kernel : callable
        ``kernel(engine, block, mode=..., **values)``.
    halo : sequence of int
        How far its values depend on others, in voxels along each array axis.
    dtype : dtype, optional
        Data type of the result; that of the image by default.
    mode : str
        How the image goes on beyond its ends.
    **values
        What else the kernel is told.

    Returns
    -------
    SpatialArray
        On the same grid; lazy where the image is.
    """
    native = np.dtype(image.dtype).newbyteorder("=")
    dtype = native if dtype is None else np.dtype(dtype)
    work = partial(_run_on_block, kernel, dtype, {"mode": check_mode(mode), **values})
    data = lazy_data(image)
    if data is None:
        return wrap(image, work(image.data))
    engine_of(backends.empty_block(data))  # a missing library raises here, not in a worker
    return wrap(image, _map_overlap(data, work, halo, dtype, mode))


def _run_on_block(kernel: Any, dtype: Any, values: dict[str, Any], block: Any) -> Any:
    engine = engine_of(block)
    if 0 in block.shape:
        return engine.xp.empty(block.shape, dtype)
    if not block.dtype.isnative:
        block = block.astype(block.dtype.newbyteorder("="))
    return kernel(engine, block, **values).astype(dtype, copy=False)


def _map_overlap(data: Any, work: Any, halo: Sequence[int], dtype: Any, mode: str) -> Any:
    import dask.array as da

    meta = backends.empty_block(data, dtype=dtype)
    if 0 in data.shape:
        return da.map_blocks(work, data, dtype=dtype, meta=meta)
    # An axis no longer than the halo is one chunk, which needs no neighbours.
    whole = {i: -1 for i, n in enumerate(halo) if n and n >= data.shape[i]}
    if whole:
        data = data.rechunk(whole)
    depth = {i: 0 if i in whole or len(data.chunks[i]) == 1 else n for i, n in enumerate(halo)}
    boundary = dict.fromkeys(depth, "periodic" if mode == "wrap" else "none")
    if not any(depth.values()):
        return da.map_blocks(work, data, dtype=dtype, meta=meta)
    return da.map_overlap(
        work, data, depth=depth, boundary=boundary, trim=True, dtype=dtype, meta=meta
    )


def round_to_float64(values: NDArray[Any]) -> NDArray[Any]:
    """Return integers of 64 bits without their last 11 bits, which float64 cannot hold."""
    wide = values.dtype.kind in "iu" and values.dtype.itemsize == 8
    return values >> 11 << 11 if wide else values


def exact_differences(values: NDArray[Any], start: NDArray[Any]) -> NDArray[np.float64]:
    """Return ``values - start`` as float64, of integers beyond 2⁵³ without rounding them first."""
    apart: NDArray[np.float64] = values.astype(np.float64) - start.astype(np.float64)
    if values.dtype.kind in "iu" and values.dtype.itemsize == 8:
        whole = values.astype(np.uint64) - start.astype(np.uint64)  # modulo 2⁶⁴
        apart = np.where(abs(apart) < 2.0**62, whole.view(np.int64), apart)
    return apart
