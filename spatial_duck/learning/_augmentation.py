"""Random transforms of images in physical space, with a seed: for training networks.

Rotations are rotations of the patient, not of the voxels: an image with thick slices stays true.
The values of an image, and the labels that belong to it, are moved by one and the same transform.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck import backends
from spatial_duck.array import SpatialArray, as_image
from spatial_duck.errors import GeometryError
from spatial_duck.geometry import Geometry
from spatial_duck.geometry._quantity import has_unit, in_unit, length_in, one_length
from spatial_duck.geometry._world import SPACE_AXES
from spatial_duck.resampling import resample
from spatial_duck.transforms import Affine, BSpline, Composite, DisplacementField, Transform
from spatial_duck.transforms._base import sub_world

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.geometry import World

    Floats = NDArray[np.float64]

__all__ = ["augment", "random_affine", "random_elastic"]

PerWorldAxis = float | Sequence[float]

#: Components of directions below this count as 0.
_MIN_COMPONENT = 1e-9
#: Largest slope of a displacement; below 1 space does not fold.
_MAX_SLOPE = 0.8


def random_affine(
    geometry: Geometry,
    seed: int | np.random.Generator,
    *,
    rotation: PerWorldAxis = 10.0,
    scale: PerWorldAxis = 0.1,
    shear: float = 0.0,
    translation: PerWorldAxis = 0.0,
    flip: Sequence[str] = (),
) -> Affine:
    """Return a random affine transform about the centre of a grid.

    Parameters
    ----------
    geometry : Geometry
        Where the image lies; its world axes x, y and z take part.
    seed : int or numpy.random.Generator
        The same seed gives the same transform.
    rotation : float or sequence of float
        Largest angle, in degrees or in a unit of its own: for each plane of the world's space
        axes, first that of the last two, or one for all. Angles are uniform up to it, either way
        round.
    scale : float or sequence of float
        Largest change of size, as a part of 1, along each space axis of the world or for all. 0.1
        means factors from 1 / 1.1 to 1.1, uniform in their logarithm.
    shear : float
        Largest shear, as a tangent.
    translation : float or sequence of float
        Largest shift along each space axis of the world, in its units.
    flip : sequence of str
        World axes along which to flip, each with probability one half.

    Returns
    -------
    Affine
        For ``resample(image, transform=...)``.

    Raises
    ------
    GeometryError
        If the grid has no space axes, or a number is not valid.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> grid = Geometry((11, 11), spacing=2.0)
    >>> turn = random_affine(grid, 0, rotation=30, translation=0)
    >>> turn([[10.0, 10.0]])
    array([[10., 10.]])
    """
    names = [name for name in geometry.world.axes if name in SPACE_AXES]
    rows = [geometry.world.axes.index(name) for name in names]
    plane = _plane(geometry, rows)
    n = plane.shape[1]
    if n == 0:
        raise GeometryError(f"random_affine needs a space axis, and the grid has none: {geometry}")
    along = [name for name, row in zip(names, plane, strict=True) if np.abs(row).max() == 1]
    flip = tuple(flip)
    unknown = [name for name in flip if name not in along]
    if unknown:
        raise GeometryError(f"flip must name axes of space among {along!r}, got {unknown!r}")
    rotation = in_unit(rotation, "deg", "rotation")
    rng = np.random.default_rng(seed)
    matrix = np.eye(n)
    planes = [(i, j) for j in range(n - 1, 0, -1) for i in range(j - 1, -1, -1)]
    angles = np.deg2rad(
        rng.uniform(-1, 1, len(planes)) * _check_ranges("rotation", rotation, len(planes))
    )
    for (i, j), angle in zip(planes, angles, strict=True):
        turn = np.eye(n)
        c, s = np.cos(angle), np.sin(angle)
        turn[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        matrix = matrix @ turn
    factors = np.exp(rng.uniform(-1, 1, n) * np.log1p(_check_ranges("scale", scale, n)))
    sheared = np.eye(n) + np.triu(rng.uniform(-1, 1, (n, n)) * _check_ranges("shear", shear, 1), 1)
    flips = [next((a for a, row in zip(names, plane, strict=True) if abs(row[k]) == 1), None)
             for k in range(n)]  # fmt: skip
    signs = [-1.0 if name in flip and rng.random() < 0.5 else 1.0 for name in flips]
    matrix = matrix @ sheared @ np.diag(factors * signs)
    shift = plane @ (
        rng.uniform(-1, 1, n)
        * _check_ranges("translation", length_in(translation, geometry.world, "translation"), n)
    )
    center = geometry.center[rows]
    # Across the plane of a slice nothing moves.
    matrix = plane @ matrix @ plane.T + np.eye(len(rows)) - plane @ plane.T
    whole = np.eye(len(rows) + 1)
    whole[:-1, :-1] = matrix
    whole[:-1, -1] = center - matrix @ center + shift
    return Affine(whole, sub_world(geometry.world, names))


def _plane(geometry: Geometry, rows: Sequence[int]) -> Floats:
    """Return orthonormal vectors, as columns, in whose span the transforms of a grid move points.

    Those of the world's space axes, ``rows``; for a slice, which has fewer axes, vectors in its
    plane: the world's own axes where it runs along these, else along its array axes.
    """
    steps = geometry.direction[list(rows)]
    steps = steps[:, np.abs(steps).max(axis=0, initial=0) > 0]
    if steps.shape[1] >= len(rows):
        return np.eye(len(rows))
    used = np.flatnonzero(np.abs(steps).max(axis=1, initial=0) > _MIN_COMPONENT)
    if len(used) == steps.shape[1]:
        return np.eye(len(rows))[:, used]
    found, upper = np.linalg.qr(steps)
    return found * np.sign(np.diagonal(upper))


def random_elastic(
    geometry: Geometry,
    seed: int | np.random.Generator,
    *,
    displacement: PerWorldAxis,
    control: float,
) -> DisplacementField:
    """Return a random smooth displacement of the space around a grid.

    A vector is drawn at each control point, on a grid along the axes of the world, and a cubic
    B-spline goes near them (as in Ronneberger et al., U-Net, MICCAI 2015). Space is not folded.

    Parameters
    ----------
    geometry : Geometry
        Where the image lies. All axes of its world must be axes of space.
    seed : int or numpy.random.Generator
        The same seed gives the same transform.
    displacement : float or sequence of float
        Largest displacement along each axis of the world or for all, in its units.
    control : float
        Distance between control points, in the world's unit.

    Returns
    -------
    DisplacementField
        For ``resample(image, transform=...)``; linear between points a quarter of `control` apart.

    Raises
    ------
    GeometryError
        If a number is not valid, or the displacement so large for the distance between control
        points that it could fold space.

    Examples
    --------
    >>> from spatial_duck.geometry import Geometry
    >>> wave = random_elastic(Geometry((11, 11), spacing=2.0), 0, displacement=1, control=10)
    >>> bool((abs(wave([[10.0, 10.0]]) - 10) <= 1).all())
    True
    """
    world = geometry.world
    n = len(world.axes)
    if any(name not in SPACE_AXES for name in world.axes):
        raise GeometryError(
            f"random_elastic needs a world of space axes alone, got {world.axes!r}; index time "
            "away, and leave it out with geometry.to_world(...)"
        )
    control = one_length(control, world, "control")
    if not 0 < control < np.inf:
        raise GeometryError(f"control must be a positive distance, got {control!r}")
    largest = np.broadcast_to(
        _check_ranges("displacement", length_in(displacement, world, "displacement"), n), n
    )
    # Slopes of cubic B-splines are differences of neighbouring coefficients at most.
    if 2 * float(np.sqrt((largest**2).sum())) * np.sqrt(n) > _MAX_SLOPE * control:
        raise GeometryError(
            f"a displacement of {displacement!r} between control points {control!r} apart could "
            "fold space; take a smaller one, or put them further apart"
        )
    rng = np.random.default_rng(seed)
    low, high = np.asarray(geometry.bounds, dtype=np.float64)
    counts = np.ceil((high - low) / control).astype(int) + 5
    knots = _grid_along(world, counts, control, (low + high) / 2)
    drawn = rng.uniform(-1, 1, (n, *counts.tolist())) * largest.reshape(n, *[1] * n)
    plane = _plane(geometry, range(n))
    drawn = np.tensordot(plane @ plane.T, drawn, 1)  # across the plane of a slice nothing moves
    covered = np.ceil((high - low) / (control / 4)).astype(int) + 3
    fine = _grid_along(world, covered, control / 4, (low + high) / 2)
    return BSpline(drawn, knots).field(fine)


def _grid_along(world: World, counts: NDArray[np.int_], step: float, center: Floats) -> Geometry:
    """Return a grid along the axes of the world about a point."""
    origin = center - step * (counts - 1) / 2
    return Geometry(
        counts.tolist(), [step] * len(counts), origin.tolist(), dims=world.axes,
        sampled=world.axes, world=world,
    )  # fmt: skip


def _check_ranges(what: str, given: PerWorldAxis, count: int) -> Floats:
    try:
        # Quantities would lose their unit, such as percent.
        values = np.array(np.nan) if has_unit(given) else np.asarray(given, dtype=np.float64)
    except (TypeError, ValueError):
        values = np.array(np.nan)
    if values.shape not in ((), (count,)) or not (values >= 0).all() or np.isinf(values).any():
        raise GeometryError(
            f"{what} must be one number of 0 or more, or {count} of them, got {given!r}"
        )
    return values


def augment(
    image: SpatialArray,
    *labels: SpatialArray,
    seed: int | np.random.Generator,
    fill: Any = 0,
    elastic: Mapping[str, Any] | None = None,
    rotation: PerWorldAxis = 10.0,
    scale: PerWorldAxis = 0.1,
    shear: float = 0.0,
    translation: PerWorldAxis = 0.0,
    flip: Sequence[str] = (),
) -> tuple[SpatialArray, ...]:
    """Move an image and its labels by one random transform, each on its own grid.

    Parameters
    ----------
    image : SpatialArray
        Its values are interpolated linearly.
    *labels : SpatialArray
        Images of labels in the same world, on any grids. Their values are never mixed.
    seed : int or numpy.random.Generator
        The same seed gives the same result.
    fill : scalar
        Value of voxels of the image that come from outside it; labels have 0 there.
    elastic : mapping, optional
        Parameters of `random_elastic`, whose displacement is then added to the affine transform:
        ``{"displacement": 3, "control": 30}``.
    rotation, scale, shear, translation, flip : optional
        As for `random_affine`.

    Returns
    -------
    tuple of SpatialArray
        The image and the labels; lazy where they are.

    Examples
    --------
    >>> from spatial_duck import SpatialArray
    >>> image = SpatialArray(np.arange(36.0).reshape(6, 6))
    >>> moved, label = augment(image, image > 17, seed=1, rotation=0, scale=0, flip=["x", "y"])
    >>> bool(((moved.data > 17) == label.data).all())
    True
    """
    image = as_image(image, "augment")
    rng = np.random.default_rng(seed)
    transform: Transform = random_affine(
        image.geometry, rng, rotation=rotation, scale=scale, shear=shear, translation=translation,
        flip=flip,
    )  # fmt: skip
    if elastic is not None:
        transform = Composite(random_elastic(image.geometry, rng, **elastic), transform)
    moved = [resample(image, image, transform=transform, fill=fill)]
    for label in labels:
        label = as_image(label, "augment", "labels")
        how = label_interpolation(label)
        moved.append(resample(label, label, transform=transform, interpolation=how))
    return tuple(moved)


def is_mask(image: SpatialArray) -> bool:
    """Whether an image is of bool, on any backend: such values are not interpolated or filled."""
    return backends.host_type(image.dtype).kind == "b"


def label_interpolation(labels: SpatialArray) -> str:
    """Return the interpolation that keeps labels, or a mask, what they are."""
    return "nearest" if is_mask(labels) else "label"
