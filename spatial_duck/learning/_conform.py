"""Images on the grid of a network, and predictions on that of the image: `conform`, `restore`.

`conform` brings an image to one orientation, spacing, shape and scale of intensities, and returns
with it a `Conformed`: where the image came from and what was done. `restore` needs nothing else to
bring the network's prediction back to the original grid. World positions never change; only grids
do.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from numbers import Integral
from types import MappingProxyType
from typing import Any, Literal, NamedTuple

import numpy as np
from numpy.typing import ArrayLike, DTypeLike, NDArray

from spatial_duck import backends
from spatial_duck.array import SpatialArray, as_image, is_image
from spatial_duck.blocks import map_blocks
from spatial_duck.blocks._api import with_plain
from spatial_duck.blocks._index_map import bare_grid
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.learning._augmentation import is_mask
from spatial_duck.learning._intensity import Intensity, find_intensity
from spatial_duck.resampling import resample, target_grid
from spatial_duck.resampling._api import resample_onto, voxels_per_axis
from spatial_duck.resampling._physical import reorient
from spatial_duck.transforms._base import sub_world, world_change

__all__ = ["Conformed", "conform", "restore"]

Floats = NDArray[np.float64]

PerAxis = float | Sequence[float | None] | Mapping[str, float]


@dataclass(frozen=True, slots=True)
class Conformed:
    """The record of what `conform` did, from which `restore` works.

    Parameters
    ----------
    original : Geometry
        Geometry of the image that came.
    grid : Geometry
        Geometry of the image that a network gets.
    intensity : Intensity or None
        How its values were scaled.
    """

    original: Geometry
    grid: Geometry
    intensity: Intensity | None = None

    def to_original(self, index: ArrayLike) -> Floats:
        """Return (fractional) indices on the original grid for those on the network's.

        Parameters
        ----------
        index : array_like of float, shape (..., n_sampled)
            One entry for each sampled axis of `grid`.

        Returns
        -------
        ndarray of float, shape (..., n_sampled)
            One entry for each sampled axis of `original`.
        """
        return _convert_index(bare_grid(self.grid), bare_grid(self.original), index)

    def to_conformed(self, index: ArrayLike) -> Floats:
        """Return indices on the network's grid for those on the original one."""
        return _convert_index(bare_grid(self.original), bare_grid(self.grid), index)


def _convert_index(here: Geometry, there: Geometry, index: ArrayLike) -> Floats:
    points = here.index_to_physical(index)
    return there.physical_to_index(points @ world_change(here.world, there.world).T)


# --- there --------------------------------------------------------------------------------


def conform(
    image: SpatialArray,
    *,
    spacing: PerAxis | str | None = None,
    shape: int | Sequence[int | None] | Mapping[str, int] | None = None,
    multiple_of: int | Sequence[int | None] | Mapping[str, int] | None = None,
    orientation: str | None = None,
    frame: str | None = None,
    intensity: str | Sequence[Any] | Intensity | None = None,
    interpolation: str | None = None,
    antialias: bool = False,
    fill: Any = 0,
    dtype: DTypeLike | Literal["auto"] | None = "auto",
) -> tuple[SpatialArray, Conformed]:
    """Resample an image to the grid and scale it to the intensities that a network expects.

    Parameters
    ----------
    image : SpatialArray
        On any backend that `resample` works on; lazy ones stay lazy. Plain axes stay.
    spacing : float, sequence, mapping of str to float, or "fit", optional
        Spacing wanted, given as to `resample`, for the axes after they are reoriented. ``"fit"``
        makes the extent of the image fill `shape`. By default spacings stay.
    shape : int, sequence or mapping of str to int, optional
        Number of voxels wanted. The grid is cut and continued about its centre, by whole voxels.
    multiple_of : int, sequence or mapping of str to int, optional
        The grid is continued until its lengths are multiples of these, as networks that halve and
        double them need it.
    orientation : str, optional
        Where the space axes are to run to, such as ``"RAS"``: the nearest, by permutation and
        flips alone, as `reorient` makes it.
    frame : str, optional
        Anatomical frame of the world coordinates wanted, which moves nothing.
    intensity : str, sequence or Intensity, optional
        Rule by which values are scaled: ``"zscore"``, ``"minmax"``, ``"percentile"`` or
        ``"ct-window"``, or one with its numbers: see `intensity.find_intensity`. What counts are
        the voxels of the image, before anything is filled in.
    interpolation : str, optional
        As for `resample`; ``"nearest"`` or ``"label"`` for labels.
    antialias : bool
        Smooth along axes where voxels become larger, as for `resample`.
    fill : scalar
        Value, before scaling, of voxels outside the image.
    dtype : optional
        Type of the values; None for what they are. By default float32, and what they are where the
        interpolation makes no new values: those of labels.

    Returns
    -------
    conformed : SpatialArray
        The image on the grid wanted.
    record : Conformed
        For `restore`.

    Raises
    ------
    FrameError
        If an orientation or a frame is wanted and the image has none.
    GeometryError
        If the numbers do not fit the image's axes.

    Examples
    --------
    >>> image = SpatialArray(np.arange(24.0).reshape(4, 6), spacing=(2.0, 1.0))
    >>> there, record = conform(image, multiple_of=4)
    >>> there.shape, there.dtype
    ((4, 8), dtype('float32'))
    >>> back = restore(there > 5, record, kind="label")
    >>> back.shape, bool((back.data == (image.data > 5)).all())
    ((4, 6), True)
    """
    image = as_image(image, "conform")
    turned = image if orientation is None else reorient(image, orientation)
    turned = turned if frame is None else turned.to_frame(frame)
    geometry = turned.geometry
    grid = _target_grid(geometry, spacing, shape, multiple_of)
    found = None if intensity is None else find_intensity(image, intensity)
    if isinstance(dtype, str) and dtype == "auto":
        dtype = None if found is None and interpolation in ("nearest", "label") else "float32"
    result = _converted(turned, dtype, found is not None) if grid == geometry else resample_onto(
        turned, grid, dtype=dtype, interpolation=interpolation, fill=fill, antialias=antialias
    )  # fmt: skip
    if found is not None:
        scaled = found.apply(result)
        result = scaled if dtype is None else scaled.astype(dtype, copy=False)
    return result, Conformed(image.geometry, result.geometry, found)


