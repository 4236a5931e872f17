"""Whether an answer can be trusted, apart from whether the search came to rest.

A search is content with the optimum next to its start. What was tried before it began, all the way
round, says whether there is a better one elsewhere.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from spatial_duck.registration._metric import Measure
from spatial_duck.registration._similarity_check import probes
from spatial_duck.transforms import Affine

if TYPE_CHECKING:
    from collections.abc import Sequence

    from spatial_duck.registration._outcome import Level, Registration
    from spatial_duck.transforms import Transform

__all__ = ["check_trust"]

#: With less overlap an answer is not to be trusted, nor where another alignment, apart from it, has
#: by this part more information in common.
_DOUBTFUL_OVERLAP, _AMBIGUOUS = 0.1, 0.02
#: Alignments are apart if most points lie so far from each other, as a part of the image's size.
_APART = 0.1


def check_trust(found: Registration, level: Level, others: Sequence[Affine]) -> Registration:
    """Say what speaks against an answer that the search is content with.

    Parameters
    ----------
    found : Registration
        What the search found.
    level : Level
        The coarsest one.
    others : sequence of Affine
        Alignments that lie apart from where it began.
    """
    doubts = []
    if found.overlap < _DOUBTFUL_OVERLAP:
        doubts.append(f"only {found.overlap:.0%} of the fixed image lie in the moving one")
    folded = _folded(found.transform, level)
    if folded:
        doubts.append(f"the transform folds space at {folded:.2%} of the fixed image's voxels")
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
    if all(isinstance(part, Affine) for part in found.parts):
        return 0.0
    values = np.asarray(found.jacobian_determinant(level.fixed.geometry).data)
    if level.fixed_mask is not None:
        values = values[level.fixed_mask.data.astype(bool)]
    return float(np.mean(values * np.sign(np.median(values)) <= 0))


def _are_near(found: Transform, other: Transform, level: Level) -> bool:
    """Return whether two transforms bring most of the fixed image to about the same place."""
    points, _ = probes(level)
    points = points[:: max(1, len(points) // 500)]
    size = float(np.linalg.norm(np.ptp(np.asarray(points), axis=0)))
    moved = np.linalg.norm(found(points) - other(points), axis=1)
    return bool(np.median(moved) < _APART * size)
