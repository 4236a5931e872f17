"""The initial transform of a registration.

An optimiser that begins far from the right alignment ends in a local optimum. So shifts, and for
models with rotations also rotations in all directions, are compared by mutual information at the
coarsest level; the best of them are refined and compared again. The best is the start; the others
are alternatives that the result must be better than to be trusted.
"""

from __future__ import annotations

import contextlib
import copy
import itertools
import math
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from spatial_duck.errors import RegistrationError
from spatial_duck.registration._metric import shared_information
from spatial_duck.registration._similarity_check import sample_points
from spatial_duck.transforms import Affine, Transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from spatial_duck.array import SpatialArray
    from spatial_duck.geometry import World
    from spatial_duck.registration._outcome import Level

    Floats = NDArray[np.float64]

__all__ = ["INITIAL_SHIFTS", "Start", "find_start"]

#: Bins of the joint histogram by which alignments are compared.
_BINS = 24
#: Most voxels by which all are compared, and then the best.
_MAX_POINTS = (1000, 4000)
#: Part of the values that lie beyond the range of the histogram at each end, and count as its ends.
_BEYOND = 0.005
#: Degrees between rotations in a plane, and the number of rotations in space: about 30 degrees
#: apart.
_ANGLE_STEP, _ROTATIONS = 15, 480
#: Number of the best rotations that are refined, and the steps of it, in degrees and voxels.
_N_REFINED, _REFINE_STEPS = 8, (8.0, 4.0, 2.0)
#: How many are compared again by more voxels, before the best are refined.
_N_KEPT = 48
#: By which part of its value a rotation must be better than the best shift.
_MIN_GAIN = 0.05


class Start(NamedTuple):
    """An initial transform, and alternatives.

    Attributes
    ----------
    transform : Transform
        The initial transform, in the world of the images.
    others : tuple of Affine
        The best alignments that differ from it by their rotation, the best first.
    """

    transform: Transform
    others: tuple[Affine, ...] = ()


