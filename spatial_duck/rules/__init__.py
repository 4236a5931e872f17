"""What each NumPy function does to geometry.

One module per family, each a table of rules keyed by the function object. To add a rule, write a
function in the module of its family under ``@rule(kind, np.function)``; its parameters are those of
NumPy's that it reads, and `_rule` says what it is given and returns. The completeness test fails
for a function of NumPy that has no rule. ``python -m spatial_duck.rules [name ...]`` prints the
table, or what happens to some functions and where that is written.

The families load when a function is first looked for, so that importing the package costs little.
"""

from __future__ import annotations

from spatial_duck.rules._find import FAMILIES, find
from spatial_duck.rules._rule import CREATES, REFUSED, RULES, Rule, refuse, rule

__all__ = ["CREATES", "FAMILIES", "REFUSED", "RULES", "Rule", "find", "refuse", "rule"]
