"""Smoothing and rank filters, with lengths in world units.

Results lie where the image lies and keep its attrs. Smoothed integers are rounded, halves to even;
smoothed bools are floats. Rank filters keep the type. A voxel that is NaN makes NaN of every voxel
whose neighbourhood holds it, and of no other.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from spatial_duck.array import SpatialArray
from spatial_duck.geometry._quantity import is_sequence
from spatial_duck.geometry._validation import is_whole
from spatial_duck.ndimage._domain import (
    Axes,
    Domain,
    PerAxis,
    embed,
    find_domain,
    footprint_of,
    groups,
    kernel_reach,
    per_axis,
)
from spatial_duck.ndimage._kernels import box_weights, gaussian_weights
from spatial_duck.ndimage._running import check_image, run

if TYPE_CHECKING:
    from spatial_duck.ndimage._running import Engine

__all__ = [
    "gaussian_filter",
    "maximum_filter",
    "median_filter",
    "minimum_filter",
    "percentile_filter",
    "rank_filter",
    "uniform_filter",
]

#: Least standard deviation, in voxels: it does not smooth, and derivatives are central differences.
_MIN_SIGMA = 1e-2


def float_type(dtype: Any) -> np.dtype[Any]:
    """Return the floating type that filters of a type work in and derivatives have."""
    native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    if native.kind in "fc" and native.char != "e":
        return native
    return np.dtype("f" if native.char == "e" else "d")


def smooth_type(dtype: Any) -> np.dtype[Any]:
    """Return the type of a smoothed image: its own, but for bools."""
    native: np.dtype[Any] = np.dtype(dtype).newbyteorder("=")
    return np.dtype("d") if native.kind == "b" else native


def correlate_all(
    engine: Engine, block: Any, *, kernels: Sequence[Any], mode: str, cval: Any = 0.0
) -> Any:
    """Correlate a block with one kernel after another; 1-D kernels take the faster function."""
    work = float_type(block.dtype)
    result = block.astype(work, copy=False)
    for weights in kernels:
        long = [axis for axis, n in enumerate(weights.shape) if n > 1]
        if len(long) == 1:
            result = engine.nd.correlate1d(
                result, engine.xp.asarray(weights.ravel()), long[0], work, mode, cval
            )
        else:
            result = engine.nd.correlate(result, engine.xp.asarray(weights), work, mode, cval)
    return result


def round_to(engine: Engine, values: Any, dtype: Any) -> Any:
    """Return floating values in a type; for integers they are rounded and clipped to its range."""
    dtype = np.dtype(dtype)
    if dtype.kind not in "iu":
        return values.astype(dtype, copy=False)
    low, high = np.iinfo(dtype).min, np.iinfo(dtype).max
    limits = [np.nextafter(float(low), 0) if float(low) < low else float(low),
              np.nextafter(float(high), 0) if float(high) > high else float(high)]  # fmt: skip
    return engine.xp.clip(engine.xp.rint(values), *limits).astype(dtype)


def _smooth(engine: Engine, block: Any, **values: Any) -> Any:
    return round_to(engine, correlate_all(engine, block, **values), smooth_type(block.dtype))


def gaussian_kernels(
    domain: Domain, ndim: int, sigma: PerAxis, orders: Sequence[int], truncate: float
) -> list[Any]:
    """Return the kernels of a Gaussian derivative by index: one for each group of axes.

    An axis at right angles to all others has a 1-D kernel; sheared axes share a dense one.
    """
    if not truncate > 0:
        raise ValueError(f"truncate must be positive, got {truncate!r}")
    sigmas = per_axis(sigma, domain, "sigma")
    kernels = []
    for group in groups(domain):
        order = [orders[i] for i in group]
        if not sum(order) and not sigmas[group[0]]:
            continue
        # A standard deviation of 0 becomes the least one, which does not smooth.
        least = _MIN_SIGMA * float(np.min(domain.spacing[group]))
        metric = domain.metric[np.ix_(group, group)] / max(sigmas[group[0]], least) ** 2
        weights = gaussian_weights(metric, order, truncate)
        part = domain._replace(axes=tuple([domain.axes[i] for i in group]))
        kernels.append(embed(weights, part, ndim))
    return kernels


def total_reach(kernels: Sequence[Any], ndim: int) -> tuple[int, ...]:
    """Return how far several kernels in a row reach along each axis."""
    return tuple([sum(kernel_reach(w)[axis] for w in kernels) for axis in range(ndim)])


def check_orders(order: int | Sequence[int], domain: Domain) -> list[int]:
    """Return the order of a derivative along each axis."""
    orders: list[Any] = list(order) if is_sequence(order) else [order] * len(domain.axes)  # type: ignore[arg-type]
    if len(orders) != len(domain.axes) or not all(is_whole(n, 0) for n in orders):
        raise ValueError(
            f"order must be an int of 0 or more, or one for each of the axes {domain.names!r}, got "
            f"{order!r}"
        )
    return [int(n) for n in orders]


def gaussian_filter(
    image: SpatialArray,
    sigma: PerAxis,
    order: int | Sequence[int] = 0,
    *,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
) -> SpatialArray:
    """Smooth with a Gaussian, or differentiate a smoothed image.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array; a lazy one stays lazy.
    sigma : float, sequence of float, or mapping of str to float
        Standard deviation in world units. One number makes an isotropic Gaussian in the world, on
        anisotropic, oblique and sheared grids alike (sheared axes cost a dense kernel). Orthogonal
        axes may have one each, in array order or by name.
    order : int or sequence of int, optional
        Order of the derivative along each axis. Derivatives are along the direction of the axis,
        per world unit: values per mm for order 1.
    axes : str, int, or sequence of these, optional
        The axes to work along, by name or number; all space axes by default.
    mode : {"reflect", "constant", "nearest", "mirror", "wrap"}, optional
        How the image goes on beyond its ends, as in SciPy.
    cval : scalar, optional
        Value beyond its ends for ``mode="constant"``.
    truncate : float, optional
        Where the kernel ends, in standard deviations.

    Returns
    -------
    SpatialArray
        On the same grid. Smoothed integers are rounded; derivatives are floating.

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost.
    GeometryError
        If sigma or axes do not fit the image.

    Notes
    -----
    Where a standard deviation is 0.8 voxels or more the weights are those of SciPy. Below, sampling
    a Gaussian misses its variance, and the weights are corrected to have it. Derivatives are scaled
    so that a ramp's slope (and a parabola's curvature) come out exactly on any spacing; SciPy's
    are less by what is cut off, 0.1 % with ``truncate=4``, and by far more on coarse grids.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> ramp = sd.SpatialArray(np.arange(40.0) * 6, spacing=2.0)
    >>> float(gaussian_filter(ramp, sigma=5.0, order=1).data[20].round(9))
    3.0
    """
    image = check_image(image, "gaussian_filter")
    domain = find_domain(image, axes, "gaussian_filter")
    orders = check_orders(order, domain)
    kernels = gaussian_kernels(domain, image.ndim, sigma, orders, truncate)
    halo = total_reach(kernels, image.ndim)
    if not any(orders):
        dtype = smooth_type(image.dtype)
        return run(image, _smooth, halo=halo, dtype=dtype, mode=mode, kernels=kernels, cval=cval)
    kernels = scale_kernels(kernels, 1 / float(np.prod(domain.spacing**orders)))
    dtype = float_type(image.dtype)
    return run(image, correlate_all, halo=halo, dtype=dtype, mode=mode, kernels=kernels, cval=cval)


def scale_kernels(kernels: Sequence[Any], factor: float) -> list[Any]:
    """Return kernels whose result is `factor` times that of the given ones."""
    return [kernels[0] * factor, *kernels[1:]]


def uniform_filter(
    image: SpatialArray,
    size: PerAxis,
    *,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by the mean over a box around it.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    size : float, sequence of float, or mapping of str to float
        Width of the box in world units, along the array's axes. Voxels that lie in it in part
        count in part, so that the width is exact on any spacing, and the box is centred.
    axes, mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the same grid; integers are rounded.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> uniform_filter(sd.SpatialArray([0.0, 0.0, 4.0, 0.0, 0.0], spacing=0.5), 1.0).data
    array([0., 1., 2., 1., 0.])
    """
    image = check_image(image, "uniform_filter")
    domain = find_domain(image, axes, "uniform_filter")
    square = domain._replace(metric=np.diag(np.diag(domain.metric)))
    kernels = []
    for i, width in enumerate(per_axis(size, square, "size") / domain.spacing):
        one = domain._replace(axes=(domain.axes[i],))
        kernels.append(embed(box_weights(float(width)), one, image.ndim))
    return run(
        image,
        _smooth,
        halo=total_reach(kernels, image.ndim),
        dtype=smooth_type(image.dtype),
        mode=mode,
        kernels=[w for w in kernels if w.size > 1],
        cval=cval,
    )


