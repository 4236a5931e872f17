"""Functions whose result has a value for each voxel (`add`, `roll`, `sort`): the grid is kept.

Several images must lie on one grid. Tables of values (the second argument of `isin`, `digitize`,
`searchsorted`, `interp`) are not compared with the grid.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.geometry._numbering import normalize_axis
from spatial_duck.rules._moves import flatten
from spatial_duck.rules._rule import (
    UNKNOWN,
    common_grid,
    elementwise,
    elementwise_geometry,
    existing,
    geometries,
    geometry_or_none,
    loss_of_all,
    rule,
    shape_of,
    unplaced,
)

__all__: list[str] = []


# --- of one array -------------------------------------------------------------------------


rule(
    "keeps",
    *existing(np, "i0 sinc iscomplex isreal real imag sort_complex angle real_if_close round"),
    *existing(np, "around astype copy unwrap roll fix isneginf isposinf"),
    *existing(np.lib.scimath, "arccos arcsin arctanh log log10 log2 sqrt"),
    deferrable=True,
)(geometry_or_none)
rule("keeps", np.is_busday, np.datetime_as_string)(geometry_or_none)
elementwise("x nan posinf neginf", np.nan_to_num, deferrable=True)


@rule("keeps", np.triu, np.tril, deferrable=True)
def _triu(m: Geometry) -> Geometry:
    return m if m.ndim > 1 else m.broadcast_to((m.shape[0], m.shape[0]))


@rule("keeps", np.gradient)
def _gradient(f: Any, varargs: Any, axis: Any) -> Geometry | None:
    for n, distances in enumerate(varargs):
        if isinstance(distances, Geometry) and isinstance(f, Geometry) and distances.ndim:
            axes = range(f.ndim) if axis is None else np.atleast_1d(axis).tolist()
            i = normalize_axis(list(axes)[n], f.ndim)
            elementwise_geometry("gradient", f, distances[(...,) + (None,) * (f.ndim - i - 1)])
    return geometry_or_none(f)


# --- along an axis, or over the flattened image --------------------------------------------


@rule("keeps", *existing(np, "cumsum cumprod nancumsum nancumprod sort argsort"))
@rule("keeps", np.partition, np.argpartition)
def _along_axis(name: str, a: Any, axis: Any) -> Geometry | None:
    """Return the grid; flattened if the axis is None."""
    return flatten(a, name) if axis is None and geometry_or_none(a) else geometry_or_none(a)


@rule("keeps", *existing(np, "cumulative_sum cumulative_prod"))
def _cumulative(x: Any, axis: Any, include_initial: Any) -> Geometry | None:
    if not isinstance(x, Geometry) or not include_initial:
        return geometry_or_none(x)
    # The initial value stands before the first voxel.
    return x.pad({normalize_axis(-1 if axis is None else axis, x.ndim): (1, 0)})


@rule("keeps", np.lexsort)
def _lexsort(keys: Any) -> Geometry | None:
    return keys.reduce(0) if geometry_or_none(keys) else common_grid("lexsort", *keys)


# --- of several arrays --------------------------------------------------------------------

elementwise("a b rtol atol", np.isclose, deferrable=True)
elementwise("n x", np.lib.scimath.logn)
elementwise("x p", np.lib.scimath.power)


@rule("keeps", np.busday_count, np.busday_offset)
def _date_pair_function(name: str, image: Any, other: Any) -> Geometry | None:
    return common_grid(name, image, other)


@rule("keeps", np.where)
def _where(condition: Any, x: Any = None, y: Any = None) -> Any:
    if x is None and y is None:
        return (loss_of_all("where", condition, (UNKNOWN,)),) * condition.ndim
    return common_grid("where", condition, x, y)


@rule("keeps", np.clip, deferrable=True)
def _clip(
    a: Any,
    a_min: Any = None,
    a_max: Any = None,
    min: Any = None,
    max: Any = None,
    where: Any = None,
) -> Geometry | None:
    return common_grid("clip", a, a_min, a_max, min, max, None if where is True else where)


@rule("keeps", np.select)
def _select(condlist: Any, choicelist: Any, default: Any) -> Geometry | None:
    return common_grid("select", *condlist, *choicelist, default)


@rule("keeps", np.choose)
def _choose(a: Any, choices: Any) -> Geometry | None:
    if isinstance(choices, Geometry | np.ndarray):
        choices = [choices[i] for i in range(choices.shape[0])]
    return common_grid("choose", a, *choices)


@rule("keeps", np.piecewise)
def _piecewise(x: Any, condlist: Any) -> Geometry | None:
    conditions = condlist if isinstance(condlist, list | tuple) else [condlist]
    masks = [c for c in geometries(*conditions) if isinstance(x, Geometry)]
    stacked = isinstance(condlist, Geometry) and isinstance(x, Geometry) and condlist.ndim > x.ndim
    if masks:
        elementwise_geometry("piecewise", x, *([condlist[0]] if stacked else masks))
    return geometry_or_none(x)


# --- table look-up ------------------------------------------------------------------------


@rule("keeps", np.isin, np.digitize)
def _look_up_image(image: Any) -> Geometry:
    return image if isinstance(image, Geometry) else unplaced(shape_of(image))


@rule("keeps", np.searchsorted, np.polyval)
def _second_argument(other: Any) -> Geometry:
    return other if isinstance(other, Geometry) else unplaced(shape_of(other))


@rule("plain", *existing(np, "in1d"))
def _in1d(ar1: Any) -> Geometry:
    return flatten(ar1, "in1d") if isinstance(ar1, Geometry) else unplaced((np.size(ar1),))


@rule("keeps", np.interp)
def _interp(x: Any, xp: Any, fp: Any) -> Geometry:
    common_grid("interp", *geometries(xp, fp))
    return x if isinstance(x, Geometry) else unplaced(shape_of(x))


@rule("keeps", np.unravel_index)
def _unravel_index(indices: Geometry, shape: Any) -> tuple[Geometry, ...]:
    return (indices,) * (len(shape) if hasattr(shape, "__len__") else 1)


@rule("keeps", np.ravel_multi_index)
def _ravel_multi_index(multi_index: Any) -> Geometry | None:
    if isinstance(multi_index, Geometry):
        return multi_index.reduce(0)
    return common_grid("ravel_multi_index", *multi_index)