def _converted(image: SpatialArray, dtype: Any, changes: bool) -> SpatialArray:
    """Return an image in another type; what is stored, and changes, is read in layers of chunks."""
    kind = image.dtype if dtype is None else np.dtype(dtype)
    if not backends.is_stored(image.data):
        return image.astype(kind, copy=False)
    if kind == image.dtype and not changes:
        return image
    found: SpatialArray = map_blocks(partial(_values, dtype=kind), image, dtype=kind)
    return found


def _values(block: SpatialArray, dtype: Any) -> Any:
    return block.data.astype(dtype)


def _target_grid(geometry: Geometry, spacing: Any, shape: Any, multiple_of: Any) -> Geometry:
    """Return the grid with the spacing, shape and divisibility asked for."""
    grid, sizes = geometry, voxels_per_axis("shape", shape, geometry)
    if isinstance(spacing, str) and spacing[:1].isalpha():
        if spacing != "fit" or shape is None:
            raise ValueError(
                f"spacing must be numbers, or 'fit' together with shape=, got {spacing!r}"
            )
        return target_grid(grid, shape=shape)
    if spacing is not None:
        grid = target_grid(grid, spacing=spacing)
    steps = voxels_per_axis("multiple_of", multiple_of, grid)
    widths = [(0, 0)] * grid.ndim
    for axis, size, step in zip(grid.sampled_axes, sizes, steps, strict=True):
        n = grid.shape[axis]
        wanted = n if size is None else size
        if step is not None:
            wanted = -(-wanted // step) * step
        before = (wanted - n) // 2
        widths[axis] = (before, wanted - n - before)
    return grid.pad(widths) if any(map(any, widths)) else grid


# --- and back -----------------------------------------------------------------------------


class _PredictionKind(NamedTuple):
    """How a kind of prediction is resampled."""

    interpolation: str
    moves: bool = False  # whether its values are vectors
    scaled: bool = False  # whether its values are intensities


_KINDS: Mapping[str, _PredictionKind] = MappingProxyType(
    {
        "label": _PredictionKind("label"),
        "probability": _PredictionKind("linear"),
        "vector": _PredictionKind("linear", moves=True),
        "image": _PredictionKind("linear", scaled=True),
    }
)


def restore(
    prediction: Any,
    record: Conformed,
    kind: str = "label",
    *,
    components: str = "world",
    vector_axis: str | int = "c",
    interpolation: str | None = None,
    fill: Any = 0,
) -> SpatialArray:
    """Resample a network's prediction to the grid of the original image.

    Parameters
    ----------
    prediction : SpatialArray or array
        An image on any grid of the same world; or an array on the record's grid, whose last axes
        are the sampled ones, after as many plain axes as there are. A PyTorch tensor of the host
        is taken without copying.
    record : Conformed
        From `conform`.
    kind : {"label", "probability", "vector", "image"}
        What the values are. Labels are never mixed: each voxel has that of the nearest voxel of
        the answer (or of the interpolation ``"label"``), and where grids coincide they come back
        bit for bit. Probabilities are interpolated linearly. Vectors are too, and rotated.
        Intensities are too, and scaled back.
    components : {"world", "axes", "voxels"}
        What the components of vectors are along: the axes of the record's world, in its order and
        unit; the sampled axes of its grid, in world units; or these, in voxels. They are returned
        along the same of the original.
    vector_axis : str or int
        Axis of the vectors' components.
    interpolation : str, optional
        Another than the kind's.
    fill : scalar
        Value of voxels that the network's grid did not have.

    Returns
    -------
    SpatialArray
        With the sampled axes of the original, and the plain axes of the answer.

    Raises
    ------
    GeometryError
        If an array does not have the shape of the record's grid.

    Examples
    --------
    >>> image = SpatialArray(np.zeros((2, 3, 4)), frame="LPS")
    >>> there, record = conform(image, orientation="RAS")
    >>> answer = np.arange(24).reshape(4, 3, 2)
    >>> restore(answer, record).data[1, 2].tolist() == answer[::-1, ::-1][:, 2, 1].tolist()
    True
    """
    if kind not in _KINDS:
        raise ValueError(f"kind must be one of {', '.join(_KINDS)}, got {kind!r}")
    if not isinstance(record, Conformed):
        raise TypeError(
            f"restore needs the record that conform(...) gave beside the image, got "
            f"{type(record).__name__}"
        )
    how = _KINDS[kind]
    image = _as_image(prediction, record)
    if how.moves:
        image = _rotate_vectors(image, record, components, vector_axis)
    if how.scaled and record.intensity is not None:
        image = record.intensity.undo(image)
    if interpolation is None:
        interpolation = how.interpolation
    original = bare_grid(record.original)
    if bare_grid(image.geometry) == original:
        return image
    if is_mask(image):
        interpolation = "nearest"
    result: SpatialArray = resample(image, original, interpolation=interpolation, fill=fill)
    return result


def _as_image(prediction: Any, record: Conformed) -> SpatialArray:
    """Return a prediction as an image on the network's grid."""
    if is_image(prediction):
        return as_image(prediction, "restore", "prediction")
    grid = bare_grid(record.grid)
    if backends.is_known(type(prediction)) and backends.library(prediction) == "torch":
        prediction = backends.to(prediction, "numpy")
    shape = tuple(getattr(prediction, "shape", ()))
    extra = len(shape) - grid.ndim
    if extra < 0 or shape[extra:] != grid.shape:
        raise GeometryError(
            f"restore: the prediction must be an image, or an array whose last axes have the shape "
            f"{grid.shape} of the record's grid, got shape {shape}"
        )
    names = [f"plain{i}" for i in range(extra - 1)] + ["c"] * (extra > 0)
    geometry = with_plain(grid, dict(zip(names, shape, strict=False)))
    dims = (*[None] * (extra - 1), *geometry.dims[max(extra - 1, 0) :])
    return SpatialArray(prediction, geometry.replace(dims=dims))


def _rotate_vectors(
    image: SpatialArray, record: Conformed, components: str, vector_axis: str | int
) -> SpatialArray:
    """Return vectors in the components of the original grid or world."""
    axis = image.dims.index(vector_axis) if vector_axis in image.dims else vector_axis
    if not isinstance(axis, Integral) or axis % image.ndim in image.geometry.sampled_axes:
        raise GeometryError(
            f"vector_axis must be a plain axis among {image.dims!r}, got {vector_axis!r}"
        )
    matrix = _component_change(record, components)
    axis = int(axis) % image.ndim
    if image.shape[axis] != matrix.shape[1]:
        raise GeometryError(
            f"restore: vectors have {matrix.shape[1]} components for components={components!r}, "
            f"and axis {axis} of the prediction has length {image.shape[axis]}"
        )
    if np.array_equal(matrix, np.eye(len(matrix))):
        return image
    data = backends.dask_form(image.data)
    matrix = matrix.astype(data.dtype if data.dtype.kind == "f" else np.float64)
    turned = np.tensordot(np.asarray(matrix, like=data), data, ((1,), (axis,)))
    others = {name: c for name, c in image.coords.items() if name != "component"}
    return image.replace(np.moveaxis(turned, 0, axis), coords=others)


def _component_change(record: Conformed, components: str) -> Floats:
    """Return the matrix that takes components of the network's grid to those of the original."""
    here, there = bare_grid(record.grid), bare_grid(record.original)
    rows = [[i for i, n in enumerate(g.world.axes) if n in SPACE_AXES] for g in (here, there)]
    names = [[g.world.axes[i] for i in r] for g, r in zip((here, there), rows, strict=True)]
    change: Floats = world_change(sub_world(here.world, names[0]), sub_world(there.world, names[1]))
    if components == "world":
        return change
    if components not in ("axes", "voxels"):
        raise ValueError(f"components must be 'world', 'axes' or 'voxels', got {components!r}")
    ours, theirs = [
        _space_steps(g, r, components) for g, r in zip((here, there), rows, strict=True)
    ]
    matrix: Floats = np.linalg.pinv(theirs) @ change @ ours
    whole = np.rint(matrix)
    return np.where(np.abs(matrix - whole) < 1e-12, whole, matrix)


def _space_steps(geometry: Geometry, rows: Sequence[int], components: str) -> Floats:
    """Return the world vectors of one unit along each space axis of an image, as columns."""
    direction = geometry.direction[list(rows)]
    steps = direction * geometry.spacing if components == "voxels" else direction
    found: Floats = steps[:, direction.any(axis=0)]
    return found
