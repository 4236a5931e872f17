"""Derivatives per world unit: gradients as vectors in the world, magnitudes, Laplacians.

Differences along the array's axes become derivatives in the world through the inverse of the steps
from voxel to voxel, so that they are right on anisotropic, oblique and sheared grids and for slices
that live in 3-D. Results are floating; on a lazy image they are lazy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.ndimage._domain import Axes, Domain, PerAxis, embed, find_domain, groups
from spatial_duck.ndimage._filters import (
    correlate_all,
    float_type,
    gaussian_kernels,
    scale_kernels,
    total_reach,
)
from spatial_duck.ndimage._running import check_image, run

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.ndimage._running import Engine

__all__ = [
    "gaussian_gradient_magnitude",
    "gaussian_laplace",
    "gradient",
    "gradient_magnitude",
    "laplace",
    "prewitt",
    "sobel",
]

#: Weights of Sobel's and Prewitt's operators across the axis of the difference.
_SOBEL = np.array([1.0, 2.0, 1.0]) / 4
_PREWITT = np.ones(3) / 3
#: Centred differences by order.
_DIFFERENCES = {0: [0.0, 1.0, 0.0], 1: [-0.5, 0.0, 0.5], 2: [1.0, -2.0, 1.0]}


def _index_derivatives(
    image: SpatialArray,
    domain: Domain,
    sigma: PerAxis | None,
    truncate: float,
    mode: str,
    cval: Any,
) -> list[SpatialArray]:
    """Return the derivatives by index along each axis of a domain."""
    dtype = float_type(image.dtype)
    found = []
    for i, axis in enumerate(domain.axes):
        if sigma is None:
            halo = [int(k == axis) for k in range(image.ndim)]
            found.append(run(image, _central_difference, halo=halo, dtype=dtype, axis=axis))
            continue
        orders = [int(k == i) for k in range(len(domain.axes))]
        kernels = gaussian_kernels(domain, image.ndim, sigma, orders, truncate)
        halo = list(total_reach(kernels, image.ndim))
        found.append(
            run(image, correlate_all, halo=halo, dtype=dtype, mode=mode, kernels=kernels, cval=cval)
        )
    return found


def _central_difference(engine: Engine, block: Any, *, axis: int, mode: str) -> Any:
    """Return centred differences, one-sided at the ends, which are exact for a ramp."""
    del mode
    values = block.astype(float_type(block.dtype), copy=False)
    if block.shape[axis] == 1:
        return engine.xp.zeros_like(values)
    return engine.xp.gradient(values, axis=axis)


def _linear_combination(images: Sequence[SpatialArray], factors: Sequence[float]) -> SpatialArray:
    """Return the sum of images times factors; images with the factor 0 are left out."""
    total: Any = None
    for image, factor in zip(images, factors, strict=True):
        if factor:
            term = image * image.dtype.type(factor)
            total = term if total is None else total + term
    found: SpatialArray = images[0] * images[0].dtype.type(0) if total is None else total
    return found


def gradient(
    image: SpatialArray,
    sigma: PerAxis | None = None,
    *,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
) -> SpatialArray:
    """Return the gradient at each voxel, a vector in the world.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    sigma : float, sequence of float, or mapping of str to float, optional
        Standard deviation, in world units, of a Gaussian that smooths first. Without it, centred
        differences are taken, and one-sided ones at the ends, as by `numpy.gradient`.
    axes : str, int, or sequence of these, optional
        The array axes that the image changes along; all space axes by default.
    mode, cval, truncate
        As for `gaussian_filter`, where sigma is given.

    Returns
    -------
    SpatialArray, shape ``(n_world, *image.shape)``
        Along the new first axis: the derivative per world unit along each space axis of the
        world (and others that `axes` move along), in the order of the image's world axes. The
        gradient of a slice that lives in 3-D lies in its plane; along an axis with one voxel the
        image counts as constant.

    Raises
    ------
    GeometryLossError
        If positions that are needed were lost.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> image = sd.SpatialArray(np.arange(6.0).reshape(2, 3), spacing=(1.0, 0.5))
    >>> gradient(image).data[:, 0, 0]
    array([3., 2.])
    """
    image = check_image(image, "gradient")
    domain = find_domain(image, axes, "gradient")
    slopes = _index_derivatives(image, domain, sigma, truncate, mode, cval)
    turn: Any = domain.steps @ domain.inverse
    turn[abs(turn) < 1e-15 * abs(turn).max(initial=0.0)] = 0.0
    components: list[Any] = [_linear_combination(slopes, row.tolist()) for row in turn]
    stacked: SpatialArray = np.stack(components)  # type: ignore[assignment]
    return stacked.replace(attrs=image.attrs)


def _magnitude(slopes: list[SpatialArray], domain: Domain) -> SpatialArray:
    """Return the length of a gradient from the derivatives by index."""
    turned = np.linalg.cholesky(domain.inverse)
    parts: list[Any] = [_linear_combination(slopes, row.tolist()) for row in turned.T]
    total = parts[0] * parts[0].conj()
    for part in parts[1:]:
        total = total + part * part.conj()
    return np.sqrt(total.real if np.dtype(total.dtype).kind == "c" else total)  # type: ignore[no-any-return]


def gradient_magnitude(
    image: SpatialArray, sigma: PerAxis | None = None, *, axes: Axes = None
) -> SpatialArray:
    """Return the length of the gradient, per world unit.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    sigma : float, sequence of float, or mapping of str to float, optional
        Smooths first; as for `gradient`.
    axes : str, int, or sequence of these, optional
        As for `gradient`.

    Returns
    -------
    SpatialArray
        On the same grid.
    """
    image = check_image(image, "gradient_magnitude")
    domain = find_domain(image, axes, "gradient_magnitude")
    return _magnitude(_index_derivatives(image, domain, sigma, 4.0, "reflect", 0.0), domain)


def gaussian_gradient_magnitude(
    image: SpatialArray,
    sigma: PerAxis,
    *,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
) -> SpatialArray:
    """Return the length of the gradient of a smoothed image, per world unit.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    sigma, axes, mode, cval, truncate
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the same grid, floating.
    """
    image = check_image(image, "gaussian_gradient_magnitude")
    domain = find_domain(image, axes, "gaussian_gradient_magnitude")
    return _magnitude(_index_derivatives(image, domain, sigma, truncate, mode, cval), domain)


def _laplacian_terms(domain: Domain) -> list[tuple[list[int], float]]:
    """Return the second derivatives by index that make a Laplacian, and their factors."""
    n = len(domain.axes)
    terms = []
    for i in range(n):
        for j in range(i, n):
            factor = float(domain.inverse[i, j]) * (1 if i == j else 2)
            if any(i in group and j in group for group in groups(domain)):
                terms.append(([(k == i) + (k == j) for k in range(n)], factor))
    return terms


def gaussian_laplace(
    image: SpatialArray,
    sigma: PerAxis,
    *,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
    truncate: float = 4.0,
) -> SpatialArray:
    """Return the Laplacian of a smoothed image, per squared world unit.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    sigma, axes, mode, cval, truncate
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the same grid, floating.
    """
    image = check_image(image, "gaussian_laplace")
    domain = find_domain(image, axes, "gaussian_laplace")
    passes = [
        scale_kernels(gaussian_kernels(domain, image.ndim, sigma, orders, truncate), factor)
        for orders, factor in _laplacian_terms(domain)
    ]
    halo = np.max([total_reach(kernels, image.ndim) for kernels in passes], axis=0).tolist()
    dtype = float_type(image.dtype)
    return run(
        image, _sum_of_correlations, halo=halo, dtype=dtype, mode=mode, passes=passes, cval=cval
    )


def _sum_of_correlations(
    engine: Engine, block: Any, *, passes: Sequence[Any], mode: str, cval: Any
) -> Any:
    total = correlate_all(engine, block, kernels=passes[0], mode=mode, cval=cval)
    for kernels in passes[1:]:
        total = total + correlate_all(engine, block, kernels=kernels, mode=mode, cval=cval)
    return total


def laplace(
    image: SpatialArray, *, axes: Axes = None, mode: str = "reflect", cval: Any = 0.0
) -> SpatialArray:
    """Return the Laplacian by second differences, per squared world unit.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    axes, mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the same grid, floating.
    """
    image = check_image(image, "laplace")
    domain = find_domain(image, axes, "laplace")
    stencil = np.zeros((3,) * len(domain.axes))
    for orders, factor in _laplacian_terms(domain):
        stencil += factor * _outer_product([_DIFFERENCES[n] for n in orders])
    kernels = [embed(stencil, domain, image.ndim)]
    halo = total_reach(kernels, image.ndim)
    dtype = float_type(image.dtype)
    return run(image, correlate_all, halo=halo, dtype=dtype, mode=mode, kernels=kernels, cval=cval)


def _outer_product(lines: Sequence[Any]) -> Any:
    product = np.ones(())
    for line in lines:
        product = np.multiply.outer(product, np.asarray(line))
    return product


def sobel(
    image: SpatialArray,
    axis: str | int = -1,
    *,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Return the derivative along one axis by Sobel's operator, per world unit.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    axis : str or int, optional
        The array axis to differentiate along, in its direction in the world. By default the last
        space axis.
    axes : str, int, or sequence of these, optional
        Axes that take part: across the others of them the image is smoothed by 1, 2, 1.
    mode, cval
        As for `gaussian_filter`.

    Returns
    -------
    SpatialArray
        On the same grid, floating. A ramp gives its slope: SciPy's result on n axes divided by
        2 · 4ⁿ⁻¹ and by the spacing.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> ramp = sd.SpatialArray(np.tile(np.arange(5.0), (4, 1)), spacing=0.5)
    >>> sobel(ramp, "x").data[1, 1:4]
    array([2., 2., 2.])
    """
    return _derivative_operator(image, axis, axes, mode, cval, _SOBEL, "sobel")


