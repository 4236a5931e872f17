"""Where a registration starts: the first alignment of two images."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spatial_duck.errors import RegistrationError
from spatial_duck.registration._similarity_check import overlapping, probes
from spatial_duck.transforms import Affine, Transform

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import World
    from spatial_duck.registration._outcome import Level

    Floats = NDArray[np.float64]

__all__ = ["STARTS", "find_start"]

#: Bins of the joint histogram by which starts are compared.
_BINS = 24


def find_start(initial: str | Transform, level: Level, world: World) -> Transform:
    """Return a transform to start from, in the world of the images of a level.

    Parameters
    ----------
    initial : str or Transform
        One of `STARTS`, "auto" for that of them which brings most of the images' common
        information together, or a transform.
    level : Level
        By whose voxels starts are found.
    world : World
        Of the images of the level.

    Raises
    ------
    RegistrationError
        If an image has no centre of mass.
    """
    if isinstance(initial, Transform):
        moved = initial.to_world(world)
        _ = moved.parts  # raises where the answer could not be applied
        return moved
    if initial != "auto":
        return _shifted(STARTS[initial](level), world)
    points, values = probes(level)
    shifts = []
    for make in STARTS.values():
        try:
            shifts.append(make(level))
        except RegistrationError:  # without a centre of mass the others are left
            continue
    scores = [_common(level, points + shift, values) for shift in shifts]
    return _shifted(shifts[int(np.argmax(scores))], world)


def _shifted(shift: Floats, world: World) -> Affine:
    matrix = np.eye(len(shift) + 1)
    matrix[:-1, -1] = shift
    return Affine(matrix, world)


def _common(level: Level, points: Floats, values: NDArray[np.float32]) -> float:
    """Return the mutual information of two images, times the part of the fixed one that it is of.

    Parameters
    ----------
    level : Level
        Both images.
    points : ndarray of float, shape (n, n_world)
        Where voxels of the fixed image come to lie.
    values : ndarray of float, shape (n,)
        Their values.
    """
    inside, there = overlapping(level, points)
    if not inside.any():
        return 0.0
    joint = np.histogram2d(values[inside], there[inside], bins=_BINS)[0] / inside.sum()
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    full = joint > 0
    return float((joint[full] * np.log(joint[full] / apart[full])).sum() * inside.mean())


def _geometry(level: Level) -> Floats:
    return np.asarray(level.moving.center - level.fixed.center, dtype=np.float64)


def _moments(level: Level) -> Floats:
    here = _mass(level.fixed, level.fixed_mask, "fixed")
    return _mass(level.moving, level.moving_mask, "moving") - here


def _world(level: Level) -> Floats:
    return np.zeros(len(level.fixed.center))


#: Shifts to start from: where the images lie, their centres on each other, or their centres of
#: mass. Of several that are as good the first is taken.
STARTS = {"world": _world, "geometry": _geometry, "moments": _moments}


def _mass(image: SpatialArray, mask: SpatialArray | None, name: str) -> Floats:
    """Return the world position of the centre of mass of the values, less the lowest."""
    values = image.data.astype(np.float64)
    inside = np.ones(values.shape, bool) if mask is None else mask.data.astype(bool)
    weights = np.where(inside, values - values[inside].min(initial=np.inf), 0.0)
    total = weights.sum()
    if not total > 0:
        raise RegistrationError(f"{name}: a constant image has no centre of mass")
    index = [
        weights.sum(axis=tuple(a for a in range(weights.ndim) if a != axis)) @ np.arange(n) / total
        for axis, n in enumerate(weights.shape)
    ]
    return np.asarray(image.geometry.index_to_physical(index), dtype=np.float64)
