"""The metric of a result, measured over the same voxels each time, whatever the engine.

Engines smooth the metrics that they minimise. Mutual information with a smoothed joint histogram,
such as Mattes', prefers transforms that map voxels of little information out of the other image, by
up to a voxel at a coarse level; the histogram here is not smoothed. If the metric is better near a
result, along any parameter of the model, the search did not converge.
"""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING

import numpy as np

from spatial_duck.registration._similarity_check import sample_points, values_inside
from spatial_duck.resampling._sampling import values_at_points
from spatial_duck.transforms import Affine

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    from spatial_duck.registration._outcome import Level, RegistrationJob
    from spatial_duck.transforms import Transform

    Floats = NDArray[np.float64]

__all__ = [
    "NEARBY", "NOISE", "Measure", "best_nearby", "histogram_bins", "shared_information",
    "voxel_size",
]  # fmt: skip

#: Distance from a result at which engines measure the metric, in voxels.
NEARBY = 0.25
#: Distances at which it is measured here.
_NEAR = (0.1, NEARBY)
#: Part of a metric's value that is noise, from joint histograms of different voxels.
NOISE = {"mattes": 0.01, "mean_squares": 0.0, "correlation": 0.0}
#: Points that are interpolated at once.
_BLOCK = 1 << 12
#: Least number of voxels for a joint histogram of so many bins.
_BINS = ((0, 32), (30_000, 64))


def best_nearby(job: RegistrationJob, found: Affine) -> float:
    """Return the best metric a small step away along any parameter of the model.

    Parameters
    ----------
    job : RegistrationJob
        The job; its model is a matrix.
    found : Affine
        The result, from points of the fixed image to points of the moving one.
    """
    level = job.levels[-1]
    measure = Measure(level, job.metric)
    radius = float(np.sqrt((np.diff(level.fixed.bounds, axis=0) ** 2).sum() / 12))
    n = len(job.centre)
    values = []
    for direction in _directions(job.model, n):
        # Rotations and scales are about the centre, and move voxels as far as shifts on average.
        direction[:n, :n] /= radius
        direction[:n, n] -= direction[:n, :n] @ job.centre
        for part, sign in itertools.product(_NEAR, (-1, 1)):
            step = np.eye(n + 1) + sign * part * voxel_size(level) * direction
            values.append(measure(Affine(found.matrix @ step, found.world)))
    return min(values)


def _directions(model: str, n: int) -> list[Floats]:
    """Return the directions in which a model's matrices can be changed."""

    def made(*entries: tuple[int, int, float]) -> Floats:
        out = np.zeros((n + 1, n + 1))
        for row, column, value in entries:
            out[row, column] = value
        return out

    shifts = [made((axis, n, 1.0)) for axis in range(n)]
    if model == "translation":
        return shifts
    if model == "affine":
        return [*shifts, *[made((a, b, 1.0)) for a, b in itertools.product(range(n), repeat=2)]]
    turns = [made((a, b, 1.0), (b, a, -1.0)) for a, b in itertools.combinations(range(n), 2)]
    scale = [made(*[(a, a, 1.0) for a in range(n)])] if model == "similarity" else []
    return [*shifts, *turns, *scale]


def voxel_size(level: Level) -> float:
    """Return the shortest spacing of the coarser image."""
    return float(max(min(level.fixed.spacing.tolist()), min(level.moving.spacing.tolist())))


def histogram_bins(voxels: int) -> int:
    """Return how many bins a joint histogram of so many voxels has along each axis."""
    return [bins for least, bins in _BINS if voxels >= least][-1]


class Measure:
    """A metric at a level as a function of a transform, over the same voxels each time.

    Parameters
    ----------
    level : Level
        Both images.
    metric : str
        One of `METRICS`.
    """

    def __init__(self, level: Level, metric: str) -> None:
        self.level, self.metric = level, _METRICS[metric]
        self.points, self.values = sample_points(level)

    def __call__(self, transform: Transform) -> float:
        """Return the metric, infinite where nothing overlaps; smaller is better."""
        moving, here, there = self.level.moving, [], []
        for start in range(0, len(self.points), _BLOCK):
            points = transform(self.points[start : start + _BLOCK])
            inside, _ = values_inside(self.level, points)
            if inside.any():
                index = moving.geometry.physical_to_index(points[inside])
                index = np.clip(index, 0, np.array(moving.shape) - 1).T
                there.append(np.asarray(values_at_points(moving.data, index, "linear"), float))
                here.append(self.values[start : start + _BLOCK][inside].astype(float))
        if not here:
            return float("inf")
        return self.metric(np.concatenate(here), np.concatenate(there))


def _mean_squares(here: Floats, there: Floats) -> float:
    return float(((here - there) ** 2).mean())


def _correlation(here: Floats, there: Floats) -> float:
    a, b = here - here.mean(), there - there.mean()
    power = float((a @ a) * (b @ b))
    return -(float(a @ b) ** 2) / power if power else 0.0


def _mutual_information(here: Floats, there: Floats) -> float:
    bins, number = histogram_bins(len(here)), np.zeros(len(here), np.intp)
    for values in (here, there):
        low, high = float(np.min(values)), float(np.max(values))
        part = (values - low) * (bins / max(high - low, np.finfo(float).tiny))
        number = number * bins + np.minimum(part.astype(np.intp), bins - 1)
    joint = np.bincount(number, minlength=bins * bins).reshape(bins, bins) / len(here)
    return -shared_information(joint)


def shared_information(joint: Floats) -> float:
    """Return the mutual information of a joint histogram whose sum is 1, in nats."""
    apart = joint.sum(axis=1, keepdims=True) * joint.sum(axis=0, keepdims=True)
    full = joint > 0
    return float((joint[full] * np.log(joint[full] / apart[full])).sum())


_METRICS: dict[str, Callable[[Floats, Floats], float]] = {
    "mattes": _mutual_information,
    "mean_squares": _mean_squares,
    "correlation": _correlation,
}