def find_start(initial: str | Transform, level: Level, world: World, turns: bool = True) -> Start:
    """Return the initial transform, in the world of the images of a level.

    Parameters
    ----------
    initial : str or Transform
        One of `INITIAL_SHIFTS`; "auto" for the shift or rotation with the most mutual information;
        or a transform.
    level : Level
        The coarsest level of the images.
    world : World
        World of the images of the level.
    turns : bool, optional
        Whether the model has rotations, so that "auto" tries them.

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
        return Start(_translation(INITIAL_SHIFTS[initial](level), world))
    score = _Score(level)
    shifts = []
    for make in INITIAL_SHIFTS.values():
        try:
            shifts.append(make(level))
        except RegistrationError:  # without a centre of mass the others are left
            continue
    scores = [score(_translation(shift, world).matrix) for shift in shifts]
    shift = shifts[int(np.argmax(scores))]
    if not turns or len(shift) not in (2, 3):
        return Start(_translation(shift, world))
    return _best_rotation(level, shift, world, score)


def _best_rotation(level: Level, shift: Floats, world: World, every: _Score) -> Start:
    """Return the best rotation if it is better than a shift, and alternatives."""
    few, score = [every.with_at_most(points) for points in _MAX_POINTS]
    voxel = float(max(*level.fixed.spacing.tolist(), *level.moving.spacing.tolist()))
    upright = np.eye(len(shift) + 1)
    upright[:-1, -1] = shift
    pairs = [(level.fixed.center, level.moving.center)]
    with contextlib.suppress(RegistrationError):  # a constant image has no centre of mass
        here = _center_of_mass(level.fixed, level.fixed_mask, "fixed")
        pairs.append((here, _center_of_mass(level.moving, level.moving_mask, "moving")))
    tried = [(few(m), m) for m in _rotations(len(shift), pairs)]
    tried.sort(key=lambda found: -found[0])
    tried = [(score(m), m) for _, m in tried[:_N_KEPT]]
    tried.sort(key=lambda found: -found[0])
    center = np.asarray(level.fixed.center)
    best = [_refine(score, m, s, center, voxel) for s, m in tried[:_N_REFINED]]
    best.sort(key=lambda found: -found[0])
    reference, near = _refine(score, upright, score(upright), center, voxel)
    candidates = [*best, (reference, near)]
    start = best[0][1] if best and best[0][0] > (1 + _MIN_GAIN) * reference else upright
    others = [m for _, m in sorted(candidates, key=lambda found: -found[0]) if _is_apart(m, start)]
    return Start(Affine(start, world), tuple([Affine(m, world) for m in others[:3]]))


def _is_apart(matrix: Floats, other: Floats) -> bool:
    """Return whether two rotations differ by more than 20 degrees."""
    turn = matrix[:-1, :-1] @ other[:-1, :-1].T
    n = len(turn)
    cosine = (np.trace(turn) - (n - 2)) / 2
    return bool(cosine < math.cos(math.radians(20)))


def _rotations(n: int, pairs: list[tuple[Floats, Floats]]) -> Iterator[Floats]:
    """Yield rotations in all directions, each about each pair of centres.

    In space by the super-Fibonacci spiral of quaternions (Alexa, Super-Fibonacci spirals: fast,
    low-discrepancy sampling of SO(3), CVPR 2022).
    """
    if n == 2:
        angles = np.deg2rad(np.arange(_ANGLE_STEP, 360, _ANGLE_STEP))
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


def _refine(
    score: Callable[[Floats], float], matrix: Floats, best: float, center: Floats, voxel: float
) -> tuple[float, Floats]:
    """Improve a matrix by hill climbing over rotations and shifts; return its score and it."""
    n = len(center)
    planes = list(itertools.combinations(range(n), 2))
    for size in _REFINE_STEPS:
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
                    step[kind, n] = sign * voxel * size / _REFINE_STEPS[-1] / 2
                found = score(matrix @ step)
                if found > best:
                    matrix, best = matrix @ step, found
            if best == before:
                break
    return best, matrix


def _translation(shift: Floats, world: World) -> Affine:
    matrix = np.eye(len(shift) + 1)
    matrix[:-1, -1] = shift
    return Affine(matrix, world)


class _Score:
    """Mutual information of two images, times the overlapping part of the fixed one.

    A function of matrices from points of the fixed image to points of the moving one. Values are
    binned once, and taken from the nearest voxel: a thousand alignments take a tenth of a second.

    Parameters
    ----------
    level : Level
        Both images.
    """

    def __init__(self, level: Level) -> None:
        points, values = sample_points(level)
        self.points = np.vstack([points.T, np.ones(len(points))])
        self.here = _binned(values, values) * _BINS
        moving = level.moving
        # Places outside, and voxels that take no part, are counted in a bin of their own.
        if level.moving_mask is None:
            bins = _binned(moving.data, moving.data)
        else:
            inside = level.moving_mask.data.astype(bool)
            bins = np.where(inside, _binned(moving.data, moving.data[inside]), _BINS * _BINS)
        self.there = np.append(bins.ravel(), _BINS * _BINS)
        g = moving.geometry
        turn = np.linalg.inv(g.direction * g.spacing)
        self.to_index = np.column_stack([turn, -turn @ g.origin])
        self.shape = np.array(moving.shape)[:, None]
        self.strides = np.cumprod([1, *moving.shape[:0:-1]])[::-1]

    def with_at_most(self, points: int) -> _Score:
        """Return the same by so many voxels, or somewhat more."""
        found = copy.copy(self)
        every = max(1, len(self.here) // points)
        found.points = np.ascontiguousarray(self.points[:, ::every])
        found.here = self.here[::every]
        return found

    def __call__(self, matrix: Floats) -> float:
        to_index = self.to_index @ matrix
        index = np.rint(to_index @ self.points).astype(np.intp)
        inside = ((index >= 0) & (index < self.shape)).all(axis=0)
        there = self.there[np.where(inside, self.strides @ index, -1)]
        counts = np.bincount(np.minimum(self.here + there, _BINS * _BINS), minlength=_BINS**2 + 1)
        joint = counts[:-1].reshape(_BINS, _BINS) / max(len(there) - counts[-1], 1)
        return float(shared_information(joint) * (1 - counts[-1] / len(there)))


def _binned(values: NDArray[np.float32], among: NDArray[np.float32]) -> NDArray[np.intp]:
    """Return the bins of values, over the range of most of some."""
    low, high = np.quantile(among, [_BEYOND, 1 - _BEYOND]).tolist()
    if not low < high:
        low, high = np.quantile(among, [0, 1]).tolist()
    part = (values - low) / max(high - low, np.finfo(np.float32).tiny)
    return np.asarray(np.clip(part * _BINS, 0, _BINS - 1), np.intp)


def _geometry(level: Level) -> Floats:
    return np.asarray(level.moving.center - level.fixed.center, dtype=np.float64)


def _moments(level: Level) -> Floats:
    here = _center_of_mass(level.fixed, level.fixed_mask, "fixed")
    return _center_of_mass(level.moving, level.moving_mask, "moving") - here


def _world(level: Level) -> Floats:
    return np.zeros(len(level.fixed.center))


#: Shifts to start from: none, of the images' centres onto each other, or of their centres of mass.
#: Of several that are equally good the first is used.
INITIAL_SHIFTS = {"world": _world, "geometry": _geometry, "moments": _moments}


def _center_of_mass(image: SpatialArray, mask: SpatialArray | None, name: str) -> Floats:
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
