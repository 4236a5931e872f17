"""Functions that ask about arrays, and those that images do not take part in.

Answers that are no arrays (a bool, a shape, a type, a text) are NumPy's own.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from spatial_duck.geometry import Geometry
from spatial_duck.rules._rule import geometries, refuse, rule, shape_of, together

__all__: list[str] = []


@rule("plain", np.shape, np.ndim)
def _shape(a: Any) -> None: ...


@rule("plain", np.size)
def _size(a: Any, axis: Any = None) -> None: ...


@rule("plain", np.iscomplexobj, np.isrealobj)
def _iscomplexobj(x: Any) -> None: ...


@rule("plain", np.common_type)
def _common_type(*arrays: Any) -> None: ...


@rule("plain", np.result_type)
def _result_type(*arrays_and_dtypes: Any) -> None: ...


@rule("plain", np.min_scalar_type)
def _min_scalar_type(a: Any, /) -> None: ...


@rule("plain", np.can_cast)
def _can_cast(from_: Any, to: Any, casting: Any = "safe") -> None: ...


@rule("plain", np.may_share_memory)
def _may_share_memory(a: Any, b: Any, /, max_work: Any = 0) -> None: ...


@rule("plain", np.shares_memory)
def _shares_memory(a: Any, b: Any, /, max_work: Any = -1) -> None: ...


@rule("plain", np.einsum_path)
def _einsum_path(*operands: Any, optimize: Any = "greedy", einsum_call: Any = False) -> None: ...


@rule("plain", np.array_str)
def _array_str(
    a: Any, max_line_width: Any = None, precision: Any = None, suppress_small: Any = None
) -> None: ...


@rule("plain", np.array_repr)
def _array_repr(
    arr: Any, max_line_width: Any = None, precision: Any = None, suppress_small: Any = None
) -> None: ...


@rule("plain", np.array2string)
def _array2string(
    a: Any,
    max_line_width: Any = None,
    precision: Any = None,
    suppress_small: Any = None,
    separator: Any = " ",
    prefix: Any = "",
    *,
    formatter: Any = None,
    threshold: Any = None,
    edgeitems: Any = None,
    sign: Any = None,
    floatmode: Any = None,
    suffix: Any = "",
    legacy: Any = None,
) -> None: ...


# --- comparisons to one bool --------------------------------------------------------------


def _compared(function: str, a: Any, b: Any) -> None:
    """Check the grids of images that are compared; other shapes are simply not equal."""
    if len(geometries(a, b)) == 2:
        try:
            np.broadcast_shapes(a.shape, b.shape)
        except ValueError:
            return
        together(function, a, b)


@rule("plain", np.array_equal)
def _array_equal(a1: Any, a2: Any, equal_nan: Any = False) -> None:
    if shape_of(a1) == shape_of(a2):
        _compared("array_equal", a1, a2)


@rule("plain", np.array_equiv)
def _array_equiv(a1: Any, a2: Any) -> None:
    _compared("array_equiv", a1, a2)


@rule("plain", np.allclose)
def _allclose(a: Any, b: Any, rtol: Any = 1e-05, atol: Any = 1e-08, equal_nan: Any = False) -> None:
    if isinstance(a, Geometry) or isinstance(b, Geometry):
        _compared("allclose", a, b)


# --- files --------------------------------------------------------------------------------

refuse(
    "would drop the place of the image: use spatial_duck.write(path, image), or save image.data",
    np.save,
    np.savez,
    np.savez_compressed,
    np.savetxt,
)
