"""Checks whether a result is plausible, beyond the convergence of the optimiser.

An optimiser finds the optimum next to its start. The alignments that were tried before it began, at
all rotations, show whether there is a better one elsewhere. A displacement field can be smooth and
wrong in one part of the image, which no metric of the whole image shows: there, neighbourhoods of
the fixed image are more similar to the moving image a few voxels beside where the field maps them.

Of a single neighbourhood that says little: of many offsets one is better by chance where images are
noisy, differ in contrast, or show two people. But fields are smooth, so that where one is wrong
adjacent neighbourhoods are better at the same offset. So their gains at one offset are averaged,
and have to be large beside their spread. Of 36 random pairs with right fields (2-D and 3-D, noise,
five contrasts, structures that one image alone has, cropped images) 6 are doubted, most of them of
contrasts that neither rise nor fall together; single neighbourhoods doubted 64 % of such pairs. All
36 fields that are wrong by 2.5 to 4.5 voxels everywhere are doubted, and 11 of 18 that are wrong in
a part of the image.
"""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.registration._metric import Measure, voxel_size
from spatial_duck.registration._similarity_check import sample_points, values_inside
from spatial_duck.resampling._sampling import values_at_points
from spatial_duck.transforms import Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

    from spatial_duck.registration._outcome import Level, Registration
    from spatial_duck.transforms import Transform

__all__ = ["check_trust"]

#: Least overlap of a result, and by which part of its mutual information another alignment must be
#: better to be an alternative.
_MIN_OVERLAP, _MIN_BETTER = 0.1, 0.02
#: Neighbourhoods reach so many voxels to each side, in 2-D and 3-D; so many of them, with the most
#: structure, are compared with the moving image at offsets of so many voxels along each axis, and
#: along several at once but for the largest.
_SIDE, _NEIGHBOURHOODS, _OFFSETS = {2: 4, 3: 2}, 400, (1.5, 3.0, 5.0)
#: A region is a neighbourhood with those that it shares a side with, so many at least. It is
#: misplaced if their mean squared correlation at an offset is better by so much, and by so many
#: standard errors; a result is doubted if so large a part of the regions are.
_MIN_IN_REGION, _MIN_GAIN, _MIN_ERRORS, _MAX_MISPLACED = 5, 0.2, 2.5, 0.0075
#: Least mean squared correlation of all neighbourhoods: what fields reach that fit noise.
_MIN_ALIKE = 0.1
#: Alignments differ if most points lie so far from each other, as a part of the image's size.
_APART = 0.1


def check_trust(
    found: Registration, level: Level, others: Sequence[Affine], finest: Level
) -> Registration:
    """Return a registration with the reasons against trusting it.

    Parameters
    ----------
    found : Registration
        The result of the search.
    level : Level
        The coarsest level.
    others : sequence of Affine
        Alignments that differ from the start.
    finest : Level
        The finest level, at which displacement fields are checked.
    """
    doubts = []
    if found.overlap < _MIN_OVERLAP:
        doubts.append(f"only {found.overlap:.0%} of the fixed image lie in the moving one")
    folded = _folded_part(found.transform, level)
    if folded:
        doubts.append(f"the transform folds space at {folded:.2%} of the fixed image's voxels")
    if doubt := _field_doubt(found.transform, finest):
        doubts.append(doubt)
    measure = Measure(level, "mattes")
    mine = measure(found.transform)
    for other in others:
        if _are_near(found.transform, other, level):
            continue
        theirs = measure(other)
        if theirs < mine * (1 - _MIN_BETTER):
            doubts.append(
                f"an alignment apart from it has more information in common, {-theirs:.3g} against "
                f"{-mine:.3g}: give initial= that, Affine({np.round(other.matrix, 3).tolist()})"
            )
            break
    return replace(found, doubt="; ".join(doubts)) if doubts else found


def _folded_part(found: Transform, level: Level) -> float:
    """Return the part of the voxels at which a transform that is not affine folds space."""
    if _is_matrix(found):
        return 0.0
    values = np.asarray(found.jacobian_determinant(level.fixed.geometry).data)
    if level.fixed_mask is not None:
        values = values[level.fixed_mask.data.astype(bool)]
    return float(np.mean(values * np.sign(np.median(values)) <= 0))


def _is_matrix(found: Transform) -> bool:
    return all(isinstance(part, Affine) for part in found.parts)


