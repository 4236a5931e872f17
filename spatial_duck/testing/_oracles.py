"""The coordinate oracle: where each voxel of an image must lie, without the code under test.

An image is filled with its own voxel numbers, operations are applied, and the place that the result
gives for each surviving number is compared with the place that the number had at first. This works
for every image class whose spacing, origin and direction can be read.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "NO_VOXEL",
    "Place",
    "displacement",
    "false_labels",
    "place_of",
    "positions",
    "voxel_labels",
    "voxel_numbers",
]

Floats = NDArray[np.float64]

#: What operations that add voxels (padding) fill in: a number that no voxel has.
NO_VOXEL = -1


class Place(NamedTuple):
    """Spacing, origin and direction of an image, as its class states them.

    Attributes
    ----------
    spacing : ndarray of float, shape (n_sampled,)
        Distance between voxel centres, in array-axis order of the sampled axes.
    origin : ndarray of float, shape (n_world,)
        World position of the centre of the first voxel.
    direction : ndarray of float, shape (n_world, n_sampled)
        Unit vector of each sampled axis, as columns.
    axes : tuple of int
        The sampled array axes.
    """

    spacing: Floats
    origin: Floats
    direction: Floats
    axes: tuple[int, ...]


def place_of(image: Any, geometry_of: Callable[[Any], Sequence[Any]] | None = None) -> Place:
    """Read the geometry of an image of any class.

    Parameters
    ----------
    image : object
        Has ``spacing`` and ``origin``; ``direction``, where that is not the identity; and
        ``sampled_axes``, itself or in its ``geometry``, where not all axes are sampled.
    geometry_of : callable, optional
        Reads (spacing, origin, direction), and the sampled axes as an optional fourth, from an
        image of a class that calls them otherwise.

    Returns
    -------
    Place
        As plain arrays of float64.

    Raises
    ------
    AssertionError
        If the numbers do not fit together.
    """
    if geometry_of is not None:
        spacing, origin, direction, *rest = geometry_of(image)
        axes = rest[0] if rest else None
    else:
        spacing, origin = image.spacing, image.origin
        direction = getattr(image, "direction", None)
        direction = np.eye(len(origin)) if direction is None else direction
        axes = getattr(getattr(image, "geometry", image), "sampled_axes", None)
    spacing = np.asarray(spacing, float)
    origin = np.asarray(origin, float)
    direction = np.asarray(direction, float)
    axes = tuple(range(len(spacing))) if axes is None else tuple(axes)
    assert spacing.shape == (len(axes),), (
        f"spacing must hold a number for each of the sampled axes {axes}, got {spacing}"
    )
    assert direction.shape == (len(origin), len(axes)), (
        f"direction must have a row for each of the {len(origin)} world axes and a column for "
        f"each of the sampled axes {axes}, got shape {direction.shape}"
    )
    return Place(spacing, origin, direction, axes)


def positions(place: Place, shape: Sequence[int]) -> Floats:
    """Return the world position of every voxel, by the definition and nothing else.

    Parameters
    ----------
    place : Place
        Where the image lies.
    shape : sequence of int
        Shape of the image.

    Returns
    -------
    ndarray of float, shape ``(*shape, n_world)``

    Examples
    --------
    >>> positions(Place(np.array([2.0]), np.array([5.0]), np.eye(1), (0,)), (3,))[:, 0]
    array([5., 7., 9.])
    """
    shape = tuple(shape)
    points = np.broadcast_to(place.origin, (*shape, len(place.origin))).copy()
    for spacing, column, axis in zip(place.spacing, place.direction.T, place.axes, strict=True):
        index = np.arange(shape[axis]).reshape([-1 if i == axis else 1 for i in range(len(shape))])
        points += (index * spacing)[..., None] * column
    return points


def voxel_numbers(shape: Sequence[int]) -> NDArray[np.int64]:
    """Return an array that holds in each voxel its own number, counted in C order.

    Examples
    --------
    >>> voxel_numbers((2, 3))
    array([[0, 1, 2],
           [3, 4, 5]])
    """
    return np.arange(int(np.prod(shape, dtype=np.int64)), dtype=np.int64).reshape(tuple(shape))


def voxel_labels(shape: Sequence[int]) -> list[Floats]:
    """Return a label for each index of each axis: the index itself, as a coordinate to carry.

    They are floats, so that one that is unknown has NaN.

    Examples
    --------
    >>> voxel_labels((2, 3))
    [array([0., 1.]), array([0., 1., 2.])]
    """
    return [np.arange(n, dtype=float) for n in shape]


def false_labels(
    labels: Mapping[int, tuple[int | None, Any]], numbers: NDArray[Any], shape: Sequence[int]
) -> str | None:
    """Return a sentence on the first false label of a result, or None.

    Parameters
    ----------
    labels : mapping
        For each axis of the source whose labels are left, the axis of the result that has them
        (None for one label of all) and the labels. An axis whose labels were dropped is absent.
    numbers : ndarray of int
        The voxel numbers that the result holds; `NO_VOXEL` where it holds none, whose labels are
        not looked at.
    shape : sequence of int
        Shape of the image that was filled with `voxel_numbers`.

    Examples
    --------
    >>> flipped = voxel_numbers((2, 3))[:, ::-1]
    >>> false_labels({1: (1, np.array([2.0, 1.0, 0.0]))}, flipped, (2, 3)) is None
    True
    >>> false_labels({1: (1, np.array([0.0, 1.0, 2.0]))}, flipped, (2, 3))
    'voxel 2 had label 2 along axis 1 and has label 0.0 along axis 1 of the result'
    """
    numbers = np.asarray(numbers)
    survives = numbers != NO_VOXEL
    before = np.unravel_index(np.where(survives, numbers, 0), tuple(shape))
    for source, (axis, values) in labels.items():
        size = [1] * numbers.ndim
        if axis is not None:
            size[axis] = numbers.shape[axis]
        after = np.broadcast_to(np.asarray(values).reshape(size), numbers.shape)
        wrong = np.argwhere(survives & (before[source] != after))
        if len(wrong):
            at = tuple(wrong[0].tolist())
            return (
                f"voxel {int(numbers[at])} had label {int(before[source][at])} along axis "
                f"{source} and has label {float(after[at])} along axis {axis} of the result"
            )
    return None


def displacement(
    before: Place, shape: Sequence[int], after: Place, numbers: NDArray[Any]
) -> tuple[float, str]:
    """Return how far the worst voxel of a result lies from the place that it had at first.

    Parameters
    ----------
    before : Place
        Where the image lay that was filled with `voxel_numbers`.
    shape : sequence of int
        Shape of the image.
    after : Place
        Where the result says that it lies.
    numbers : ndarray of int
        The voxel numbers that the result holds; `NO_VOXEL` where it holds none.

    Returns
    -------
    distance : float
        In voxels: relative to the smallest spacing. Rounding that the size of the coordinates
        makes unavoidable (64 units in the last place) does not count. 0 if no voxel survived.
    report : str
        Which voxel that is and where it lies, before and after.
    """
    numbers = np.asarray(numbers)
    survives = numbers != NO_VOXEL
    if not survives.any():
        return 0.0, "no voxel survived"
    first = positions(before, shape).reshape(int(np.prod(shape)), len(before.origin))
    expected = first[numbers[survives]]
    found = positions(after, numbers.shape)[survives]
    assert found.shape == expected.shape, (
        f"the result lies in {found.shape[-1]} world dimensions and the image in "
        f"{expected.shape[-1]}"
    )
    distance = np.linalg.norm(found - expected, axis=-1)
    slack = 64 * np.finfo(float).eps * float(np.abs(first).max(initial=0.0))
    worst = int(distance.argmax())
    scale = min(before.spacing.tolist(), default=1.0)
    index = tuple(np.argwhere(survives)[worst].tolist())
    report = (
        f"voxel {int(numbers[survives][worst])} was at {expected[worst].tolist()} and is, at "
        f"index {index} of the result, at {found[worst].tolist()}"
    )
    return max(float(distance[worst]) - slack, 0.0) / scale, report
