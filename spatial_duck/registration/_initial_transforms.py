"""Where a registration starts: the first alignment of two images.

A search that begins far from the answer ends in an optimum beside it. So at the coarsest level
shifts are compared, and for models that turn, rotations all the way round: those that bring most of
the images' common information together are improved a little and compared again. The best is the
start; the others are what an answer must be better than to be trusted.
"""

from __future__ import annotations

import contextlib
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spatial_duck.errors import RegistrationError
from spatial_duck.registration._similarity_check import overlapping, probes
from spatial_duck.transforms import Affine, Transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import World
    from spatial_duck.registration._outcome import Level

    Floats = NDArray[np.float64]

__all__ = ["STARTS", "Start", "find_start"]

#: Bins of the joint histogram by which starts are compared.
_BINS = 24
#: Voxels over which they are compared.
_COMPARED = 4000
#: Degrees between rotations in a plane, and the number of rotations in space: about 30 degrees
#: apart.
_STEP, _ROTATIONS = 15, 480
#: So many of the best rotations are improved, in steps of so many degrees and voxels, each half of
#: the one before.
_IMPROVED, _FINER = 8, (8.0, 4.0, 2.0)
#: A rotated start must be better than the best that only shifts by this part of its value.
_BETTER = 0.05


class Start(NamedTuple):
    """Where to start, and what else was tried.

    Attributes
    ----------
    transform : Transform
        In the world of the images.
    others : tuple of Affine
        The best alignments that lie apart from it, the best first.
    """

    transform: Transform
    others: tuple[Affine, ...] = ()


def find_start(initial: str | Transform, level: Level, world: World, turns: bool = True) -> Start:
    """Return where to start, in the world of the images of a level.

    Parameters
    ----------
    initial : str or Transform
        One of `STARTS`; "auto" for the shift or rotation that brings most of the images' common
        information together; or a transform.
    level : Level
        By whose voxels starts are found.
    world : World
        World of the images of the level.
    turns : bool, optional
        Whether the model can turn, so that "auto" tries rotations.

    Raises
    ------
    RegistrationError
        If an image has no centre of mass.
    """
    if isinstance(initial, Transform):
        moved = initial.to_world(world)
        _ = moved.parts  # raises where the answer could not be applied
        return Start(moved)
    if initial != "auto":
        return Start(_shifted(STARTS[initial](level), world))
    points, values = probes(level)
    shifts = []
    for make in STARTS.values():
        try:
            shifts.append(make(level))
        except RegistrationError:  # without a centre of mass the others are left
            continue
    scores = [_common(level, points + shift, values) for shift in shifts]
    shift = shifts[int(np.argmax(scores))]
    if not turns or len(shift) not in (2, 3):
        return Start(_shifted(shift, world))
    return _turned(level, shift, world)


def _turned(level: Level, shift: Floats, world: World) -> Start:
    """Return a rotated start where one is better than a shift, and the best others."""
    points, values = probes(level)
    every = max(1, len(points) // _COMPARED)
    points, values = points[::every], values[::every]
    voxel = float(max(*level.fixed.spacing.tolist(), *level.moving.spacing.tolist()))

    def score(matrix: Floats) -> float:
        return _common(level, points @ matrix[:-1, :-1].T + matrix[:-1, -1], values)

    upright = np.eye(len(shift) + 1)
    upright[:-1, -1] = shift
    pairs = [(level.fixed.center, level.moving.center)]
    with contextlib.suppress(RegistrationError):  # a constant image has no centre of mass
        here = _mass(level.fixed, level.fixed_mask, "fixed")
        pairs.append((here, _mass(level.moving, level.moving_mask, "moving")))
    tried = [(score(m), m) for m in _rotations(len(shift), pairs)]
    tried.sort(key=lambda found: -found[0])
    center = np.asarray(level.fixed.center)
    best = [_improved(score, m, s, center, voxel) for s, m in tried[:_IMPROVED]]
    best.sort(key=lambda found: -found[0])
    reference, near = _improved(score, upright, score(upright), center, voxel)
    candidates = [*best, (reference, near)]
    start = best[0][1] if best and best[0][0] > (1 + _BETTER) * reference else upright
    others = [m for _, m in sorted(candidates, key=lambda found: -found[0]) if _is_apart(m, start)]
    return Start(Affine(start, world), tuple([Affine(m, world) for m in others[:3]]))


def _is_apart(matrix: Floats, other: Floats) -> bool:
    """Return whether two rotations differ by more than 20 degrees."""
    turn = matrix[:-1, :-1] @ other[:-1, :-1].T
    n = len(turn)
    cosine = (np.trace(turn) - (n - 2)) / 2
    return bool(cosine < math.cos(math.radians(20)))


def _rotations(n: int, pairs: list[tuple[Floats, Floats]]) -> Iterator[Floats]:
    """Yield rotations all the way round, each about each pair of centres.

    In space by the super-Fibonacci spiral of quaternions (Alexa, Super-Fibonacci spirals: fast,
    low-discrepancy sampling of SO(3), CVPR 2022).
    """
    if n == 2:
        angles = np.deg2rad(np.arange(_STEP, 360, _STEP))
        turns = [np.array([[np.cos(a), -np.sin(a)], [np.sin(a), np.cos(a)]]) for a in angles]
    else:
        part = (np.arange(_ROTATIONS) + 0.5) / _ROTATIONS
        a = 2 * np.pi * (np.arange(_ROTATIONS) + 0.5) / math.sqrt(2)
        b = 2 * np.pi * (np.arange(_ROTATIONS) + 0.5) / 1.533751168755204288118041
        r, q = np.sqrt(part), np.sqrt(1 - part)
        spiral = np.stack([r * np.sin(a), r * np.cos(a), q * np.sin(b), q * np.cos(b)], -1)
        turns = [_from_quaternion(x) for x in spiral]
    for turn, (here, there) in itertools.product(turns, pairs):
        matrix = np.eye(n + 1)
        matrix[:n, :n], matrix[:n, n] = turn, there - turn @ here
        yield matrix


def _from_quaternion(q: Floats) -> Floats:
    x, y, z, w = q
    return np.array(
        [
            [1 - 2 * (y * y + z * z), 2 * (x * y - z * w), 2 * (x * z + y * w)],
            [2 * (x * y + z * w), 1 - 2 * (x * x + z * z), 2 * (y * z - x * w)],
            [2 * (x * z - y * w), 2 * (y * z + x * w), 1 - 2 * (x * x + y * y)],
        ]
    )


def _improved(
    score: Callable[[Floats], float], matrix: Floats, best: float, center: Floats, voxel: float
) -> tuple[float, Floats]:
    """Climb in steps of rotation and shift, and return the score and matrix that are reached."""
    n = len(center)
    planes = list(itertools.combinations(range(n), 2))
    for size in _FINER:
        for _ in range(4):
            before = best
            for kind, sign in itertools.product([*planes, *range(n)], (-1, 1)):
                step = np.eye(n + 1)
                if isinstance(kind, tuple):
                    a, b = kind
                    c, s = math.cos(math.radians(size)), sign * math.sin(math.radians(size))
                    step[a, a] = step[b, b] = c
                    step[a, b], step[b, a] = -s, s
                    step[:n, n] = center - step[:n, :n] @ center
                else:
                    step[kind, n] = sign * voxel * size / _FINER[-1] / 2
                found = score(matrix @ step)
                if found > best:
                    matrix, best = matrix @ step, found
            if best == before:
                break
    return best, matrix


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
