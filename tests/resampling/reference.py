"""Two referees for resampling: SimpleITK, and points looked up one by one with SciPy."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry

#: Names of the interpolations: ours, SimpleITK's, SciPy's order.
ORDERS = {"nearest": 0, "linear": 1}


def itk_geometry(shape: Any, spacing: Any, origin: Any, direction: Any) -> Geometry:
    """Return a z, y, x grid in ITK's world."""
    return Geometry(shape, spacing, origin, direction, world=("x", "y", "z"), frame="LPS")


def to_itk(data: np.ndarray, geometry: Geometry) -> Any:
    """Return a SimpleITK image of an array on such a grid."""
    import SimpleITK as sitk

    image = sitk.GetImageFromArray(np.ascontiguousarray(data))
    image.SetSpacing(geometry.spacing[::-1].tolist())
    image.SetOrigin(geometry.origin.tolist())
    image.SetDirection(geometry.direction[:, ::-1].ravel().tolist())
    return image


def by_itk(
    data: np.ndarray,
    source: Geometry,
    target: Geometry,
    interpolation: str,
    fill: float,
    transform: Any = None,
) -> np.ndarray:
    """Resample with SimpleITK."""
    import SimpleITK as sitk

    codes = {
        "nearest": sitk.sitkNearestNeighbor,
        "linear": sitk.sitkLinear,
        "cubic": sitk.sitkBSpline3,
        "quintic": sitk.sitkBSpline5,
        "lanczos": sitk.sitkLanczosWindowedSinc,
    }
    task = sitk.ResampleImageFilter()
    task.SetSize(target.shape[::-1])
    task.SetOutputSpacing(target.spacing[::-1].tolist())
    task.SetOutputOrigin(target.origin.tolist())
    task.SetOutputDirection(target.direction[:, ::-1].ravel().tolist())
    task.SetInterpolator(codes[interpolation])
    task.SetDefaultPixelValue(float(fill))
    task.SetNumberOfThreads(1)
    if transform is not None:
        task.SetTransform(transform)
    return sitk.GetArrayFromImage(task.Execute(to_itk(data, source)))


def by_points(
    data: np.ndarray, source: Geometry, out: Geometry, interpolation: str, fill: float
) -> tuple[np.ndarray, np.ndarray]:
    """Resample voxel by voxel; and say how far each is from a place where rules change.

    Plain axes must be the same, and in the same order, in source and output.
    """
    from scipy.ndimage import map_coordinates

    index = np.stack(np.meshgrid(*map(np.arange, out.shape), indexing="ij"), axis=-1)
    world = out.index_to_physical(index.reshape(-1, out.ndim))
    moved = out if source.frame is None else out.to_frame(source.frame)
    units = dict(zip(source.world.axes, source.world.units, strict=True))
    moved = moved.to_unit({n: u for n, u in units.items() if u}).to_world(source.world.axes)
    world = moved.index_to_physical(index.reshape(-1, out.ndim))
    position = source.physical_to_index(world)[:, list(source.sampled_axes)]
    lengths = np.array([source.shape[a] for a in source.sampled_axes])
    inside = ((position >= -0.5) & (position < lengths - 0.5)).all(axis=1)
    margin = np.abs(position - np.rint(position * 2) / 2).min(axis=1)
    plain = [a for a in range(source.ndim) if a not in source.sampled_axes]
    kept = [a for a in range(out.ndim) if a not in out.sampled_axes]
    values = np.full(len(position), fill, dtype=np.result_type(data.dtype, np.float64))
    order = ORDERS[interpolation]
    for chosen in product(*[range(source.shape[a]) for a in plain]):
        here = inside.copy()
        for axis, number in zip(kept, chosen, strict=True):
            here &= index.reshape(-1, out.ndim)[:, axis] == number
        key: list[Any] = [slice(None)] * source.ndim
        for axis, number in zip(plain, chosen, strict=True):
            key[axis] = number
        part = data[tuple(key)].astype(np.float64)
        points = np.clip(position[here], 0, lengths - 1)
        if order == 0:
            points = np.floor(points + 0.5)
        values[here] = map_coordinates(part, points.T, order=order, mode="nearest", prefilter=False)
    return values.reshape(out.shape), margin.reshape(out.shape)
