"""``python -m spatial_duck.rules [name ...]``: what NumPy's functions do to geometry, by family."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from itertools import groupby
from typing import Any

from spatial_duck.rules._find import FAMILIES, LAZY
from spatial_duck.rules._rule import REFUSED, RULES, Rule

__all__ = ["describe", "main"]

_KINDS = {
    "moves": "moves voxels; each keeps its place exactly",
    "keeps": "keeps the grid",
    "derives": "derives a new grid from the old one",
    "plain": "leaves axes without positions, or returns no image",
}


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}"


def _family(rule: Rule) -> str:
    return rule.source.__module__.rpartition("._")[2]


def describe(function: Any) -> str:
    """Return in a few lines what a function does to geometry, and where that is written."""
    if function in REFUSED:
        return f"{_name(function)} is refused: it {REFUSED[function]}\n"
    rule = RULES[function]
    axes = ", ".join(dict.fromkeys(name for _, name in rule.axes))
    note = inspect.getdoc(rule.source)
    line = inspect.getsourcelines(rule.source)[1]
    lines = [f"{_name(function)}: {_KINDS[rule.kind]}"]
    lines += [f"    {note.splitlines()[0]}"] if note else []
    lines += [f"    axes, also by name: {axes}"] if axes and not rule.adds_axes else []
    lines += [f"    rules/_{_family(rule)}.py, line {line}: {rule.source.__name__}"]
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> int:
    """Print the rules of some functions, or the table of all.

    Returns
    -------
    int
        1 if a name is not that of a function with a rule, else 0.
    """
    for module, family in LAZY.items():
        import_module(module)
        import_module(f"spatial_duck.rules._{family}")
    for family in FAMILIES:
        import_module(f"spatial_duck.rules._{family}")
    functions = sorted({**RULES, **dict.fromkeys(REFUSED)}, key=_name)
    if not names:
        _print_table(functions)
        return 0
    wanted = {n.removeprefix("np.").removeprefix("numpy.") for n in names}
    found = [f for f in functions if {f.__name__, _name(f).removeprefix("numpy.")} & wanted]
    for function in found:
        print(describe(function))
    known = {n for f in found for n in (f.__name__, _name(f).removeprefix("numpy."))}
    for name in sorted(wanted - known):
        print(f"{name}: no rule; ufuncs are elementwise, see rules/_ufuncs.py")
    return int(bool(wanted - known))


def _print_table(functions: list[Any]) -> None:
    ruled = sorted([f for f in functions if f in RULES], key=lambda f: _family(RULES[f]))
    for family, members in groupby(ruled, key=lambda f: _family(RULES[f])):
        print(f"{family} (rules/_{family}.py)")
        for function in members:
            print(f"    {_name(function):<52} {_KINDS[RULES[function].kind]}")
        print()
    print("refused")
    for function in [f for f in functions if f in REFUSED]:
        print(f"    {_name(function):<52} it {REFUSED[function]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
