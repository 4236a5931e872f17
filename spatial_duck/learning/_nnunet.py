"""The resampling of nnU-Net v2, with its parameters and its values, in less time and memory.

nnU-Net divides the extent of an array among another number of voxels, as scikit-image's ``resize``
does with ``mode="edge"``: splines go through values that are continued by the outermost ones, and
are clipped to the range of what they go through. Where voxels are much longer along one axis than
along the others, planes are resampled one by one, and that axis by itself (Isensee et al., nnU-Net,
Nature Methods 18, 2021). Labels take the largest interpolated indicator; of several as large that
of the nearest voxel, or else the smallest.

Arrays are (c, x, y, z) in any order of axes, as nnU-Net has them: bare, without a place.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from functools import partial
from numbers import Real
from typing import Any

import numpy as np
from numpy.typing import NDArray

from spatial_duck import backends
from spatial_duck.array import SpatialArray
from spatial_duck.geometry._validation import is_whole
from spatial_duck.learning import _resizing as resizing
from spatial_duck.learning._resizing import INTERPOLATIONS, Steps

__all__ = [
    "resample_data_or_seg_to_shape",
    "resample_data_or_seg_to_spacing",
    "resample_logits_to_labels",
]


def resample_data_or_seg_to_shape(
    data: Any,
    new_shape: Sequence[int],
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    is_seg: bool = False,
    order: int = 3,
    order_z: int = 0,
    force_separate_z: bool | None = False,
    separate_z_anisotropy_threshold: float = 3,
) -> NDArray[Any]:
    """Resample an array to a shape, as nnU-Net's function of this name does.

    Parameters
    ----------
    data : array, shape (c, x, y, z)
        NumPy's, or anything that NumPy takes, such as a tensor in the host's memory.
    new_shape : sequence of int, shape (3,)
        Shape wanted, without channels.
    current_spacing, new_spacing : sequence of float, shape (3,)
        Spacings, by which it is decided whether an axis is resampled by itself.
    is_seg : bool
        Whether the values are labels.
    order : {0, 1, 3, 5}
        Degree of the interpolation.
    order_z : {0, 1, 3, 5}
        Degree along the axis that is resampled by itself.
    force_separate_z : bool, optional
        Whether there is such an axis, that of the largest spacing; by the threshold if None.
    separate_z_anisotropy_threshold : float
        Ratio of the largest to the smallest spacing above which there is one.

    Returns
    -------
    ndarray, shape ``(c, *new_shape)``
        Of the type of the data.

    Raises
    ------
    ValueError
        If the data are not of four axes, or the shape does not fit, or an order is not known.

    Examples
    --------
    >>> data = np.arange(8.0).reshape(1, 2, 2, 2)
    >>> resample_data_or_seg_to_shape(data, (2, 2, 4), (1, 1, 1), (1, 1, 0.5), order=1)[0, 0, 0]
    array([0.  , 0.25, 0.75, 1.  ])
    """
    values = _in_memory(data)
    shape = _check_shape(values.shape, new_shape)
    steps = _steps(
        order, order_z, force_separate_z, current_spacing, new_spacing,
        separate_z_anisotropy_threshold,
    )  # fmt: skip
    if values.shape[1:] == shape:
        return values
    out = np.zeros((len(values), *shape), values.dtype)
    old = values.shape[1:]
    for channel, result in zip(values, out, strict=True):
        bounds = None if is_seg else resizing.limits(channel.__getitem__, old[0], old[0], steps)
        for slab in resizing.cut_slabs(old, shape, steps):
            part = channel[slab.source]
            result[slab.rows] = (
                resizing.labels(part, shape, steps, slab) if is_seg
                else resizing.channel(part, shape, steps, slab, bounds)
            )  # fmt: skip
    return out


def resample_data_or_seg_to_spacing(
    data: Any,
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    is_seg: bool = False,
    order: int = 3,
    order_z: int = 0,
    force_separate_z: bool | None = False,
    separate_z_anisotropy_threshold: float = 3,
) -> NDArray[Any]:
    """Resample an array to a spacing, as nnU-Net's function of this name does.

    Parameters
    ----------
    data, current_spacing, new_spacing, is_seg, order, order_z, force_separate_z
        As for `resample_data_or_seg_to_shape`.
    separate_z_anisotropy_threshold : float
        As for `resample_data_or_seg_to_shape`.

    Returns
    -------
    ndarray, shape (c, x, y, z)
        Along each axis ``round(current / new * n)`` voxels.
    """
    data = _in_memory(data)
    current, new = _check_spacings(current_spacing, new_spacing)
    # Data of other axes than four are refused where the shape is.
    shape = [round(c / s * n) for c, s, n in zip(current, new, data.shape[1:], strict=False)]
    return resample_data_or_seg_to_shape(
        data, shape, current_spacing, new_spacing, is_seg, order, order_z, force_separate_z,
        separate_z_anisotropy_threshold,
    )  # fmt: skip


def resample_logits_to_labels(
    logits: Any,
    new_shape: Sequence[int],
    current_spacing: Sequence[float],
    new_spacing: Sequence[float],
    order: int = 1,
    order_z: int = 0,
    force_separate_z: bool | None = False,
    separate_z_anisotropy_threshold: float = 3,
) -> NDArray[Any]:
    """Resample logits to a shape and return the class of the largest, slab by slab.

    The same as the largest along the classes of what `resample_data_or_seg_to_shape` gives; that
    array, which is as large as all classes together, is never made.

    Parameters
    ----------
    logits : array, shape (classes, x, y, z)
        Any array that can be indexed: NumPy's, a memory map, Zarr's, Dask's, a tensor; or an image
        on one. Parts of one class are read at a time, and of a chunked array each chunk twice at
        most where it reaches over as many rows as a slab.
    new_shape, current_spacing, new_spacing, order, order_z, force_separate_z
        As for `resample_data_or_seg_to_shape`.
    separate_z_anisotropy_threshold : float
        As for `resample_data_or_seg_to_shape`.

    Returns
    -------
    ndarray of uint8, or uint16 for more than 256 classes, shape new_shape
        The first of several that are as large.
    """
    logits = logits.data if isinstance(logits, SpatialArray) else logits
    shape = _check_shape(tuple(logits.shape), new_shape)
    steps = _steps(
        order, order_z, force_separate_z, current_spacing, new_spacing,
        separate_z_anisotropy_threshold,
    )  # fmt: skip
    count, *old = logits.shape
    labels = np.zeros(shape, np.uint8 if count <= 256 else np.uint16)
    chunk = _chunk_rows(logits)
    reads = [partial(_read, logits, number) for number in range(count)]
    bounds = [resizing.limits(read, old[0], max(chunk, 64), steps) for read in reads]
    for slab in resizing.cut_slabs(old, shape, steps, chunk):
        best = np.full((slab.rows.stop - slab.rows.start, *shape[1:]), -np.inf, np.float32)
        for number, read in enumerate(reads):
            found = resizing.channel(read(slab.source), shape, steps, slab, bounds[number])
            _keep_larger(found, number, best, labels[slab.rows])
    return labels


def _in_memory(data: Any) -> NDArray[Any]:
    """Return NumPy's array of an image, or of any array or tensor in the host's memory."""
    data = data.data if isinstance(data, SpatialArray) else data
    if backends.is_known(type(data)):
        data = backends.host_form(backends.adopt(data), "the resampling of nnU-Net")
    return np.asarray(data)


def _read(logits: Any, number: int, rows: slice) -> NDArray[Any]:
    return _in_memory(logits[number, rows])


def _chunk_rows(logits: Any) -> int:
    """Return how many rows of a class lie in one chunk, which are read together."""
    try:
        found = backends.chunks(backends.adopt(logits))
    except TypeError:  # an array of no library that is known, which can be indexed all the same
        return 1
    return 1 if found is None else max(found[1])


def _keep_larger(found: Any, number: int, best: Any, labels: Any) -> None:
    larger = found > best
    if np.isnan(np.max(found)):  # the first NaN counts as the largest, as in NumPy
        larger |= np.isnan(found) & ~np.isnan(best)
    np.copyto(labels, number, where=larger)
    np.maximum(best, found, out=best)


# --- arguments ----------------------------------------------------------------------------


def _check_shape(old: tuple[int, ...], new_shape: Sequence[int]) -> tuple[int, ...]:
    wanted = tuple(new_shape) if isinstance(new_shape, Iterable) else (new_shape,)
    if len(old) != 4 or len(wanted) != 3 or not all(is_whole(n, 1) for n in (*old[1:], *wanted)):
        raise ValueError(
            "expected data of shape (c, x, y, z) that hold voxels, and three whole lengths of 1 or "
            f"more for new_shape, got {old} and {wanted}"
        )
    return tuple([int(n) for n in wanted])


def _check_spacings(*spacings: Sequence[float]) -> list[list[float]]:
    """Return spacings as plain numbers, each list read once."""
    found = []
    for spacing in spacings:
        values = list(spacing) if isinstance(spacing, Iterable) else []
        if len(values) != 3 or not all(isinstance(s, Real) and 0 < s < math.inf for s in values):
            raise ValueError(f"spacings must be three positive numbers, got {spacing!r}")
        found.append([float(s) for s in values])
    return found


def _steps(
    order: int, order_z: int, force: bool | None, current: Sequence[float], new: Sequence[float],
    threshold: float,
) -> Steps:  # fmt: skip
    for name, value in (("order", order), ("order_z", order_z)):
        if not is_whole(value, 0) or value not in INTERPOLATIONS:
            raise ValueError(f"{name} must be 0, 1, 3 or 5, got {value!r}")
    current, new = _check_spacings(current, new)
    if force is not None:
        chosen = current if force else None
    else:
        coarse = [s for s in (current, new) if max(s) / min(s) > threshold]
        chosen = coarse[0] if coarse else None
    longest = [] if chosen is None else [a for a, s in enumerate(chosen) if s == max(chosen)]
    # Where two axes share the largest spacing, no axis is resampled separately.
    return Steps(order, order_z, longest[0] if len(longest) == 1 else None)