def _field_doubt(found: Transform, level: Level) -> str:
    """Return what neighbourhoods say against a transform that is not affine, or nothing.

    Where images differ in content (another modality, a lesion) neighbourhoods correlate nowhere,
    and count as right.
    """
    if _is_matrix(found):
        return ""
    fixed = level.fixed
    index, here = _neighbourhoods(level)
    if not len(here):
        return ""
    points = found(fixed.geometry.index_to_physical(index.reshape(-1, index.shape[-1])))
    base = _squared_correlations(level, points, here)
    seen = base >= 0  # others end outside the moving image
    if not seen.any():
        return ""
    if base[seen].mean() < _MIN_ALIKE:
        return (
            "neighbourhoods of the images have little in common where the field leads them (their "
            f"mean squared correlation is {base[seen].mean():.2g}): it may fit noise; take a "
            "coarser level with at=, or a model with fewer parameters"
        )
    centers = index[seen, index.shape[1] // 2]
    reach = 1 + np.array([min(_SIDE[fixed.ndim], (length - 1) // 2) for length in fixed.shape])
    adjacent = (np.abs(centers[:, None] - centers) / reach).sum(axis=-1) <= 1
    best, offset = np.zeros(len(centers)), np.zeros(len(centers))
    for size, way in itertools.product(_OFFSETS, itertools.product((-1, 0, 1), repeat=fixed.ndim)):
        axes = np.count_nonzero(way)
        if axes == 0 or (axes > 1 and size == _OFFSETS[-1]):
            continue
        beside = points + size * voxel_size(level) * (level.moving.direction @ np.array(way))
        there = _squared_correlations(level, beside, here)[seen]
        gain = _mean_gain(there - base[seen], adjacent & (there >= 0))
        offset = np.where(gain > best, size * axes**0.5, offset)
        best = np.maximum(best, gain)
    misplaced = float(np.mean(best > 0))
    if misplaced <= _MAX_MISPLACED:
        return ""
    worst = int(np.argmax(best))
    place = fixed.geometry.index_to_physical(centers[worst]).round(1).tolist()
    return (
        f"{misplaced:.1%} of the regions with structure are more alike some voxels beside where "
        f"the field leads them, most of all around {place} (about {offset[worst]:.2g} voxels): "
        "compare the images there; start closer with initial=, mask what only one image shows, or "
        "give landmarks"
    )


def _mean_gain(gains: NDArray[np.float64], regions: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the mean gain of each region; 0 where it is small, or small beside its spread.

    Parameters
    ----------
    gains : ndarray of float, shape (n,)
        Gain of each neighbourhood.
    regions : ndarray of bool, shape (m, n)
        The neighbourhoods of each region.
    """
    count = np.maximum(regions.sum(axis=1), 1)
    mean = regions @ gains / count
    variance = np.maximum(regions @ gains**2 / count - mean**2, 1e-12)
    error = np.sqrt(variance / np.maximum(count - 1, 1))
    clear = (count >= _MIN_IN_REGION) & (mean > _MIN_GAIN) & (mean > _MIN_ERRORS * error)
    return np.where(clear, mean, 0.0)


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


def _squared_correlations(
    level: Level, points: NDArray[Any], here: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Return the squared correlation of each neighbourhood with the moving image at points.

    It is -1 where some of them do not take part.
    """
    moving = level.moving
    inside = values_inside(level, points)[0].reshape(here.shape)
    index = np.clip(moving.geometry.physical_to_index(points), 0, np.array(moving.shape) - 1)
    found = values_at_points(moving.data, index.T, "linear")
    there = np.asarray(found, dtype=np.float64).reshape(here.shape)
    a = here - here.mean(axis=1, keepdims=True)
    b = there - there.mean(axis=1, keepdims=True)
    power = (a * a).sum(axis=1) * (b * b).sum(axis=1)
    squared: NDArray[np.float64] = (a * b).sum(axis=1) ** 2 / np.where(power > 0, power, 1)
    return np.where(inside.all(axis=1), squared, -1.0)


def _are_near(found: Transform, other: Transform, level: Level) -> bool:
    """Whether two transforms map most of the fixed image to about the same positions."""
    points, _ = sample_points(level)
    points = points[:: max(1, len(points) // 500)]
    size = float(np.linalg.norm(np.ptp(np.asarray(points), axis=0)))
    moved = np.linalg.norm(found(points) - other(points), axis=1)
    return bool(np.median(moved) < _APART * size)
