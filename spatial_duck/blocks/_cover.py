"""How blocks cover one axis: cores that share it out, windows that overlap, and weights.

Every index of the axis belongs to one core. The window of a core is what the function sees of the
axis, and is at least as long. The weights of all windows that hold an index add up to 1 there, so
that blending is a sum, and the weight of a block is the product of those along its axes.
"""

from __future__ import annotations

import itertools
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from types import MappingProxyType
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

    Floats = NDArray[np.float64]

__all__ = ["PROFILES", "Cover", "cover_cores", "cover_windows", "even_edges"]


def _linear(n: int, overlap: int) -> Floats:
    """Rise from the ends over the overlap, and stay."""
    # From half a step, so that the ends of windows show less than what lies between them.
    inwards = np.minimum(np.arange(n), np.arange(n)[::-1]) + 0.5
    risen: Floats = np.minimum(inwards / overlap, 1.0)
    return risen


def _gaussian(n: int, overlap: int) -> Floats:  # noqa: ARG001
    """Form a bell around the middle, four standard deviations to each end."""
    bell: Floats = np.exp(-0.5 * ((np.arange(n) - (n - 1) / 2) / (n / 8)) ** 2)
    return bell


#: What a window counts along its length before the weights are made to add up to 1.
PROFILES: Mapping[str, Callable[[int, int], Floats]] = MappingProxyType(
    {"linear": _linear, "gaussian": _gaussian}
)


@dataclass(frozen=True, eq=False, slots=True)
class Cover:
    """Cores and windows along one axis.

    Attributes
    ----------
    edges : tuple of int
        Core k reaches from ``edges[k]`` to ``edges[k + 1]``.
    windows : tuple of (start, stop)
        One for each core, which it holds where nothing is blended.
    weights : tuple of ndarray of float, or None
        For each window the weight of each of its voxels; None where only cores count.
    """

    edges: tuple[int, ...]
    windows: tuple[tuple[int, int], ...]
    weights: tuple[Floats, ...] | None = None

    @property
    def chunks(self) -> tuple[int, ...]:
        """Lengths of the cores."""
        return tuple([b - a for a, b in itertools.pairwise(self.edges)])

    def core(self, k: int) -> tuple[int, int]:
        """Return first index of a core, and the one after its last."""
        return self.edges[k], self.edges[k + 1]

    def meeting(self, k: int) -> range:
        """Return the windows that count in a core."""
        if self.weights is None:
            return range(k, k + 1)
        start, stop = self.core(k)
        starts, stops = [a for a, _ in self.windows], [b for _, b in self.windows]
        return range(bisect_right(stops, start), bisect_left(starts, stop))


def even_edges(length: int, size: int | None) -> tuple[int, ...]:
    """Cut an axis into cores of one size, the last one shorter.

    Examples
    --------
    >>> even_edges(10, 4), even_edges(3, None), even_edges(0, 4)
    ((0, 4, 8, 10), (0, 3), (0, 0))
    """
    if size is None or length == 0:
        return (0, length)
    return (*range(0, length, size), length)


def cover_cores(edges: Sequence[int], halo: int, blend: str | None) -> Cover:
    """Surround each core with a halo, which ends where the axis ends.

    Parameters
    ----------
    edges : sequence of int
        First index of each core, and the length of the axis.
    halo : int
        Voxels on both sides.
    blend : str or None
        One of `PROFILES`.

    Examples
    --------
    >>> cover_cores((0, 4, 8, 10), 1, None).windows
    ((0, 5), (3, 9), (7, 10))
    """
    length = edges[-1]
    windows = [(max(a - halo, 0), min(b + halo, length)) for a, b in itertools.pairwise(edges)]
    weights = _weights(windows, 2 * halo, length, blend) if halo else None
    return Cover(tuple(edges), tuple(windows), weights)


def cover_windows(length: int, window: int, overlap: int, blend: str | None) -> Cover:
    """Slide a window of one length along an axis; the last one ends where the axis ends.

    Parameters
    ----------
    length : int
        Length of the axis.
    window : int
        Length of the window; the axis is covered by one where it is no longer.
    overlap : int
        Voxels that neighbouring windows share at least.
    blend : str or None
        One of `PROFILES`.

    Examples
    --------
    >>> cover = cover_windows(10, 4, 1, None)
    >>> cover.windows, cover.edges
    (((0, 4), (3, 7), (6, 10)), (0, 4, 7, 10))
    """
    if length <= window:
        return Cover((0, length), ((0, length),))
    starts = [*range(0, length - window, window - overlap), length - window]
    windows = [(a, a + window) for a in starts]
    weights = _weights(windows, overlap, length, blend) if overlap else None
    # The border of two cores is the middle of what their windows share. Where these are blended it
    # is where the second one begins, so that as few windows as can be are needed for a core.
    borders = starts[1:]
    if weights is None:
        borders = [-(-(a[1] + b[0]) // 2) for a, b in itertools.pairwise(windows)]
    return Cover((0, *borders, length), tuple(windows), weights)


def _weights(
    windows: Sequence[tuple[int, int]], overlap: int, length: int, blend: str | None
) -> tuple[Floats, ...] | None:
    if blend is None or len(windows) == 1:
        return None
    raw = [PROFILES[blend](b - a, overlap) for a, b in windows]
    total = np.zeros(length)
    for (a, b), weight in zip(windows, raw, strict=True):
        total[a:b] += weight
    return tuple([w / total[a:b] for (a, b), w in zip(windows, raw, strict=True)])


def weighted(values: Any, weights: Sequence[Floats | None], kind: Any) -> Any:
    """Multiply values with a weight along each axis, in a floating type.

    Parameters
    ----------
    values : array
        An array of any library that answers NumPy's functions.
    weights : sequence of (ndarray or None)
        One for each axis; None stands for 1.
    kind : dtype
        Data type of the result.
    """
    out = values.astype(kind)
    for axis, weight in enumerate(weights):
        if weight is not None:
            shape = [-1 if i == axis else 1 for i in range(values.ndim)]
            # On the device of the values.
            out *= np.asarray(weight.astype(kind.char.lower()).reshape(shape), like=values)
    return out
