"""Normalise intensities for networks by named rules, and undo it.

Every rule comes down to four numbers: ``scaled = (clip(value, low, high) - shift) / scale``. A rule
is a function that finds them for an image; to add one, write such a function and a row in `RULES`.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from spatial_duck import backends

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from spatial_duck.array import SpatialArray

__all__ = ["RULES", "Intensity", "find_intensity"]

#: Percentiles of larger images are taken of this many evenly spaced voxels at most.
_MAX_VOXELS = 1 << 22


class Intensity(NamedTuple):
    """A linear map of intensities, with bounds.

    Attributes
    ----------
    low, high : scalar or None
        Values beyond these count as these; None for no bound.
    shift, scale : scalar
        ``scaled = (value - shift) / scale``. Numbers, or lazy 0-d arrays for lazy images.
    """

    low: Any = None
    high: Any = None
    shift: Any = 0.0
    scale: Any = 1.0

    def apply(self, values: Any) -> Any:
        """Return scaled values; lazy for lazy ones.

        Examples
        --------
        >>> Intensity(0, 10, shift=0, scale=10).apply(np.array([-5.0, 5.0, 20.0]))
        array([0. , 0.5, 1. ])
        """
        if self.low is not None or self.high is not None:
            values = np.clip(values, self.low, self.high)
        return (values - self.shift) / self.scale

    def undo(self, values: Any) -> Any:
        """Return the values before `apply`; those beyond the bounds come back as the bounds."""
        return values * self.scale + self.shift


def _range(low: Any, high: Any) -> Intensity:
    """Scale a range of values to 0 to 1."""
    return Intensity(low, high, low, _positive_scale(high - low))


def _positive_scale(scale: Any) -> Any:
    """Return a scale, or 1 where an image has one value only."""
    return scale + (scale == 0)


def _zscore(data: Any) -> Intensity:
    """Mean 0 and standard deviation 1."""
    return Intensity(
        None, None, _statistic(np.nanmean, data), _positive_scale(_statistic(np.nanstd, data))
    )


def _minmax(data: Any) -> Intensity:
    """From the lowest value, 0, to the highest, 1."""
    return _range(_statistic(np.nanmin, data), _statistic(np.nanmax, data))


def _statistic(statistic: Callable[..., Any], data: Any, *numbers: Any) -> Any:
    """Return a statistic, worked out by the backend of the data where they are."""
    return backends.call(statistic, (data, *numbers), {})


def _percentile(data: Any, low: float = 0.5, high: float = 99.5) -> Intensity:
    """From one percentile, 0, to another, 1; values beyond are clipped."""
    if not 0 <= low < high <= 100:
        raise ValueError(f"intensity: percentiles must rise from 0 to 100, got {low!r}, {high!r}")
    found = _percentiles(_subsample(data), (low, high))
    return _range(found[0], found[1])


def _ct_window(data: Any, level: float = 40.0, width: float = 400.0) -> Intensity:  # noqa: ARG001
    """From the lower end of a window of Hounsfield units, 0, to its upper end, 1."""
    if not width > 0:
        raise ValueError(f"intensity: the width of a window must be positive, got {width!r}")
    return _range(level - width / 2, level + width / 2)


#: The rules by name. Each takes a floating array, and numbers that have defaults.
RULES: Mapping[str, Callable[..., Intensity]] = MappingProxyType(
    {"zscore": _zscore, "minmax": _minmax, "percentile": _percentile, "ct-window": _ct_window}
)


def find_intensity(image: SpatialArray, rule: str | Sequence[Any] | Intensity) -> Intensity:
    """Return the map of intensities that a rule means for an image.

    Parameters
    ----------
    image : SpatialArray
        On any backend; nothing is computed of lazy ones. NaN does not count.
    rule : str, sequence or Intensity
        Name of one of `RULES`; or the name and numbers for it: ``("percentile", 1, 99)``,
        ``("ct-window", -600, 1500)`` (level and width); or the map itself, which comes back.

    Raises
    ------
    ValueError
        If there is no such rule, or its numbers are wrong.

    Examples
    --------
    >>> from spatial_duck import SpatialArray
    >>> found = find_intensity(SpatialArray(np.array([1.0, 5.0])), "minmax")
    >>> found.apply(np.array([1.0, 2.0, 5.0]))
    array([0.  , 0.25, 1.  ])
    """
    if isinstance(rule, Intensity):
        return rule
    name, *numbers = (rule,) if isinstance(rule, str) else tuple(rule)
    if name not in RULES:
        raise ValueError(f"intensity must be one of {', '.join(RULES)}, got {rule!r}")
    data = backends.dask_form(image.data)
    # The statistics of narrow types are worked out in doubles, as those of wide ones are.
    return RULES[name](backends.astype(data, np.dtype("float64")), *numbers)


def _subsample(data: Any) -> Any:
    """Return evenly spaced voxels, `_MAX_VOXELS` at most."""
    steps = [1] * data.ndim
    while np.prod([-(-n // s) for n, s in zip(data.shape, steps, strict=True)]) > _MAX_VOXELS:
        longest = max(range(data.ndim), key=lambda a: data.shape[a] / steps[a])
        steps[longest] += 1
    return data[tuple([slice(None, None, s) for s in steps])]


def _percentiles(data: Any, wanted: tuple[float, ...]) -> Any:
    if not backends.is_dask(data):
        return _statistic(np.nanpercentile, data, wanted)
    import dask.array as da

    flat = data.ravel().rechunk(-1)
    return da.map_blocks(
        np.nanpercentile,
        flat,
        wanted,
        dtype=flat.dtype,
        chunks=((len(wanted),),),
        meta=backends.empty_block(flat),
    )
