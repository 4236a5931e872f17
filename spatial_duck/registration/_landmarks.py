"""`register_landmarks`: the transform that brings points onto the points that belong to them.

A least-squares fit in closed form: no image is read, and there is nothing to start from.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from spatial_duck.array import SpatialArray
from spatial_duck.errors import GeometryError, RegistrationError
from spatial_duck.geometry import Geometry, World
from spatial_duck.transforms import Affine

if TYPE_CHECKING:
    Floats = NDArray[np.float64]

__all__ = ["LANDMARK_MODELS", "LandmarkFit", "register_landmarks"]

LANDMARK_MODELS = ("translation", "rigid", "similarity", "affine")
#: Points lie on a line or in a plane if none is further from it than this part of their extent.
_FLAT = 1e-4


class Markup(Protocol):
    """Points x, y, z with a frame and a unit: what is used of an `io.Markup`."""

    @property
    def frame(self) -> str: ...
    @property
    def unit(self) -> str: ...
    @property
    def labels(self) -> Sequence[str]: ...

    def points_in(self, like: Any) -> Floats: ...


class LandmarkFit(Affine):
    """What `register_landmarks` found: an affine map that says how far the points stay apart.

    Attributes
    ----------
    residuals : ndarray of float, shape (n,)
        Distance of each moving point from where the map leads its fixed point, in the world's unit.
        Of all points, those of weight 0 included.
    rms : float
        Root of the (weighted) mean of their squares: the fiducial registration error. It says
        little of the error elsewhere; with as few points as a model needs it is 0.
    """

    def __init__(
        self,
        matrix: ArrayLike,
        world: World | Sequence[str],
        residuals: ArrayLike,
        rms: float,
    ) -> None:
        super().__init__(matrix, world)
        self.residuals: Floats = np.array(residuals, dtype=np.float64)
        self.residuals.setflags(write=False)
        self.rms = float(rms)

    def __reduce__(self) -> tuple[Any, ...]:
        return LandmarkFit, (np.array(self.matrix), self.world, self.residuals, self.rms)

    def __repr__(self) -> str:
        return (
            f"LandmarkFit({self.matrix.tolist()}, {self.world!r}, {len(self.residuals)} points, "
            f"rms {self.rms:.4g}, largest residual {max(self.residuals.tolist()):.4g})"
        )


def register_landmarks(
    fixed: ArrayLike | Markup,
    moving: ArrayLike | Markup,
    model: str = "rigid",
    *,
    world: World | SpatialArray | Geometry | Sequence[str] | None = None,
    weights: ArrayLike | None = None,
) -> LandmarkFit:
    """Find the transform that brings points onto the points that belong to them.

    The one with the least (weighted) sum of squared distances, without reflections: Umeyama,
    "Least-squares estimation of transformation parameters between two point patterns", IEEE PAMI
    13 (1991), 376-380, for rigid (Kabsch 1976) and similarity.

    Parameters
    ----------
    fixed, moving : array_like of float, shape (n, n_world), or Markup
        The n-th points of both belong together. Arrays are in `world`; a `Markup` of
        `io.read_markups` is brought there.
    model : {"rigid", "translation", "similarity", "affine"}
        What the transform may do. They need 1 point (translation); 2 in the plane or 3 in space
        that are not on a line (rigid, similarity); 3 in the plane that are not on a line or 4 in
        space that are not in a plane (affine).
    world : World, SpatialArray, Geometry or sequence of str, optional
        What the coordinates are along, with two or three axes; of an image, its world. By default
        the frame and unit of a markup; needed where both are arrays.
    weights : array_like of float, shape (n,), optional
        How much each squared distance counts, 0 or more: for isotropic errors, one over their
        variance. Equal by default.

    Returns
    -------
    LandmarkFit
        An `Affine` from fixed points to moving points, with ``residuals`` and ``rms``.

    Raises
    ------
    RegistrationError
        If the points leave the transform open, or turn space inside out.
    GeometryError
        If the points do not fit each other or the world, or are not finite.
    FrameError
        If the points of a markup are wanted in a world without a frame.

    Examples
    --------
    >>> fixed = [[0, 0], [10, 0], [0, 20]]
    >>> moving = [[5, 0], [5, 10], [-15, 0]]
    >>> found = register_landmarks(fixed, moving, world=("x", "y"))
    >>> found([[10.0, 20.0]]).round(6) + 0.0
    array([[-15.,  10.]])
    >>> round(found.rms, 6)
    0.0
    """
    if model not in LANDMARK_MODELS:
        raise ValueError(f"model must be one of {', '.join(LANDMARK_MODELS)}, got {model!r}")
    here = _world_of(world, fixed, moving)
    units = set(here.units)
    if model in ("rigid", "similarity") and len(units) > 1:
        raise GeometryError(
            f"a {model} transform needs one unit along all axes, got {here!r}; bring the points to "
            "one unit"
        )
    points, targets = _points(fixed, here, "fixed"), _points(moving, here, "moving")
    if len(points) != len(targets):
        raise GeometryError(
            f"fixed and moving must have as many points, which belong together one by one; got "
            f"{len(points)} and {len(targets)}"
        )
    _check_labels(fixed, moving)
    shares = _shares(weights, len(points), model)
    # Distances from the centres: far from 0 their squares would have no digits left.
    centre, target = shares @ points, shares @ targets
    linear = _linear(points - centre, targets - target, shares, model)
    matrix = np.eye(len(centre) + 1)
    matrix[:-1, :-1], matrix[:-1, -1] = linear, target - linear @ centre
    apart = np.linalg.norm((points - centre) @ linear.T - (targets - target), axis=1)
    return LandmarkFit(matrix, here, apart, float(np.sqrt(shares @ apart**2)))


def _is_markup(given: Any) -> bool:
    return hasattr(given, "points_in")


def _world_of(world: Any, fixed: Any, moving: Any) -> World:
    if world is None:
        if not (_is_markup(fixed) and _is_markup(moving)):
            raise GeometryError(
                "world must say what the columns of the points are: an image, or for instance "
                "World(('x', 'y', 'z'), 'mm', 'LPS'); only two markups say it themselves"
            )
        return World(("x", "y", "z"), fixed.unit, fixed.frame)
    found = getattr(world, "world", world)
    here = found if isinstance(found, World) else World(found)
    if len(here.axes) not in (2, 3):
        raise GeometryError(f"world must have two or three axes, got {here!r}")
    return here


def _points(given: Any, world: World, name: str) -> Floats:
    """Return points in a world, shape (n, n_world)."""
    points: Floats
    if _is_markup(given):
        points = given.points_in(world)
    else:
        try:
            points = np.asarray(given, dtype=np.float64)
        except (TypeError, ValueError) as error:
            raise GeometryError(
                f"{name} must be an array of points or one Markup (of a list, take one), got "
                f"{type(given).__name__}"
            ) from error
    n = len(world.axes)
    if points.ndim != 2 or points.shape[1] != n:
        raise GeometryError(
            f"{name} must have shape (n, {n}), one column for each of the world axes "
            f"{world.axes!r}, got {points.shape}"
        )
    bad = np.flatnonzero(~np.isfinite(points).all(axis=1))
    if bad.size:
        raise GeometryError(
            f"{name}: the points {bad.tolist()} are not finite; leave them out of both, as were "
            "they not placed"
        )
    return points


def _check_labels(fixed: Any, moving: Any) -> None:
    """Refuse markups whose names say that other points belong together."""
    if not (_is_markup(fixed) and _is_markup(moving)):
        return
    there = {label: number for number, label in enumerate(moving.labels) if label}
    for number, label in enumerate(fixed.labels):
        if label and moving.labels[number] != label and label in there:
            raise GeometryError(
                f"the point {label!r} is number {number} of fixed and number {there[label]} of "
                "moving; points belong together by number: bring them to one order"
            )


def _shares(weights: ArrayLike | None, n: int, model: str) -> Floats:
    """Return the weights, so that their sum is 1."""
    if n == 0:
        raise RegistrationError(f"a {model} transform needs points, got none")
    if weights is None:
        return np.full(n, 1 / n)
    given = np.asarray(weights, dtype=np.float64)
    if given.shape != (n,) or not (np.isfinite(given) & (given >= 0)).all() or not given.any():
        raise ValueError(
            f"weights must have shape ({n},), finite, 0 or more and not all 0, got {weights!r}"
        )
    scaled = given / np.max(given)
    return np.asarray(scaled / scaled.sum(), dtype=np.float64)


def _linear(points: Floats, targets: Floats, shares: Floats, model: str) -> Floats:
    """Return the linear part, for points around their centres."""
    n = points.shape[1]
    if model == "translation":
        return np.eye(n)
    roots = np.sqrt(shares)[:, None]
    count = int(np.count_nonzero(shares))
    _check_spread(roots * points, "fixed", count, model)
    _check_spread(roots * targets, "moving", count, model)
    if model == "affine":
        solved: Floats = np.linalg.lstsq(roots * points, roots * targets, rcond=None)[0].T
        if np.linalg.det(solved) <= 0:
            raise RegistrationError(
                "the points turn space inside out: moving is a mirror image of fixed; see to the "
                "order of the points, the order of coordinates and the frame"
            )
        return solved
    left, values, right = np.linalg.svd(targets.T @ (shares[:, None] * points))
    signs = np.ones(n)
    signs[-1] = 1.0 if np.linalg.det(left) * np.linalg.det(right) > 0 else -1.0
    # A turn about one more axis would bring the points as near, if this is 0.
    if values[-2] + signs[-1] * values[-1] <= _FLAT**2 * values[0]:
        raise RegistrationError(
            f"the points leave the rotation of a {model} transform open: many bring them as near; "
            "see to the order of the points (moving may be a mirror image), or give more of them"
        )
    turn = (left * signs) @ right
    if model == "rigid":
        return np.asarray(turn)
    scale = float(values @ signs) / float(shares @ (points**2).sum(axis=1))
    return np.asarray(scale * turn)


def _check_spread(points: Floats, name: str, count: int, model: str) -> None:
    """Refuse points that do not span what a model needs, for points around their centre."""
    n = points.shape[1]
    needed = n if model == "affine" else n - 1
    extents = np.linalg.svd(points, compute_uv=False)
    spanned = int(np.count_nonzero(extents > _FLAT * extents[0])) if extents[0] > 0 else 0
    if spanned >= needed:
        return
    lies = ("at one point", "on one line", "in one plane")
    raise RegistrationError(
        f"{name}: a {model} transform needs {needed + 1} or more points that are not "
        f"{lies[needed - 1]}; the {count} that count lie {lies[spanned]}"
    )
