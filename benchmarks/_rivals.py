"""The same resampling by other libraries: functions for `benchmark_resample`.

Each takes the values, the grids of source and target as geometries, the interpolation and perhaps
displacements on the target's grid, and returns a function that resamples and gives a NumPy array.
Those that a library cannot do raise `NotDone` with the reason.
"""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np

import spatial_duck as sd

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.geometry import Geometry

    Task = Callable[[], np.ndarray]

__all__ = ["RIVALS", "THREADS", "NotDone", "index_matrix"]

THREADS = 2
_ORDER = {"nearest": 0, "linear": 1, "cubic": 3}


class NotDone(Exception):
    """A library does not offer a kind of work."""


class _View(np.ndarray):
    """A view of an image's values, with the image, which it does not own otherwise."""

    image: Any


def _matrix(geometry: Geometry) -> np.ndarray:
    """Return the matrix from indices to the world, shape (4, 4), in array-axis order."""
    matrix = np.eye(4)
    matrix[:3, :3] = geometry.direction * geometry.spacing
    matrix[:3, 3] = geometry.origin
    return matrix


def index_matrix(source: Geometry, target: Geometry) -> np.ndarray:
    """Return the matrix from indices of the target to those of the source, shape (4, 4)."""
    found: np.ndarray = np.linalg.inv(_matrix(source)) @ _matrix(target)
    return found


def _order(how: str, moved: Any) -> int:
    if how not in _ORDER or moved is not None:
        raise NotDone("has no displacement fields" if moved is not None else f"has no {how}")
    return _ORDER[how]


def ours(data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any) -> Task:
    image = sd.SpatialArray(data, source)
    transform = None
    if moved is not None:
        grid = sd.Geometry(
            moved.shape, target.spacing, target.origin, target.direction,
            dims=("z", "y", "x", None), world=("x", "y", "z"),
        )  # fmt: skip
        transform = sd.DisplacementField(sd.SpatialArray(moved, grid))
    return lambda: sd.resample(image, target, interpolation=how, transform=transform).data


def with_simpleitk(
    data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any
) -> Task:
    import SimpleITK as sitk

    def place(image: Any, grid: Geometry) -> Any:
        image.SetSpacing(grid.spacing[::-1].tolist())
        image.SetOrigin(grid.origin.tolist())
        image.SetDirection(grid.direction[:, ::-1].ravel().tolist())
        return image

    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    image = place(sitk.GetImageFromArray(data), source)
    task = sitk.ResampleImageFilter()
    task.SetSize(target.shape[::-1])
    task.SetOutputSpacing(target.spacing[::-1].tolist())
    task.SetOutputOrigin(target.origin.tolist())
    task.SetOutputDirection(target.direction[:, ::-1].ravel().tolist())
    task.SetInterpolator({
        "nearest": sitk.sitkNearestNeighbor, "linear": sitk.sitkLinear,
        "cubic": sitk.sitkBSpline3, "lanczos": sitk.sitkLanczosWindowedSinc,
    }[how])  # fmt: skip
    task.SetNumberOfThreads(THREADS)
    if moved is not None:
        field = place(sitk.GetImageFromArray(moved.astype(float), isVector=True), target)
        task.SetTransform(sitk.DisplacementFieldTransform(field))

    def run() -> np.ndarray:
        done = task.Execute(image)
        found = sitk.GetArrayViewFromImage(done).view(_View)
        found.image = done
        return found

    return run


def with_scipy(data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any) -> Task:
    from scipy.ndimage import affine_transform

    order, matrix = _order(how, moved), index_matrix(source, target)
    return lambda: affine_transform(
        data, matrix[:3, :3], matrix[:3, 3], target.shape, order=order, output=data.dtype
    )


