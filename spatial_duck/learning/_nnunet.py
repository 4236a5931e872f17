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

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck.array import SpatialArray
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import resample

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = [
    "resample_data_or_seg_to_shape",
    "resample_data_or_seg_to_spacing",
    "resample_logits_to_labels",
]

_INTERPOLATIONS = {0: "nearest", 1: "linear", 3: "cubic", 5: "quintic"}
#: Voxels of edge padding before spline interpolation, as in SciPy.
_SPLINE_PADDING = 12
#: Output voxels in a slab of logits.
_SLAB_VOXELS = 1 << 20


class _Steps(NamedTuple):
    """How an array is resampled: orders of interpolation, and the axis resampled separately."""

    order: int
    order_apart: int
    apart: int | None


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
    """Bring an array to a shape, as nnU-Net's function of this name does.

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
    values: NDArray[Any] = np.asarray(data)
    shape = _check_shape(values.shape, new_shape)
    steps = _steps(
        order, order_z, force_separate_z, current_spacing, new_spacing,
        separate_z_anisotropy_threshold,
    )  # fmt: skip
    if values.shape[1:] == shape:
        return values
    out = np.zeros((len(values), *shape), values.dtype)
    for channel, result in zip(values, out, strict=True):
        if is_seg:
            result[...] = _resample_labels(channel, shape, steps)
        else:
            result[...] = _resample_channel(channel, shape, steps)
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
    """Bring an array to a spacing, as nnU-Net's function of this name does.

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
    data = np.asarray(data)
    shape = [
        round(old / new * n)
        for old, new, n in zip(current_spacing, new_spacing, data.shape[1:], strict=True)
    ]
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
    """Bring logits to a shape and take the class of the largest, slab by slab.

    The same as the largest along the classes of what `resample_data_or_seg_to_shape` gives; that
    array, which is as large as all classes together, is never made.

    Parameters
    ----------
    logits : array, shape (classes, x, y, z)
        Any array that can be indexed: NumPy's, a memory map, Zarr's, Dask's, a tensor. Parts of
        one class are read at a time.
    new_shape, current_spacing, new_spacing, order, order_z, force_separate_z
        As for `resample_data_or_seg_to_shape`.
    separate_z_anisotropy_threshold : float
        As for `resample_data_or_seg_to_shape`.

    Returns
    -------
    ndarray of uint8, or uint16 for more than 256 classes, shape new_shape
        The first of several that are as large.
    """
    shape = _check_shape(tuple(logits.shape), new_shape)
    steps = _steps(
        order, order_z, force_separate_z, current_spacing, new_spacing,
        separate_z_anisotropy_threshold,
    )  # fmt: skip
    count, *old = logits.shape
    labels = np.zeros(shape, np.uint8 if count <= 256 else np.uint16)
    if order > 1 or (steps.apart is not None and order_z > 1):
        # Splines depend on the whole of a class, which is read once.
        best = np.full(shape, -np.inf, np.float32)
        for number in range(count):
            _keep_larger(
                _resample_channel(np.asarray(logits[number]), shape, steps), number, best, labels
            )
        return labels
    for out, source in _slabs(old, shape):
        best = np.full((out.stop - out.start, *shape[1:]), -np.inf, np.float32)
        for number in range(count):
            values = np.asarray(logits[number, source])
            found = _resample_channel(values, shape, steps, (old[0], source.start, out))
            _keep_larger(found, number, best, labels[out])
    return labels


def _keep_larger(found: Any, number: int, best: Any, labels: Any) -> None:
    larger = found > best
    labels[larger] = number
    np.maximum(best, found, out=best)