def prewitt(
    image: SpatialArray,
    axis: str | int = -1,
    *,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Return the derivative along one axis by Prewitt's operator, per world unit.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array.
    axis, axes, mode, cval
        As for `sobel`; across the other axes the mean of 3 voxels is taken.

    Returns
    -------
    SpatialArray
        On the same grid, floating. A ramp gives its slope: SciPy's result on n axes divided by
        2 · 3ⁿ⁻¹ and by the spacing.
    """
    return _derivative_operator(image, axis, axes, mode, cval, _PREWITT, "prewitt")


def _derivative_operator(
    image: SpatialArray,
    axis: str | int,
    axes: Axes,
    mode: str,
    cval: Any,
    across: NDArray[np.float64],
    what: str,
) -> SpatialArray:
    image = check_image(image, what)
    domain = find_domain(image, axes, what)
    chosen = domain.axes[-1] if axis == -1 else find_domain(image, axis, what).axes[0]
    if chosen not in domain.axes:
        raise ValueError(f"{what}: axis {axis!r} is not among the axes {domain.names!r}")
    kernels = []
    for i, k in enumerate(domain.axes):
        line = np.array(_DIFFERENCES[1]) / domain.spacing[i] if k == chosen else across
        kernels.append(embed(line, domain._replace(axes=(k,)), image.ndim))
    halo = total_reach(kernels, image.ndim)
    dtype = float_type(image.dtype)
    return run(image, correlate_all, halo=halo, dtype=dtype, mode=mode, kernels=kernels, cval=cval)