def with_nibabel(
    data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any
) -> Task:
    import nibabel as nib
    from nibabel.processing import resample_from_to

    order = _order(how, moved)
    image = nib.Nifti1Image(data, _matrix(source))
    grid = (target.shape, _matrix(target))
    return lambda: np.asarray(resample_from_to(image, grid, order=order).dataobj)


def with_dask_image(
    data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any
) -> Task:
    import dask.array as da
    from dask_image.ndinterp import affine_transform

    order, matrix = _order(how, moved), index_matrix(source, target)
    if order > 1:
        raise NotDone("has no prefilter of the whole")

    def run() -> np.ndarray:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            lazy = affine_transform(
                da.from_array(data, chunks=64), matrix[:3, :3], offset=matrix[:3, 3],
                output_shape=target.shape, order=order, output_chunks=(64, 64, 64),
            )  # fmt: skip
            found: np.ndarray = lazy.compute(scheduler="threads", num_workers=THREADS)
        return found

    return run


def with_torchio(
    data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any
) -> Task:
    import SimpleITK as sitk
    import torch
    import torchio

    _order(how, moved)
    sitk.ProcessObject.SetGlobalDefaultNumberOfThreads(THREADS)
    image = torchio.ScalarImage(tensor=torch.from_numpy(data[None]), affine=_matrix(source))
    like = torchio.ScalarImage(
        tensor=torch.zeros(1, *target.shape, dtype=torch.uint8), affine=_matrix(target)
    )
    name = {"cubic": "bspline"}.get(how, how)
    task = torchio.Resample(like, image_interpolation=name)
    return lambda: task(image).data[0].numpy()


def with_monai(data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any) -> Task:
    import torch
    from monai.data import MetaTensor
    from monai.transforms import SpatialResample

    _order(how, moved)
    torch.set_num_threads(THREADS)
    mode: Any = {"linear": "bilinear", "cubic": 3}.get(how, how)
    kind = torch.from_numpy(data[:1, :1, :1]).dtype
    task = SpatialResample(mode=mode, padding_mode="constant" if mode == 3 else "zeros", dtype=kind)
    image = MetaTensor(torch.from_numpy(data[None]), affine=torch.from_numpy(_matrix(source)))
    grid = torch.from_numpy(_matrix(target))
    return lambda: np.asarray(task(image, dst_affine=grid, spatial_size=target.shape)[0])


def with_grid_sample(
    data: np.ndarray, source: Geometry, target: Geometry, how: str, moved: Any
) -> Task:
    import torch
    from torch.nn.functional import affine_grid, grid_sample

    if _order(how, moved) > 1:
        raise NotDone("has no cubic in 3-D")
    torch.set_num_threads(THREADS)

    def unit(shape: Any) -> np.ndarray:
        """From -1..1 between the outermost voxel centres, x first, to indices."""
        half = (np.array(shape) - 1) / 2
        matrix = np.eye(4)
        matrix[:3] = np.concatenate([np.diag(half)[:, ::-1], half[:, None]], axis=1)
        return matrix

    matrix = np.linalg.inv(unit(source.shape)) @ index_matrix(source, target) @ unit(target.shape)
    values = torch.from_numpy(data[None, None])
    theta = torch.from_numpy(matrix[None, :3]).to(values.dtype)
    mode = {"linear": "bilinear"}.get(how, how)

    def run() -> np.ndarray:
        points = affine_grid(theta, [1, 1, *target.shape], align_corners=True)
        found: np.ndarray = grid_sample(values, points, mode=mode, align_corners=True)[0, 0].numpy()
        return found

    return run


#: By name; ours first.
RIVALS: dict[str, Callable[..., Task]] = {
    "spatial_duck": ours,
    "SimpleITK": with_simpleitk,
    "scipy.ndimage": with_scipy,
    "torchio Resample": with_torchio,
    "MONAI SpatialResample": with_monai,
    "nibabel resample_from_to": with_nibabel,
    "dask-image": with_dask_image,
    "torch grid_sample": with_grid_sample,
}