# --- ranks --------------------------------------------------------------------------------


def propagate_nan(
    engine: Engine,
    block: Any,
    apply: Callable[[Any], Any],
    footprint: Any,
    mode: str,
    cval: Any,
) -> Any:
    """Apply a rank filter, and set voxels to NaN whose neighbourhood holds a NaN.

    Comparing with NaN gives answers that depend on the order of the voxels.
    """
    if block.dtype.kind != "f":
        return apply(block)
    missing = engine.xp.isnan(block)
    outside = mode == "constant" and cval != cval
    if not outside and not bool(missing.any()):
        return apply(block)
    found = apply(engine.xp.where(missing, block.dtype.type(0), block))
    reached = engine.nd.maximum_filter(
        missing.astype(np.uint8), footprint=footprint, mode=mode, cval=int(outside)
    )
    return engine.xp.where(reached.astype(bool), block.dtype.type("nan"), found)


def _apply_rank_filter(
    engine: Engine,
    block: Any,
    *,
    function: str,
    footprint: Any,
    mode: str,
    cval: Any,
    options: dict[str, Any],
) -> Any:
    where = engine.xp.asarray(footprint)
    half = block.dtype.char == "e"
    filled = 0 if cval != cval else cval

    def apply(values: Any) -> Any:
        work = values.astype("f") if half else values
        found = getattr(engine.nd, function)(
            work, footprint=where, mode=mode, cval=filled, **options
        )
        return found.astype("e") if half else found

    return propagate_nan(engine, block, apply, where, mode, cval)


