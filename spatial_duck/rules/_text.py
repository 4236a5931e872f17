"""Functions on arrays of text: elementwise, the grid is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy import char, strings

from spatial_duck.rules._rule import each, geometries, named, rule, together

if TYPE_CHECKING:
    from collections.abc import Callable

    from spatial_duck.geometry import Geometry

__all__: list[str] = []


def _all(function: str, *arguments: Any) -> Geometry | None:
    return together(function, *arguments) if geometries(*arguments) else None


@each("keeps", *named(char, "equal", "not_equal", "greater", "greater_equal", "less", "less_equal"))
def _compare(function: str) -> Callable[..., Any]:
    def geometry(x1: Any, x2: Any) -> Geometry | None:
        return _all(function, x1, x2)

    return geometry


@rule("keeps", *named(char, "capitalize", "lower", "swapcase", "title", "upper"))
def _of_a(a: Geometry) -> Geometry:
    return a


@each("keeps", *named(char, "center", "ljust", "rjust"))
def _justified(function: str) -> Callable[..., Any]:
    def geometry(a: Any, width: Any, fillchar: Any = " ") -> Geometry | None:
        return _all(function, a, width, fillchar)

    return geometry


@rule("keeps", *named(char, "zfill"))
def _zfill(a: Any, width: Any) -> Geometry | None:
    return _all("zfill", a, width)


@rule("keeps", *named(char, "decode", "encode"))
def _decode(a: Geometry, encoding: Any = None, errors: Any = None) -> Geometry:
    return a


@rule("keeps", *named(char, "expandtabs"))
def _expandtabs(a: Any, tabsize: Any = 8) -> Geometry | None:
    return _all("expandtabs", a, tabsize)


@rule("keeps", *named(char, "replace"))
def _replace(a: Any, old: Any, new: Any, count: Any = -1) -> Geometry | None:
    return _all("replace", a, old, new, count)


@rule("keeps", *named(char, "translate"))
def _translate(a: Geometry, table: Any, deletechars: Any = None) -> Geometry:
    return a


@rule("keeps", *named(char, "join"))
def _join(sep: Any, seq: Any) -> Geometry | None:
    return _all("join", sep, seq)


@each("keeps", *named(char, "split", "rsplit"))
def _split(function: str) -> Callable[..., Any]:
    def geometry(a: Geometry, sep: Any = None, maxsplit: Any = None) -> Geometry | None:
        return _all(function, a, sep)

    return geometry


@rule("keeps", *named(char, "splitlines"))
def _splitlines(a: Geometry, keepends: Any = None) -> Geometry:
    return a


@rule("keeps", *named(strings, "mod"))
def _mod(a: Any, values: Any) -> Geometry | None:
    return _all("mod", a, values)


@rule("keeps", *named(strings, "multiply"))
def _multiply(a: Any, i: Any) -> Geometry | None:
    return _all("multiply", a, i)


@each("keeps", *named(strings, "partition", "rpartition"))
def _partition(function: str) -> Callable[..., Any]:
    def geometry(a: Any, sep: Any) -> Geometry | None:
        return _all(function, a, sep)

    return geometry
