"""Random transforms of images in physical space, with a seed: for training networks.

Rotations are rotations of the patient, not of the voxels: an image with thick slices stays true.
The values of an image, and the labels that belong to it, are moved by one and the same transform.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.errors import GeometryError
from spatial_duck.resampling import INTERPOLATIONS, resample
from spatial_duck.transforms import Affine, sub_world
from spatial_duck.world import SPACE_AXES

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import Geometry

    Floats = NDArray[np.float64]
    PerWorldAxis = float | Sequence[float]

__all__ = ["augment", "random_affine"]


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
        Largest angle in degrees: for each plane of the world's space axes, first that of the last
        two, or one for all. Angles are uniform up to it, either way round.
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
    n = len(names)
    if n == 0:
        raise GeometryError(f"random_affine needs a space axis, and the grid has none: {geometry}")
    unknown = [name for name in flip if name not in names]
    if unknown:
        raise GeometryError(f"flip must name axes of space among {names!r}, got {unknown!r}")
    rng = np.random.default_rng(seed)
    matrix = np.eye(n)
    planes = [(i, j) for j in range(n - 1, 0, -1) for i in range(j - 1, -1, -1)]
    angles = np.deg2rad(rng.uniform(-1, 1, len(planes)) * _each("rotation", rotation, len(planes)))
    for (i, j), angle in zip(planes, angles, strict=True):
        turn = np.eye(n)
        c, s = np.cos(angle), np.sin(angle)
        turn[[i, i, j, j], [i, j, i, j]] = c, -s, s, c
        matrix = matrix @ turn
    factors = np.exp(rng.uniform(-1, 1, n) * np.log1p(_each("scale", scale, n)))
    sheared = np.eye(n) + np.triu(rng.uniform(-1, 1, (n, n)) * _each("shear", shear, 1), 1)
    signs = [-1.0 if name in flip and rng.random() < 0.5 else 1.0 for name in names]
    matrix = matrix @ sheared @ np.diag(factors * signs)
    shift = rng.uniform(-1, 1, n) * _each("translation", translation, n)
    center = geometry.center[rows]
    whole = np.eye(n + 1)
    whole[:n, :n] = matrix
    whole[:n, n] = center - matrix @ center + shift
    return Affine(whole, sub_world(geometry.world, names))


def _each(what: str, given: PerWorldAxis, count: int) -> Floats:
    values = np.asarray(given, dtype=np.float64)
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
    **options: Any,
) -> tuple[SpatialArray, ...]:
    """Move an image and its labels by one random affine transform, each on its own grid.

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
    **options
        For `random_affine`: `rotation`, `scale`, `shear`, `translation`, `flip`.

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
    transform = random_affine(image.geometry, seed, **options)
    moved = [resample(image, image, transform=transform, fill=fill)]
    for label in labels:
        found = "label" if "label" in INTERPOLATIONS and label.dtype.kind != "b" else "nearest"
        moved.append(resample(label, label, transform=transform, interpolation=found))
    return tuple(moved)
