"""What each NumPy function does to geometry.

One module per family, each a table of rules keyed by the function object. To add a rule, write a
function with NumPy's parameters in the module of its family under ``@rule(kind, np.function)``;
`_rule` says what it is given and returns. The completeness test fails for a function of NumPy that
has no rule, and the signature test for a rule whose parameters are not NumPy's.

The families load when a function is first looked for, so that importing the package costs little.
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

from spatial_duck.rules._rule import CREATES, REFUSED, RULES, Rule, refuse, rule

__all__ = ["CREATES", "FAMILIES", "REFUSED", "RULES", "Rule", "find", "refuse", "rule"]

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
        import_module(f"spatial_duck.rules._{family}")
    if function in RULES or function in REFUSED:
        return RULES.get(function)
    # Behind functions with ``like=`` NumPy has others of the same name.
    public = getattr(sys.modules.get(module), getattr(function, "__name__", ""), None)
    return RULES.get(public)
