"""Functions whose result has a value for each voxel: the grid is kept.

Several images must lie on one grid. Tables of values (the second argument of `isin`, `digitize`,
`searchsorted`, `interp`) are no grids and are not compared.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.rules._moves import flat
from spatial_duck.rules._rule import (
    NO,
    UNKNOWN,
    each,
    geometries,
    named,
    only,
    rule,
    shape_of,
    together,
    unplaced,
    values,
)

if TYPE_CHECKING:
    from collections.abc import Callable

__all__: list[str] = []


def _all_together(function: str, *arguments: Any) -> Geometry | None:
    """Return the grid of elementwise arguments, or None where none of them is an image."""
    return together(function, *arguments) if geometries(*arguments) else None


# --- of one array -------------------------------------------------------------------------


@rule(
    "keeps",
    *named(np, "i0", "sinc", "iscomplex", "isreal"),
    *named(np.lib.scimath, "arccos", "arcsin", "arctanh", "log", "log10", "log2", "sqrt"),
    deferrable=True,
)
def _of_x(x: Geometry) -> Geometry:
    return x


@rule("keeps", np.real, np.imag, deferrable=True)
def _of_val(val: Geometry) -> Geometry:
    return val


@rule("keeps", np.sort_complex, deferrable=True)
def _of_a(a: Geometry) -> Geometry:
    return a


@rule("keeps", *named(np, "fix", "isneginf", "isposinf"))
def _of_x_out(x: Any, out: Any = None) -> Geometry | None:
    return only(x)


@rule("keeps", np.angle, deferrable=True)
def _angle(z: Geometry, deg: Any = False) -> Geometry:
    return z


@rule("keeps", np.real_if_close, deferrable=True)
def _real_if_close(a: Geometry, tol: Any = 100) -> Geometry:
    return a


@rule("keeps", np.round, np.around, deferrable=True)
def _round(a: Any, decimals: Any = 0, out: Any = None) -> Geometry | None:
    return only(a)


@rule("keeps", np.nan_to_num, deferrable=True)
def _nan_to_num(
    x: Any, copy: Any = True, nan: Any = 0.0, posinf: Any = None, neginf: Any = None
) -> Geometry | None:
    return _all_together("nan_to_num", x, nan, posinf, neginf)


@rule("keeps", np.astype, deferrable=True)
def _astype(x: Geometry, dtype: Any, /, *, copy: Any = True, device: Any = None) -> Geometry:
    return x


@rule("keeps", np.copy, deferrable=True)
def _copy(a: Geometry, order: Any = "K", subok: Any = False) -> Geometry:
    return a


@rule("keeps", np.unwrap, deferrable=True)
def _unwrap(
    p: Geometry, discont: Any = None, axis: Any = -1, *, period: Any = 6.283185307179586
) -> Geometry:
    return p


@rule("keeps", np.triu, np.tril, deferrable=True)
def _triu(m: Geometry, k: Any = 0) -> Geometry:
    return m if m.ndim > 1 else m.broadcast_to((m.shape[0], m.shape[0]))


@rule("keeps", np.roll, deferrable=True)
def _roll(a: Geometry, shift: Any, axis: Any = None) -> Geometry:
    return a


@rule("keeps", np.gradient)
def _gradient(f: Any, *varargs: Any, axis: Any = None, edge_order: Any = 1) -> Geometry | None:
    for distances in varargs:
        if isinstance(distances, Geometry) and isinstance(f, Geometry) and distances.ndim:
            axes = range(f.ndim) if axis is None else np.atleast_1d(axis).tolist()
            i = normalize_axis(list(axes)[varargs.index(distances)], f.ndim)
            together("gradient", f, distances[(...,) + (None,) * (f.ndim - i - 1)])
    return only(f)


# --- along an axis, or of all voxels in a row ---------------------------------------------


def _in_a_row(function: str, a: Any, axis: Any) -> Geometry | None:
    if not isinstance(a, Geometry):
        return None
    return flat(a, function) if axis is None else a


@each("keeps", np.cumsum, np.cumprod, np.nancumsum, np.nancumprod)
def _cumsum(function: str) -> Callable[..., Any]:
    def geometry(a: Any, axis: Any = None, dtype: Any = None, out: Any = None) -> Geometry | None:
        return _in_a_row(function, a, axis)

    return geometry


@rule("keeps", *named(np, "cumulative_sum", "cumulative_prod"))
def _cumulative_sum(
    x: Any,
    /,
    *,
    axis: Any = None,
    dtype: Any = None,
    out: Any = None,
    include_initial: Any = False,
) -> Geometry | None:
    if not isinstance(x, Geometry) or not include_initial:
        return only(x)
    # The initial value stands before the first voxel.
    return x.pad({normalize_axis(-1 if axis is None else axis, x.ndim): (1, 0)})


@rule("keeps", np.sort)
def _sort(
    a: Any,
    axis: Any = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: Any = NO,
) -> Geometry | None:
    return _in_a_row("sort", a, axis)


@rule("keeps", np.argsort)
def _argsort(
    a: Any,
    axis: Any = -1,
    kind: Any = None,
    order: Any = None,
    *,
    stable: Any = None,
    descending: Any = NO,
) -> Geometry | None:
    return _in_a_row("argsort", a, axis)


@each("keeps", np.partition, np.argpartition)
def _partition(function: str) -> Callable[..., Any]:
    def geometry(
        a: Any, kth: Any, axis: Any = -1, kind: Any = "introselect", order: Any = None
    ) -> Geometry | None:
        return _in_a_row(function, a, axis)

    return geometry


@rule("keeps", np.lexsort)
def _lexsort(keys: Any, axis: Any = -1) -> Geometry | None:
    if isinstance(keys, Geometry):
        return keys.reduce(0)
    return _all_together("lexsort", *keys)


# --- of several arrays --------------------------------------------------------------------


@rule("keeps", np.where)
def _where(condition: Any, x: Any = None, y: Any = None, /) -> Any:
    if x is None and y is None:
        return (values("where", condition, (UNKNOWN,)),) * condition.ndim
    return _all_together("where", condition, x, y)


@rule("keeps", np.clip, deferrable=True)
def _clip(
    a: Any,
    a_min: Any = NO,
    a_max: Any = NO,
    out: Any = None,
    *,
    min: Any = NO,
    max: Any = NO,
    **kwargs: Any,
) -> Geometry | None:
    limits = [m for m in (a_min, a_max, min, max) if m is not NO]
    where = kwargs.get("where")
    return _all_together("clip", a, *limits, None if where is True else where)


@rule("keeps", np.isclose, deferrable=True)
def _isclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> Any:
    return _all_together("isclose", a, b, rtol, atol)


@rule("keeps", np.select)
def _select(condlist: Any, choicelist: Any, default: Any = 0) -> Geometry | None:
    return _all_together("select", *condlist, *choicelist, default)


@rule("keeps", np.choose)
def _choose(a: Any, choices: Any, out: Any = None, mode: Any = "raise") -> Geometry | None:
    if isinstance(choices, Geometry):
        choices = [choices[i] for i in range(choices.shape[0])]
    elif isinstance(choices, np.ndarray):
        choices = list(choices)
    return _all_together("choose", a, *choices)


@rule("keeps", np.piecewise)
def _piecewise(x: Any, condlist: Any, funclist: Any, *args: Any, **kw: Any) -> Geometry | None:
    conditions = condlist if isinstance(condlist, list | tuple) else [condlist]
    masks = [c for c in geometries(*conditions) if isinstance(x, Geometry)]
    stacked = isinstance(condlist, Geometry) and isinstance(x, Geometry) and condlist.ndim > x.ndim
    if masks:
        together("piecewise", x, *([condlist[0]] if stacked else masks))
    return only(x)


@rule("keeps", np.isin)
def _isin(
    element: Any,
    test_elements: Any,
    assume_unique: Any = False,
    invert: Any = False,
    *,
    kind: Any = None,
) -> Geometry:
    return element if isinstance(element, Geometry) else unplaced(shape_of(element))


@rule("plain", *named(np, "in1d"))
def _in1d(
    ar1: Any, ar2: Any, assume_unique: Any = False, invert: Any = False, *, kind: Any = None
) -> Geometry | None:
    return flat(ar1, "in1d") if isinstance(ar1, Geometry) else unplaced((np.size(ar1),))


@rule("keeps", np.digitize)
def _digitize(x: Any, bins: Any, right: Any = False) -> Geometry:
    return x if isinstance(x, Geometry) else unplaced(shape_of(x))


@rule("keeps", np.searchsorted)
def _searchsorted(a: Any, v: Any, side: Any = "left", sorter: Any = None) -> Geometry:
    return v if isinstance(v, Geometry) else unplaced(shape_of(v))


@rule("keeps", np.interp)
def _interp(
    x: Any, xp: Any, fp: Any, left: Any = None, right: Any = None, period: Any = None
) -> Geometry:
    _all_together("interp", *geometries(xp, fp))
    return x if isinstance(x, Geometry) else unplaced(shape_of(x))


@rule("keeps", np.lib.scimath.logn)
def _logn(n: Any, x: Any) -> Geometry | None:
    return _all_together("logn", n, x)


@rule("keeps", np.lib.scimath.power)
def _power(x: Any, p: Any) -> Geometry | None:
    return _all_together("power", x, p)


@rule("keeps", np.unravel_index)
def _unravel_index(indices: Geometry, shape: Any, order: Any = "C") -> tuple[Geometry, ...]:
    return (indices,) * (len(shape) if hasattr(shape, "__len__") else 1)


@rule("keeps", np.ravel_multi_index)
def _ravel_multi_index(
    multi_index: Any, dims: Any, mode: Any = "raise", order: Any = "C"
) -> Geometry | None:
    if isinstance(multi_index, Geometry):
        return multi_index.reduce(0)
    return _all_together("ravel_multi_index", *multi_index)


@rule("keeps", np.polyval)
def _polyval(p: Any, x: Any) -> Geometry | None:
    return x if isinstance(x, Geometry) else unplaced(shape_of(x))


# --- dates --------------------------------------------------------------------------------


@rule("keeps", np.datetime_as_string)
def _datetime_as_string(
    arr: Geometry, unit: Any = None, timezone: Any = "naive", casting: Any = "same_kind"
) -> Geometry:
    return arr


@rule("keeps", np.busday_count)
def _busday_count(
    begindates: Any,
    enddates: Any,
    weekmask: Any = "1111100",
    holidays: Any = (),
    busdaycal: Any = None,
    out: Any = None,
) -> Geometry | None:
    return _all_together("busday_count", begindates, enddates)


@rule("keeps", np.busday_offset)
def _busday_offset(
    dates: Any,
    offsets: Any,
    roll: Any = "raise",
    weekmask: Any = "1111100",
    holidays: Any = None,
    busdaycal: Any = None,
    out: Any = None,
) -> Geometry | None:
    return _all_together("busday_offset", dates, offsets)


@rule("keeps", np.is_busday)
def _is_busday(
    dates: Any,
    weekmask: Any = "1111100",
    holidays: Any = None,
    busdaycal: Any = None,
    out: Any = None,
) -> Geometry | None:
    return only(dates)
