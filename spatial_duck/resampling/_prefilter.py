"""Filters that run over the source before it is interpolated.

B-splines need coefficients, and smoothing along axes that mix has to happen along the source's own
axes. Both run over a box of the source as a whole: what lies `Plan.halo` voxels away no longer
matters, so that a box that is so much larger than needed gives the values of the whole, to 2e-9.

Values that are not finite keep to themselves: the filters see their neighbours in their place, and
afterwards they stand where they stood, so that whatever weighs them shows it.
"""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling._interpolations import kinds
from spatial_duck.resampling._separable import SeparableAxis

if TYPE_CHECKING:
    from spatial_duck.resampling._coupled import Box
    from spatial_duck.resampling._plan import Plan

    Filters = dict[int, tuple[tuple[float, ...], float]]

__all__ = ["filtered", "prepare", "prepared_type", "wider"]


def prepared_type(dtype: np.dtype[Any]) -> np.dtype[Any]:
    """Return the type that filtered values are kept in: they are computed in 64 bits."""
    small = dtype.kind in "iub" and dtype.itemsize == 1
    return np.dtype({"e": "f", "f": "f", "F": "F", "D": "D"}.get(dtype.char, "f" if small else "d"))


def wider(plan: Plan, box: Box) -> Box:
    """Return a box of the source with as much around it as the filters look at."""
    return tuple(
        [
            (max(start - halo, 0), min(stop + halo, n))
            for (start, stop), halo, n in zip(box, plan.halo, plan.source_shape, strict=True)
        ]
    )


def prepare(plan: Plan, data: Any, threads: int = 1) -> Any:
    """Run a plan's filters over a box of the source.

    Parameters
    ----------
    plan : Plan
        The plan of the resampling; see `Plan.filters`.
    data : array
        The box. Where it ends before the source does its outermost values are off.
    threads : int
        How many to use.

    Returns
    -------
    array
        New, of `prepared_type`; the last of the axes that mix is the inner one.
    """
    inner = data.ndim - 1 if plan.coupled is None else plan.coupled.sources[-1]
    return filtered(data, plan.filters, plan.interpolation, inner, threads)


def filtered(data: Any, filters: Filters, interpolation: str, inner: int, threads: int = 1) -> Any:
    """Run filters over an array; see `prepare`.

    Parameters
    ----------
    data : array
        The values.
    filters : dict of axis to (poles, sigma)
        As `Plan.filters` has them.
    interpolation : str
        What the values are for.
    inner : int
        The axis that is to be the inner one of the result.
    threads : int
        How many to use.
    """
    order = [a for a in range(data.ndim) if a != inner] + [inner]
    out = np.empty([data.shape[a] for a in order], prepared_type(data.dtype))
    out = out.transpose(np.argsort(order).tolist())
    source, bad = _replace_nonfinite(data, list(filters))
    mirror = bool(kinds[interpolation].poles)
    for axis, (poles, sigma) in filters.items():
        _split(source, out, axis, poles, sigma, mirror, threads)
        source = out
    if bad is not None:
        out[bad] = data[bad]
    return out


def _replace_nonfinite(data: Any, axes: list[int]) -> tuple[Any, Any]:
    """Return finite values, and where they are not those that came."""
    if data.dtype.kind not in "fc":
        return data, None
    with np.errstate(over="ignore", invalid="ignore"):
        if bool(np.isfinite(data.sum())):
            return data, None
    bad = ~np.isfinite(data)
    if not bool(bad.any()):
        return data, None
    return _filled(data, bad, axes[-1]), bad


def _filled(data: Any, bad: Any, axis: int) -> Any:
    """Replace bad values by the nearest good one along an axis, or 0."""
    n = data.shape[axis]
    index = np.arange(n).reshape([-1 if a == axis else 1 for a in range(data.ndim)])
    before = np.maximum.accumulate(np.where(bad, -1, index), axis=axis)
    after = np.where(bad, n, index)
    after = np.flip(np.minimum.accumulate(np.flip(after, axis), axis=axis), axis)
    nearest = np.where((before < 0) | ((after < n) & (after - index < index - before)), after,
                       before)  # fmt: skip
    found = np.take_along_axis(data, np.clip(nearest, 0, n - 1), axis)
    return np.where(np.isfinite(found), found, found.dtype.type(0))


def _split(
    source: Any, out: Any, axis: int, poles: tuple[float, ...], sigma: float, mirror: bool,
    threads: int,
) -> None:  # fmt: skip
    """Filter along one axis, a part of another axis in each thread."""
    engine = engines.engine_for(source)
    tables = None
    if sigma:
        line = SeparableAxis(axis, axis, 1.0, 0.0, source.shape[axis], sigma)
        table = line.spread(mirror)
        tables = table[0], table[1].astype(out.real.dtype)

    def work(part: tuple[slice, ...]) -> None:
        values = source[part]
        if poles:
            engine.prefilter(values, axis, poles, out[part])
            values = out[part]
        if tables is not None:  # it reads around what it writes
            engine.taps(values.copy(), axis, *tables, out[part])

    others = [a for a in range(source.ndim) if a != axis]
    if not others or source.size < 1 << 16 or threads == 1:
        work((slice(None),) * source.ndim)
        return
    across = max(others, key=lambda a: (min(source.shape[a], 4 * threads), -a))
    n = source.shape[across]
    count = min(2 * threads, n)
    edges = [n * i // count for i in range(count + 1)]
    parts = [
        tuple([slice(a, b) if i == across else slice(None) for i in range(source.ndim)])
        for a, b in itertools.pairwise(edges)
    ]
    with ThreadPoolExecutor(threads) as pool:
        for _ in pool.map(work, parts):
            pass
