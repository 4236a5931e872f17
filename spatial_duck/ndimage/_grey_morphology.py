"""Grey morphology: erosion, dilation and what is built from them.

A structuring element is given as in `spatial_duck.ndimage._morphology`.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from spatial_duck.array import SpatialArray
from spatial_duck.ndimage._domain import Axes, PerAxis
from spatial_duck.ndimage._filters import run_rank_filter
from spatial_duck.ndimage._running import check_image

__all__ = [
    "black_tophat",
    "grey_closing",
    "grey_dilation",
    "grey_erosion",
    "grey_opening",
    "morphological_gradient",
    "white_tophat",
]


def grey_erosion(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by the smallest value under a flat structuring element.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    radius, size, footprint, axes
        As for `binary_erosion`.
    mode : {"reflect", "constant", "nearest", "mirror", "wrap"}, optional
        How the image goes on beyond its ends.
    cval : scalar, optional
        Value beyond its ends for ``mode="constant"``.

    Returns
    -------
    SpatialArray
        On the same grid and of the same type. NaN where the element covers NaN.
    """
    image = check_image(image, "grey_erosion", "biuf")
    return run_rank_filter(image, "minimum_filter", size, radius, footprint, axes, mode, cval)


def grey_dilation(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Replace each voxel by the largest value under a flat, mirrored structuring element.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    radius, size, footprint, axes, mode, cval
        As for `grey_erosion`.

    Returns
    -------
    SpatialArray
        On the grid of the image.
    """
    image = check_image(image, "grey_dilation", "biuf")
    if footprint is not None:
        footprint = np.flip(np.asarray(footprint))
    return run_rank_filter(image, "maximum_filter", size, radius, footprint, axes, mode, cval)


def grey_opening(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Erode, then dilate: what is bright and narrower than the element goes away.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    radius, size, footprint, axes, mode, cval
        As for `grey_erosion`.

    Returns
    -------
    SpatialArray
        On the grid of the image.
    """
    image = check_image(image, "grey_opening", "biuf")
    element: dict[str, Any] = {"size": size, "footprint": footprint, "axes": axes}
    element |= {"mode": mode, "cval": cval}
    return grey_dilation(grey_erosion(image, radius, **element), radius, **element)


def grey_closing(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Dilate, then erode: what is dark and narrower than the element goes away.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    radius, size, footprint, axes, mode, cval
        As for `grey_erosion`.

    Returns
    -------
    SpatialArray
        On the grid of the image.
    """
    image = check_image(image, "grey_closing", "biuf")
    element: dict[str, Any] = {"size": size, "footprint": footprint, "axes": axes}
    element |= {"mode": mode, "cval": cval}
    return grey_erosion(grey_dilation(image, radius, **element), radius, **element)


def _excess(high: SpatialArray, low: SpatialArray) -> SpatialArray:
    """Return ``max(high - low, 0)`` without overflow."""
    kind = np.dtype(high.dtype).kind
    if kind == "b":
        only: SpatialArray = high & ~low
        return only
    if kind == "i":  # the difference of two int8 needs 9 bits
        wide = f"i{min(2 * np.dtype(high.dtype).itemsize, 8)}"
        high, low = high.astype(wide), low.astype(wide)
    above: Any = np.maximum(high, low)
    excess: SpatialArray = above - low
    return excess


def white_tophat(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Return the image minus its opening: bright detail that is narrower than the element.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    radius, size, footprint, axes, mode, cval
        As for `grey_erosion`.

    Returns
    -------
    SpatialArray
        On the same grid. Signed integers get the next wider type, so that nothing wraps.
    """
    image = check_image(image, "white_tophat", "biuf")
    element: dict[str, Any] = {"size": size, "footprint": footprint, "axes": axes}
    return _excess(image, grey_opening(image, radius, **element, mode=mode, cval=cval))


def black_tophat(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Return the closing minus the image: dark detail that is narrower than the element.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    radius, size, footprint, axes, mode, cval
        As for `grey_erosion`.

    Returns
    -------
    SpatialArray
        On the same grid. Signed integers get the next wider type, so that nothing wraps.
    """
    image = check_image(image, "black_tophat", "biuf")
    element: dict[str, Any] = {"size": size, "footprint": footprint, "axes": axes}
    return _excess(grey_closing(image, radius, **element, mode=mode, cval=cval), image)


def morphological_gradient(
    image: SpatialArray,
    radius: PerAxis | None = None,
    *,
    size: PerAxis | None = None,
    footprint: ArrayLike | None = None,
    axes: Axes = None,
    mode: str = "reflect",
    cval: Any = 0.0,
) -> SpatialArray:
    """Return the range of values under a structuring element: dilation less erosion.

    Parameters
    ----------
    image : SpatialArray
        On a NumPy, CuPy, Dask or Zarr array, of real numbers.
    radius, size, footprint, axes, mode, cval
        As for `grey_erosion`.

    Returns
    -------
    SpatialArray
        On the same grid. Signed integers get the next wider type, so that nothing wraps.
    """
    image = check_image(image, "morphological_gradient", "biuf")
    element: dict[str, Any] = {"size": size, "footprint": footprint, "axes": axes}
    element |= {"mode": mode, "cval": cval}
    high = grey_dilation(image, radius, **element)
    return _excess(high, grey_erosion(image, radius, **element))