def run_rank_filter(
    image: SpatialArray,
    function: str,
    size: PerAxis | None,
    radius: PerAxis | None,
    footprint: ArrayLike | None,
    axes: Axes,
    mode: str,
    cval: Any,
    options: dict[str, Any] | None = None,
) -> SpatialArray:
    """Run one of SciPy's filters that compare values within a footprint."""
    image = check_image(image, function, "biuf")
    domain = find_domain(image, axes, function)
    where = embed(footprint_of(domain, size, radius, footprint), domain, image.ndim)
    return run(
        image, _apply_rank_filter, halo=kernel_reach(where), mode=mode, function=function,
        footprint=where, cval=cval, options=options or {},
    )  # fmt: skip


def median_filter(
    image: SpatialArray,
    size: PerAxis | None = None,
    *,
    radius: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by the median of a neighbourhood.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    size : float, sequence of float, or mapping of str to float, optional
        Neighbourhood: the voxels with centres within a box of this width in world units, along
        the array's axes.
    radius : float, sequence of float, or mapping of str to float, optional
        Neighbourhood: the voxels with centres within this distance in the world, a ball on
        anisotropic, oblique and sheared grids alike. Orthogonal axes may have one each.
    footprint : array_like of bool, optional
        Neighbourhood in voxels, along `axes`, of odd sides.
    axes, mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the same grid and of the same type. NaN where the neighbourhood holds NaN.

    Raises
    ------
    TypeError
        If not exactly one neighbourhood is given.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> median_filter(sd.SpatialArray([1, 9, 2, 3, 8], spacing=0.5), radius=0.5).data
    array([1, 2, 3, 3, 8])
    """
    return run_rank_filter(image, "median_filter", size, radius, footprint, axes, mode, cval)


def percentile_filter(
    image: SpatialArray,
    percentile: float,
    size: PerAxis | None = None,
    *,
    radius: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by a percentile of a neighbourhood.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    percentile : float
        From 0 to 100; negative ones count from 100 down. A value of the neighbourhood is taken,
        none is made between two.
    size, radius, footprint
        The neighbourhood, as for `median_filter`.
    axes, mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the grid of the image.
    """
    options = {"percentile": percentile}
    return run_rank_filter(
        image, "percentile_filter", size, radius, footprint, axes, mode, cval, options
    )


def rank_filter(
    image: SpatialArray,
    rank: int,
    size: PerAxis | None = None,
    *,
    radius: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by the value of a rank in its neighbourhood.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    rank : int
        0 for the smallest, -1 for the largest.
    size, radius, footprint
        The neighbourhood, as for `median_filter`.
    axes, mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the grid of the image.
    """
    options = {"rank": rank}
    return run_rank_filter(image, "rank_filter", size, radius, footprint, axes, mode, cval, options)


def maximum_filter(
    image: SpatialArray,
    size: PerAxis | None = None,
    *,
    radius: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by the largest value of a neighbourhood.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    size, radius, footprint
        The neighbourhood, as for `median_filter`.
    axes, mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the grid of the image.
    """
    return run_rank_filter(image, "maximum_filter", size, radius, footprint, axes, mode, cval)


def minimum_filter(
    image: SpatialArray,
    size: PerAxis | None = None,
    *,
    radius: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by the smallest value of a neighbourhood.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    size, radius, footprint
        The neighbourhood, as for `median_filter`.
    axes, mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the grid of the image.
    """
    return run_rank_filter(image, "minimum_filter", size, radius, footprint, axes, mode, cval)
