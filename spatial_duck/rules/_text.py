"""Functions on arrays of text: elementwise, the grid is kept."""

from __future__ import annotations

from numpy import char, strings

from spatial_duck.rules._rule import elementwise, existing, geometry_or_none, rule

__all__: list[str] = []


rule(
    "keeps",
    *existing(char, "capitalize lower swapcase title upper decode encode translate splitlines"),
    deferrable=True,
)(geometry_or_none)
elementwise("x1 x2", *existing(char, "equal not_equal greater greater_equal less less_equal"))
elementwise("a width fillchar", *existing(char, "center ljust rjust"))
elementwise("a width", *existing(char, "zfill"))
elementwise("a tabsize", *existing(char, "expandtabs"))
elementwise("a old new count", *existing(char, "replace"))
elementwise("sep seq", *existing(char, "join"))
elementwise("a sep", *existing(char, "split rsplit"), *existing(strings, "partition rpartition"))
elementwise("a values", *existing(strings, "mod"))
elementwise("a i", *existing(strings, "multiply"))
