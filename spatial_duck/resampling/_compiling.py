"""How the loops of the compiled engine are compiled, and where what is compiled is kept.

Numba keeps a function on disk under its own name and code, which leaves out what it calls in other
functions and files, and functions that it holds in a closure are never found again. Therefore only
functions at the top of a module are `kept`; the parts that these call are compiled into them, and
a change in any file of kernels discards them all. Where nothing can be written (a read-only or
full disk, no home directory) kernels are compiled anew by each process.
"""
# mypy: allow-untyped-calls, disable-error-code="misc, untyped-decorator"
# ruff: noqa: ARG001  an overload has the parameters of what it stands for

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import numba
import numpy as np
from numba import types
from numba.extending import overload

from spatial_duck.resampling._numba_cache import keep

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["kept", "lift", "part", "part_exact", "put"]

F = TypeVar("F", bound="Callable[..., Any]")

#: Of the files that kernels are compiled from: a list without one of them would keep old code.
_STAMPS = [
    (path.name, path.stat().st_mtime, path.stat().st_size)
    for name in ("_compiling", "_kernels", "_kernels_points", "_kernels_wide")
    for path in [Path(__file__).with_name(f"{name}.py")]
    if path.exists()  # not in an archive, where nothing is kept either
]


def part(function: F) -> F:
    """Compile a part of kernels, whose products and sums may be rounded together."""
    compiled: F = numba.njit(nogil=True, error_model="numpy", fastmath={"contract"})(function)
    return compiled


def part_exact(function: F) -> F:
    """Compile a part of kernels in which every operation is rounded."""
    compiled: F = numba.njit(nogil=True, error_model="numpy")(function)
    return compiled


def kept(function: F) -> F:
    """Compile a kernel like `part_exact`, and keep it on disk."""
    compiled: F = keep(part_exact(function), function, _STAMPS)
    return compiled


def put(out: Any, i: Any, value: Any) -> None:
    """Write a value, rounded and saturated where `out` holds integers."""


@overload(put, inline="always")
def _put_overload(out: Any, i: Any, value: Any) -> Any:
    if isinstance(out.dtype, types.Integer):
        top, bottom = out.dtype.maxval, out.dtype.minval
        high, low = float(top), float(bottom)
        kind = np.dtype(out.dtype.name).type

        if out.dtype.bitwidth <= 32:

            def put_small(out: Any, i: Any, value: Any) -> None:
                # Added to 1.5 · 2**52 a number has no digits left behind the point.
                r = np.int64((value + 6755399441055744.0) - 6755399441055744.0)
                out[i] = kind(min(max(r, bottom), top))

            return put_small

        def put_whole(out: Any, i: Any, value: Any) -> None:
            r = np.rint(value)
            if r >= high:
                out[i] = kind(top)
            elif r <= low:
                out[i] = kind(bottom)
            else:
                out[i] = kind(r)

        return put_whole

    def put_same(out: Any, i: Any, value: Any) -> None:
        out[i] = value

    return put_same


def lift(value: Any, one: Any) -> Any:
    """Return a value in the type of the arithmetic, that of an array's elements."""


@overload(lift, inline="always")
def _lift_overload(value: Any, one: Any) -> Any:
    if isinstance(value, types.Complex):

        def lift_same(value: Any, one: Any) -> Any:
            return value

        return lift_same

    def lift_real(value: Any, one: Any) -> Any:
        return one.dtype.type(value)

    return lift_real
