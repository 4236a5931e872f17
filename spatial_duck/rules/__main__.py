"""``python -m spatial_duck.rules [name ...]``: what NumPy's functions do to geometry, by family."""

from __future__ import annotations

import inspect
import sys
from importlib import import_module
from itertools import groupby
from typing import Any

from spatial_duck.rules._find import FAMILIES, LAZY, find
from spatial_duck.rules._rule import REFUSED, RULES

__all__ = ["describe", "family", "main"]

_KINDS = {
    "moves": "moves voxels; each keeps its position exactly",
    "keeps": "keeps the grid",
    "derives": "derives a new grid from the old one",
    "plain": "leaves axes without positions, or returns no image",
}


def _name(function: Any) -> str:
    return f"{function.__module__}.{function.__name__}"


def family(function: Any) -> str:
    """Return the family of a function's rule."""
    rule = find(function)
    assert rule is not None
    module: str = rule.source.__module__.rpartition("._")[2]
    # Several families share the rules beside the class.
    return LAZY.get(function.__module__, "elementwise") if module == "rule" else module


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
    module = rule.source.__module__.rpartition(".")[2]
    lines += [f"    rules/{module}.py, line {line}: {rule.source.__name__}"]
    return "\n".join(lines) + "\n"


def main(names: list[str]) -> int:
    """Print the rules of some functions, or the table of all.

    Returns
    -------
    int
        1 if a name is not that of a function with a rule, else 0.
    """
    for module in LAZY:
        import_module(module)
    for name in (*FAMILIES, *LAZY.values()):
        import_module(f"spatial_duck.rules._{name}")
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
    ruled = sorted([f for f in functions if f in RULES], key=family)
    for name, members in groupby(ruled, key=family):
        print(f"{name} (rules/_{name}.py)")
        for function in members:
            print(f"    {_name(function):<52} {_KINDS[RULES[function].kind]}")
        print()
    print("refused")
    for function in [f for f in functions if f in REFUSED]:
        print(f"    {_name(function):<52} it {REFUSED[function]}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
