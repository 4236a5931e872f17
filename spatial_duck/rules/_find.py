"""The families of rules, and how the rule of a function is found."""

from __future__ import annotations

import sys
from typing import Any

from spatial_duck._lazy import load
from spatial_duck.rules._rule import REFUSED, RULES, Rule

__all__ = ["FAMILIES", "LAZY", "find"]

#: The modules with rules for functions in `numpy` and what it imports by itself.
FAMILIES = (
    "creation",
    "elementwise",
    "inplace",
    "joining",
    "linear",
    "matrices",
    "moves",
    "neighbours",
    "queries",
    "reductions",
    "values",
)
#: Those for modules of NumPy that load on first use, by the name of NumPy's module.
LAZY = {
    "numpy.fft": "fft",
    "numpy.char": "text",
    "numpy.strings": "text",
    "numpy.polynomial.polynomial": "polynomials",
    "numpy.lib.recfunctions": "records",
}


def find(function: Any) -> Rule | None:
    """Return the rule of a function, loading its family where that has not been needed before."""
    module = getattr(function, "__module__", "")
    for family in (LAZY[module],) if module in LAZY else FAMILIES:
        load(f"spatial_duck.rules._{family}")
    if function in RULES or function in REFUSED:
        return RULES.get(function)
    # Behind functions with ``like=`` NumPy has others of the same name.
    public = getattr(sys.modules.get(module), getattr(function, "__name__", ""), None)
    return RULES.get(public)