def _slabs(old: Sequence[int], shape: Sequence[int]) -> Iterator[tuple[slice, slice]]:
    """Yield ranges along the first axis: of the output, and of the source that it needs."""
    rows = max(_SLAB_VOXELS // max(int(np.prod(shape[1:])), 1), 1)
    ratio = old[0] / shape[0]
    for start in range(0, shape[0], rows):
        stop = min(start + rows, shape[0])
        low = int(np.floor(ratio * (start + 0.5) - 0.5)) - 1
        high = int(np.ceil(ratio * (stop - 0.5) - 0.5)) + 2
        yield slice(start, stop), slice(max(low, 0), min(high, old[0]))


# --- arguments ----------------------------------------------------------------------------


def _check_shape(old: tuple[int, ...], new_shape: Sequence[int]) -> tuple[int, ...]:
    shape = tuple([int(n) for n in new_shape])
    if len(old) != 4 or len(shape) != 3 or min(shape, default=0) < 1:
        raise ValueError(
            "expected data of shape (c, x, y, z) and three lengths of 1 or more for new_shape, "
            f"got {old} and {shape}"
        )
    return shape


def _steps(
    order: int, order_z: int, force: bool | None, current: Sequence[float], new: Sequence[float],
    threshold: float,
) -> _Steps:  # fmt: skip
    for name, value in (("order", order), ("order_z", order_z)):
        if value not in _INTERPOLATIONS:
            raise ValueError(f"{name} must be 0, 1, 3 or 5, got {value!r}")
    if force is not None:
        chosen = current if force else None
    else:
        coarse = [s for s in (current, new) if max(s) / min(s) > threshold]
        chosen = coarse[0] if coarse else None
    longest = [] if chosen is None else [a for a, s in enumerate(chosen) if s == max(chosen)]
    # Where two axes share the largest spacing, no axis is resampled separately.
    return _Steps(order, order_z, longest[0] if len(longest) == 1 else None)


# --- numbers ------------------------------------------------------------------------------


def _resample_channel(
    values: NDArray[Any], shape: Sequence[int], steps: _Steps,
    slab: tuple[int, int, slice] | None = None,
) -> NDArray[Any]:  # fmt: skip
    """Return one channel resampled to a shape, or a slab of it.

    A slab is the whole's length along the first axis, the index that the values begin at, and the
    range of the output that is wanted.
    """
    kind = np.float32 if values.dtype.kind == "f" and values.dtype.itemsize <= 4 else np.float64
    values = values.astype(kind, copy=False)
    if steps.apart is None:
        return _resize(values, shape, steps.order, None, slab, clip=True)
    if steps.order_apart == 0:
        # Planes that no voxel of the output is nearest to are not needed.
        taken = _nearest(values, shape, steps.apart, slab)
        planes, back = np.unique(taken, return_inverse=True)
        values, between = values.take(planes, steps.apart), back
    plane = [n if a != steps.apart else values.shape[a] for a, n in enumerate(shape)]
    flat = slab if steps.apart != 0 else None
    values = _resize(values, plane, steps.order, steps.apart, flat, clip=True)
    if steps.order_apart == 0:
        return values.take(between, steps.apart)
    along = [n if a == steps.apart else values.shape[a] for a, n in enumerate(shape)]
    others = tuple([a for a in range(3) if a != steps.apart])
    return _resize(values, along, steps.order_apart, others, slab if steps.apart == 0 else None)


def _nearest(
    values: Any, shape: Sequence[int], axis: int, slab: tuple[int, int, slice] | None
) -> NDArray[np.intp]:
    """Return the index of the nearest voxel along an axis, for each of the output."""
    length, start, out = (values.shape[axis], 0, slice(0, shape[axis]))
    if slab is not None and axis == 0:
        length, start, out = slab
    position = length / shape[axis] * (np.arange(out.start, out.stop) + 0.5) - 0.5
    found: NDArray[np.intp] = np.floor(np.clip(position, 0, length - 1) + 0.5).astype(np.intp)
    return found - start


def _resize(
    values: NDArray[Any], shape: Sequence[int], order: int, plain: int | tuple[int, ...] | None,
    slab: tuple[int, int, slice] | None = None, *, clip: bool = False,
) -> NDArray[Any]:  # fmt: skip
    """Return values resampled to another number of voxels over the same extent."""
    kept = () if plain is None else (plain,) if isinstance(plain, int) else plain
    axes = [a for a in range(values.ndim) if a not in kept]
    source, target = _grids(values.shape, shape, axes, slab)
    low = high = None
    if clip and order > 1:
        low = values.min(tuple(axes), keepdims=True)
        high = values.max(tuple(axes), keepdims=True)
    if order > 1:
        ends = [
            (_SPLINE_PADDING, _SPLINE_PADDING) if a in axes else (0, 0) for a in range(values.ndim)
        ]
        values, source = np.pad(values, ends, "edge"), source.pad(ends)
    found = np.asarray(
        resample(SpatialArray(values, source), target, interpolation=_INTERPOLATIONS[order]).data
    )
    return found if low is None else np.clip(found, low, high, out=_output_buffer(found))


def _output_buffer(found: NDArray[Any]) -> NDArray[Any] | None:
    return found if found.flags.writeable and found.base is None else None


def _grids(
    old: Sequence[int], new: Sequence[int], axes: Sequence[int],
    slab: tuple[int, int, slice] | None = None,
) -> tuple[Geometry, Geometry]:  # fmt: skip
    """Return the source's grid in voxels, and the target's over the same extent."""
    sampled = ["xyz"[a] for a in axes]
    dims = [name if a in axes else None for a, name in enumerate("xyz")]
    source = Geometry(tuple(old), 1.0, dims=dims, world=sampled)
    lengths, starts = list(old), [0] * len(old)
    if slab is not None:
        lengths[0], starts[0], _ = slab
        source = source.replace(origin=[float(starts[a]) for a in axes])
    steps = [lengths[a] / new[a] for a in axes]
    target = Geometry(
        [new[a] for a in axes], steps, [(s - 1) / 2 for s in steps], dims=sampled, world=sampled
    )
    return source, target if slab is None else target[slab[2]]


# --- labels -------------------------------------------------------------------------------


def _resample_labels(values: NDArray[Any], shape: Sequence[int], steps: _Steps) -> NDArray[Any]:
    """Return one channel of labels resampled to a shape."""
    if steps.apart is None:
        return _vote(values, shape, steps.order, None)
    axis = steps.apart
    if steps.order_apart == 0:
        planes, back = np.unique(_nearest(values, shape, axis, None), return_inverse=True)
        values = values.take(planes, axis)
    plane = [n if a != axis else values.shape[a] for a, n in enumerate(shape)]
    values = _vote(values, plane, steps.order, axis)
    if steps.order_apart == 0:
        return values.take(back, axis)
    if values.shape[axis] == shape[axis]:
        return values
    others = tuple([a for a in range(3) if a != axis])
    out = np.zeros(tuple(shape), values.dtype)
    for label in np.unique(values):  # later ones win, as there
        score = _resize((values == label).astype(np.float64), shape, steps.order_apart, others)
        out[np.round(score) > 0.5] = label
    return out


def _vote(
    values: NDArray[Any], shape: Sequence[int], order: int, plain: int | None
) -> NDArray[Any]:
    nearest = _resize(values, shape, 0, plain)
    if order == 0:
        return nearest
    labels = np.unique(values)
    if len(labels) == 1:
        return nearest
    out = np.full(tuple(shape), labels[0], values.dtype)
    best = np.zeros(tuple(shape))
    for label in labels:
        inside = values == label
        for box, where in _label_boxes(inside, shape, order, plain):
            score = _indicator_score(inside, shape, order, plain, box, where)
            top, result = best[where], out[where]
            wins = (score > top) | ((score == top) & (score > 0) & (nearest[where] == label))
            result[wins] = label
            np.maximum(top, score, out=top)
    return out


def _label_boxes(
    inside: NDArray[np.bool_], shape: Sequence[int], order: int, plain: int | None
) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Yield the box of the source around a label, and the box of the output that it reaches."""
    if order > 1:
        yield tuple([slice(0, n) for n in inside.shape]), tuple([slice(0, n) for n in shape])
        return
    box, where = [], []
    for axis, (n, m) in enumerate(zip(inside.shape, shape, strict=True)):
        line = np.flatnonzero(inside.any(tuple([a for a in range(inside.ndim) if a != axis])))
        first, last = int(line[0]), int(line[-1])
        if axis == plain:
            box.append(slice(first, last + 1))
            where.append(slice(first, last + 1))
            continue
        position = n / m * (np.arange(m) + 0.5) - 0.5
        near = np.flatnonzero((position > first - 1) & (position < last + 1))
        if not len(near):
            return
        low, high = position[near[0]], position[near[-1]]
        box.append(slice(max(int(np.floor(low)), 0), min(int(np.floor(high)) + 2, n)))
        where.append(slice(int(near[0]), int(near[-1]) + 1))
    yield tuple(box), tuple(where)


def _indicator_score(
    inside: NDArray[np.bool_], shape: Sequence[int], order: int, plain: int | None,
    box: tuple[slice, ...], where: tuple[slice, ...],
) -> NDArray[Any]:  # fmt: skip
    if order > 1:
        return _resize(inside.astype(np.float64), shape, order, plain, clip=True)
    axes = [a for a in range(inside.ndim) if a != plain]
    source, target = _grids(inside.shape, shape, axes)
    part = SpatialArray(inside[box].astype(np.float64), source[box])
    return np.asarray(resample(part, target[tuple([where[a] for a in axes])]).data)
