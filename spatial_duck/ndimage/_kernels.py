"""The weights of Gaussian kernels and their derivatives, on any grid.

The weights are a polynomial times a Gaussian of the metric, ``exp(-d @ metric @ d / 2)`` at index
offsets ``d``, cut off at a box. For smoothing the polynomial is a constant, as in SciPy. Otherwise
its coefficients are such that polynomials of the image up to the order are differentiated exactly:
a ramp has its slope whatever the spacing, where the sampled derivative of a Gaussian narrower than
a voxel has almost none. The same serves smoothing by less than 0.8 voxels, where sampling a
Gaussian misses its variance: the weights then have it.
"""

from __future__ import annotations

import math
from itertools import product
from typing import TYPE_CHECKING

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.geometry._rounding import count_voxels

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["box_weights", "gaussian_weights"]

#: Standard deviation in voxels below which a sampled Gaussian has another variance than it should.
_MIN_SAMPLED_SIGMA = 0.8
#: Least weight, before correction, of the voxels that a derivative needs.
_MIN_WEIGHT = 1e-6
#: Most voxels of a dense kernel; larger ones would take too long.
_MAX_KERNEL_SIZE = 1 << 16


def gaussian_weights(metric: Floats, orders: Sequence[int], truncate: float) -> Floats:
    """Return the correlation weights of a Gaussian derivative.

    Parameters
    ----------
    metric : ndarray of float, shape (n, n)
        Inverse of the Gaussian's covariance, in voxels.
    orders : sequence of int
        Order of the derivative along each axis, by index.
    truncate : float
        Where the kernel ends, in standard deviations along each axis.

    Returns
    -------
    ndarray of float
        With sides of odd length, one for each axis.

    Raises
    ------
    GeometryError
        If a dense kernel would be too large to be of use.

    Examples
    --------
    >>> gaussian_weights(np.array([[1e4]]), [1], 4.0)
    array([-0.5,  0. ,  0.5])
    """
    covariance = np.linalg.inv(metric)
    deviations = np.sqrt(np.diag(covariance))
    degree = sum(orders)
    coarse = not degree and bool(np.linalg.eigvalsh(covariance)[0] < _MIN_SAMPLED_SIGMA**2)
    least = max((degree + 1) // 2, int(coarse))
    reach = [max(int(truncate * s + 0.5), least) for s in deviations]
    size = math.prod(2 * r + 1 for r in reach)
    if len(reach) > 1 and size > _MAX_KERNEL_SIZE:
        raise GeometryError(
            f"a Gaussian on axes that are not at right angles needs one dense kernel, here of "
            f"{size} voxels ({_MAX_KERNEL_SIZE} at most): resample onto an orthogonal grid, or "
            "smooth at a coarser level of a pyramid"
        )
    lines = [np.arange(-r, r + 1, dtype=np.float64) for r in reach]
    offsets = np.stack(np.meshgrid(*lines, indexing="ij"), axis=-1)
    exponent = np.einsum("...i,ij,...j->...", offsets, metric, offsets) / 2
    bell = np.exp(-exponent)
    if least:  # the nearest voxels get a weight, however narrow the Gaussian is
        near = (abs(offsets) <= least).all(axis=-1)
        bell[near] = np.maximum(bell[near], _MIN_WEIGHT)
    plain: Floats = np.asarray(bell / bell.sum())
    if not degree and not coarse:
        return plain
    highest = degree or 2
    powers = [p for p in product(range(highest + 1), repeat=len(orders)) if sum(p) <= highest]
    basis = np.stack([(offsets**p).prod(axis=-1).ravel() for p in powers])
    wanted = np.array([_moment(p, orders, covariance if coarse else None) for p in powers])
    # Minimal change in the Gaussian's own weighting; the rank may fall short on few voxels.
    weighted = basis * plain.ravel()
    scale = np.sqrt((weighted * basis).sum(axis=1))
    scaled = (weighted / scale[:, None]) @ (basis / scale[:, None]).T
    coefficients = np.linalg.lstsq(scaled, wanted / scale, rcond=None)[0] / scale
    weights: Floats = np.asarray((coefficients @ weighted).reshape(plain.shape))
    negative = coarse and bool((weights < 0).any())
    return plain if negative else weights


def _moment(power: tuple[int, ...], orders: Sequence[int], covariance: Floats | None) -> float:
    """Return the moment that the weights of a derivative, or of a Gaussian, must have."""
    if covariance is None:
        return math.prod(map(math.factorial, power)) if power == tuple(orders) else 0.0
    if not sum(power):
        return 1.0
    axes = [axis for axis, n in enumerate(power) for _ in range(n)]
    return float(covariance[axes[0], axes[1]]) if len(axes) == 2 else 0.0


def box_weights(width: float) -> Floats:
    """Return the weights of a mean over a width in voxels, of which the ends count in part.

    Examples
    --------
    >>> box_weights(3.0) * 3, box_weights(4.0) * 4
    (array([1., 1., 1.]), array([0.5, 1. , 1. , 1. , 0.5]))
    """
    if width <= 1:
        return np.ones(1)
    reach = count_voxels((width - 1) / 2)
    weights = np.ones(2 * reach + 1)
    weights[[0, -1]] = min((width - 1) / 2 - (reach - 1), 1.0)
    weights /= weights.sum()
    return weights
