"""Whether an answer can be trusted, apart from whether the search came to rest.

A search is content with the optimum next to its start. What was tried before it began, all the way
round, says whether there is a better one elsewhere. A field can be wrong in one part of the image
and smooth, which no number for the whole shows: there, small neighbourhoods of the fixed image are
more like what lies a few voxels beside the place that the field leads them to.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.registration._metric import Measure, voxel_size
from spatial_duck.registration._similarity_check import overlapping, probes
from spatial_duck.resampling._sampling import values_at_points
from spatial_duck.transforms import Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.registration._outcome import Level, Registration
    from spatial_duck.transforms import Transform

__all__ = ["check_trust"]

#: With less overlap an answer is not to be trusted, nor where another alignment, apart from it, has
#: by this part more information in common.
_DOUBTFUL_OVERLAP, _AMBIGUOUS = 0.1, 0.02
#: Neighbourhoods of so many voxels to each side, in the plane and in space, are compared, so many
#: of them, where the image has most structure, with what lies so many voxels from their place.
_SIDE, _NEIGHBOURHOODS, _BESIDE = {2: 4, 3: 2}, 400, (1.5, 3.0, 5.0)
#: One lies beside its place if the squared correlation is better there by so much; an answer is
#: doubted if so large a part of them do.
_MORE_ALIKE, _MISPLACED = 0.15, 0.02
#: Alignments are apart if most points lie so far from each other, as a part of the image's size.
_APART = 0.1


def check_trust(
    found: Registration, level: Level, others: Sequence[Affine], finest: Level
) -> Registration:
    """Return the reasons against an answer of the search.

    Parameters
    ----------
    found : Registration
        What the search found.
    level : Level
        The coarsest one.
    others : sequence of Affine
        Alignments that lie apart from where it began.
    finest : Level
        The finest one, at which a field is looked at.
    """
    doubts = []
    if found.overlap < _DOUBTFUL_OVERLAP:
        doubts.append(f"only {found.overlap:.0%} of the fixed image lie in the moving one")
    folded = _folded(found.transform, level)
    if folded:
        doubts.append(f"the transform folds space at {folded:.2%} of the fixed image's voxels")
    misplaced = _misplaced(found.transform, finest)
    if misplaced > _MISPLACED:
        doubts.append(
            f"{misplaced:.0%} of the neighbourhoods with structure are more alike a few voxels "
            "beside where the field leads them"
        )
    measure = Measure(level, "mattes")
    mine = measure(found.transform)
    for other in others:
        if _are_near(found.transform, other, level):
            continue
        theirs = measure(other)
        if theirs < mine * (1 - _AMBIGUOUS):
            doubts.append(
                f"an alignment apart from it has more information in common, {-theirs:.3g} against "
                f"{-mine:.3g}: give initial= that, Affine({np.round(other.matrix, 3).tolist()})"
            )
            break
    return replace(found, doubt="; ".join(doubts)) if doubts else found


def _folded(found: Transform, level: Level) -> float:
    """Return at what part of the voxels that take part a map that is no matrix turns inside out."""
    if _is_matrix(found):
        return 0.0
    values = np.asarray(found.jacobian_determinant(level.fixed.geometry).data)
    if level.fixed_mask is not None:
        values = values[level.fixed_mask.data.astype(bool)]
    return float(np.mean(values * np.sign(np.median(values)) <= 0))


def _is_matrix(found: Transform) -> bool:
    return all(isinstance(part, Affine) for part in found.parts)


def _misplaced(found: Transform, level: Level) -> float:
    """Return what part of the neighbourhoods lie beside where a map that is no matrix leads them.

    Where images differ in more than place (another modality, a lesion) neighbourhoods have little
    in common anywhere, and count as in place.
    """
    if _is_matrix(found):
        return 0.0
    fixed = level.fixed
    index, here = _neighbourhoods(level)
    if not len(here):
        return 0.0
    points = found(fixed.geometry.index_to_physical(index.reshape(-1, index.shape[-1])))
    best = base = _alike(level, points, here)
    seen = base >= 0  # others end outside the moving image
    if not seen.any():
        return 0.0
    for way, size, sign in itertools.product(level.moving.direction.T, _BESIDE, (-1, 1)):
        beside = points + sign * size * voxel_size(level) * way
        best = np.maximum(best, _alike(level, beside, here))
    return float(np.mean(best[seen] > base[seen] + _MORE_ALIKE))


def _neighbourhoods(level: Level) -> tuple[NDArray[np.intp], NDArray[np.float64]]:
    """Return indices of neighbourhoods with structure in the fixed image, and their values."""
    fixed, n = level.fixed, level.fixed.ndim
    side = [min(_SIDE[n], (length - 1) // 2) for length in fixed.shape]
    offsets = np.stack(np.meshgrid(*[np.arange(-s, s + 1) for s in side], indexing="ij"), -1)
    offsets = offsets.reshape(-1, n)
    steps = [np.arange(s, length - s, s + 1) for s, length in zip(side, fixed.shape, strict=True)]
    centers = np.stack(np.meshgrid(*steps, indexing="ij"), -1).reshape(-1, n)
    if level.fixed_mask is not None:
        centers = centers[level.fixed_mask.data[tuple(centers.T)].astype(bool)]
    spread = np.array([fixed.data[tuple((c + offsets).T)].std() for c in centers])
    chosen = np.argsort(-spread, kind="stable")[:_NEIGHBOURHOODS]
    chosen = chosen[spread[chosen] > 0.1 * spread.max(initial=0.0)]
    index = centers[chosen][:, None] + offsets
    return index, fixed.data[tuple(np.moveaxis(index, -1, 0))].astype(np.float64)


def _alike(level: Level, points: NDArray[Any], here: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the squared correlation of each neighbourhood with the moving image at points.

    It is -1 where some of them do not take part.
    """
    moving = level.moving
    inside = overlapping(level, points)[0].reshape(here.shape)
    index = np.clip(moving.geometry.physical_to_index(points), 0, np.array(moving.shape) - 1)
    found = values_at_points(moving.data, index.T, "linear")
    there = np.asarray(found, dtype=np.float64).reshape(here.shape)
    a = here - here.mean(axis=1, keepdims=True)
    b = there - there.mean(axis=1, keepdims=True)
    power = (a * a).sum(axis=1) * (b * b).sum(axis=1)
    squared: NDArray[np.float64] = (a * b).sum(axis=1) ** 2 / np.where(power > 0, power, 1)
    return np.where(inside.all(axis=1), squared, -1.0)


def _are_near(found: Transform, other: Transform, level: Level) -> bool:
    """Return whether two transforms bring most of the fixed image to about the same place."""
    points, _ = probes(level)
    points = points[:: max(1, len(points) // 500)]
    size = float(np.linalg.norm(np.ptp(np.asarray(points), axis=0)))
    moved = np.linalg.norm(found(points) - other(points), axis=1)
    return bool(np.median(moved) < _APART * size)
