"""Checks before a registration begins, and of its result."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from spatial_duck.errors import RegistrationError
from spatial_duck.transforms import Affine

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from spatial_duck.registration._outcome import Level, Outcome, RegistrationJob
    from spatial_duck.transforms import Transform

    Floats = NDArray[np.float64]

__all__ = [
    "MIN_DIFFERENCE",
    "check_answer",
    "check_contrast",
    "check_convergence",
    "check_overlap",
    "sample_points",
    "values_inside",
]

#: Least part of the fixed image that a result must map into the moving one.
_MIN_OVERLAP = 0.01
#: Most voxels by which the overlap is measured.
_MAX_POINTS = 20000
#: Least difference of metrics, as a part of the search's gain; smaller ones are noise.
MIN_DIFFERENCE = 0.05


def check_contrast(level: Level) -> None:
    """Refuse images without contrast."""
    for name, image, mask in (
        ("fixed", level.fixed, level.fixed_mask), ("moving", level.moving, level.moving_mask)
    ):  # fmt: skip
        values = image.data if mask is None else image.data[mask.data.astype(bool)]
        if values.size == 0:
            raise RegistrationError(
                f"{name}: no voxel takes part at the finest level that is used, {image.shape} at "
                f"{image.spacing.tolist()}: the mask and what is NaN leave none; give at= a finer "
                "spacing, or another mask"
            )
        if values.min() == values.max():
            raise RegistrationError(
                f"{name}: all voxels that take part have the value {values.min():g}; there is "
                "nothing to align"
            )


def sample_points(level: Level) -> tuple[Floats, NDArray[np.float32]]:
    """Return world positions of some voxels of the fixed image that take part, and their values."""
    fixed, mask = level.fixed, level.fixed_mask
    numbers = np.arange(fixed.size) if mask is None else np.flatnonzero(mask.data)
    numbers = numbers[:: max(1, len(numbers) // _MAX_POINTS)]
    index = np.column_stack(np.unravel_index(numbers, fixed.shape))
    points = np.asarray(fixed.geometry.index_to_physical(index), dtype=np.float64)
    return points, fixed.data.ravel()[numbers]


def values_inside(level: Level, points: Floats) -> tuple[NDArray[np.bool_], NDArray[np.float32]]:
    """Return which points lie within the moving image and its mask, and the values there."""
    index = level.moving.geometry.physical_to_index(points)
    shape = np.array(level.moving.shape)
    inside = ((index >= -0.5) & (index < shape - 0.5)).all(axis=1)
    nearest = tuple(np.clip(np.rint(index), 0, shape - 1).astype(np.intp).T)
    if level.moving_mask is not None:
        inside &= level.moving_mask.data[nearest].astype(bool)
    return inside, level.moving.data[nearest]


def check_overlap(transform: Transform, level: Level, when: str) -> float:
    """Return the part of the fixed image that a transform maps into the moving one."""
    inside, _ = values_inside(level, transform(sample_points(level)[0]))
    found = float(inside.mean())
    if found < _MIN_OVERLAP:
        raise RegistrationError(
            f"the images do not overlap {when}: {found:.1%} of the fixed image's voxels fall into "
            f"the moving image. Fixed lies in {level.fixed.bounds.tolist()}, moving in "
            f"{level.moving.bounds.tolist()} of {transform.world!r}; give initial='geometry', "
            "'moments' or a transform that brings them together"
        )
    return found


def check_answer(job: RegistrationJob, outcome: Outcome) -> None:
    """Refuse a result that cannot be right."""
    if not np.isfinite(outcome.after):
        raise RegistrationError(f"registration failed: the metric is {outcome.after} at the end")
    if isinstance(outcome.transform, Affine):
        n = len(job.start.world.axes)
        start = job.start.matrix if isinstance(job.start, Affine) else np.eye(n + 1)
        found = outcome.transform.matrix
        if np.linalg.det(found[:n, :n]) * np.linalg.det(start[:n, :n]) <= 0:
            raise RegistrationError("registration failed: the transform turns the image inside out")


def check_convergence(
    job: RegistrationJob, outcome: Outcome, better: float | None, noise: float = 0.0
) -> tuple[bool, str]:
    """Return whether the search converged, and why it ended.

    It converged if it ended before its iterations were used up at the finest level, with a better
    metric than at the start, and no better one nearby.

    Parameters
    ----------
    job : RegistrationJob
        The job.
    outcome : Outcome
        The engine's result.
    better : float or None
        The best metric near the result; None if it was not measured.
    noise : float, optional
        Least difference of metrics as a part of their value.
    """
    last = outcome.log[-1]
    least = max(MIN_DIFFERENCE * abs(outcome.before - outcome.after), noise * abs(outcome.after))
    against = []
    if not last.converged:
        against.append(f"the {job.iterations} iterations were used up before it came to rest")
    moved = _largest_move(job, outcome.transform)
    if outcome.after > outcome.before and moved > 0.1:
        against.append(
            f"the metric is worse than at the start, {outcome.after:.6g} against "
            f"{outcome.before:.6g}"
        )
    if better is not None and outcome.after - better > least:
        against.append(
            f"the metric is better a little way from the answer, {better:.6g} against "
            f"{outcome.after:.6g}"
        )
    return not against, "; ".join([*against, last.stop_reason])


def _largest_move(job: RegistrationJob, transform: Transform) -> float:
    """Return how far the answer is from the start, in voxels of the finest level."""
    points, _ = sample_points(job.levels[-1])
    moved = float(np.abs(transform(points) - job.start(points)).max())
    voxel: float = min(job.levels[-1].fixed.spacing.tolist())
    return moved / voxel
