"""Mutation testing: one change at a time to the package, each of which the tests ought to notice.

    python -m benchmarks.mutants geometry --count 150 --seed 1

A mutant is one module with one comparison, operator, constant, condition, returned value or call
changed, in memory: no file is written. Each is imported by a fork of this process, which runs the
group's tests until one fails (killed), or all pass (survived; the command prints the change). Left
out are what only a type checker or a reader sees: annotations, assertions, the words of messages.
Hypothesis tries `_EXAMPLES` examples of each property, the same in each run. Not on Windows.
"""

from __future__ import annotations

import argparse
import ast
import importlib.machinery
import importlib.util
import os
import random
import signal
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["GROUPS", "Group", "Mutant", "mutants", "sites", "survives"]

ROOT = Path(__file__).resolve().parent.parent
#: Seconds after which a mutant that keeps its tests from ending counts as killed.
_LONGEST = 400
_EXAMPLES = 25


class Group(NamedTuple):
    """Modules that are mutated, and the tests that should notice, the quickest first."""

    modules: tuple[str, ...]
    tests: tuple[str, ...]
    functions: tuple[str, ...] | None = None


GROUPS = {
    "geometry": Group(
        ("axes", "geometry", "grid", "indexing", "located", "validation"),
        ("test_geometry", "test_grid", "test_keys", "test_place", "test_world",
         "rules/test_functions", "rules/test_corners", "rules/test_variants"),
    ),
    "rules": Group(
        tuple(f"rules.{path.stem}" for path in sorted((ROOT / "spatial_duck/rules").glob("*.py"))
              if path.stem != "__init__"),
        ("rules/test_corners", "rules/test_functions", "rules/test_variants", "rules/test_tables",
         "rules/test_mixing", "rules/test_ufuncs", "rules/test_backends"),
    ),
    "confinement": Group(
        ("io.safety",), ("io/test_safety", "io/test_safety_runs"),
        ("confined", "check_size", "count_bytes", "check_memory"),
    ),
}  # fmt: skip

_OTHERS: dict[type[ast.AST], type[ast.AST]] = {
    ast.Lt: ast.LtE, ast.LtE: ast.Lt, ast.Gt: ast.GtE, ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
    ast.In: ast.NotIn, ast.NotIn: ast.In, ast.And: ast.Or, ast.Or: ast.And,
    ast.Add: ast.Sub, ast.Sub: ast.Add, ast.Mult: ast.Div, ast.Div: ast.Mult,
    ast.FloorDiv: ast.Mult, ast.Mod: ast.FloorDiv, ast.MatMult: ast.Mult,
    ast.BitOr: ast.BitAnd, ast.BitAnd: ast.BitOr,
}  # fmt: skip


# --- mutants ------------------------------------------------------------------------------


class Mutant(NamedTuple):
    """One change: to which node of a module's tree, counted as `ast.walk` does."""

    module: str
    line: int
    what: str
    number: int
    change: Callable[[Any], None]

    def tree(self) -> ast.Module:
        """Return the changed module."""
        tree = _parsed(self.module)
        self.change(list(ast.walk(tree))[self.number])
        return ast.fix_missing_locations(tree)

    def __str__(self) -> str:
        before, after = (
            ast.unparse(list(ast.walk(tree))[self.number]).replace("\n", " ")[:100]
            for tree in (_parsed(self.module), self.tree())
        )
        return f"{_file(self.module)}:{self.line} {self.what} | {before} -> {after}"


def _file(module: str) -> str:
    return f"spatial_duck/{module.replace('.', '/')}.py"


def _parsed(module: str) -> ast.Module:
    return ast.parse((ROOT / _file(module)).read_text())


def _unseen(tree: ast.AST) -> set[int]:
    """Return the ids of nodes that make no difference, or one of words alone."""
    roots: list[ast.AST] = []
    for node in ast.walk(tree):
        for_types = isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test)
        if for_types or isinstance(node, ast.JoinedStr | ast.Raise | ast.Assert):
            roots.append(node)
        roots += [
            part
            for name in ("returns", "annotation")
            if (part := getattr(node, name, None)) is not None
        ]
    return {id(node) for root in roots for node in ast.walk(root)}


def sites(tree: ast.AST) -> Iterator[tuple[int, str, int, Callable[[Any], None]]]:
    """Yield what can be changed: its line, the change in words, its node's number, the change."""
    unseen = _unseen(tree)
    for number, node in enumerate(ast.walk(tree)):
        if id(node) not in unseen:
            for what, change in _changes(node):
                yield getattr(node, "lineno", 0), what, number, change


def _changes(node: ast.AST) -> Iterator[tuple[str, Callable[[Any], None]]]:
    match node:
        case ast.Compare(ops=ops):
            for k, op in enumerate(ops):
                other = _OTHERS[type(op)]
                yield (f"{type(op).__name__} -> {other.__name__}",
                       lambda n, k=k, other=other: n.ops.__setitem__(k, other()))  # fmt: skip
        case ast.BinOp(op=op) | ast.AugAssign(op=op) | ast.BoolOp(op=op) if type(op) in _OTHERS:
            other = _OTHERS[type(op)]
            yield f"{type(op).__name__} -> {other.__name__}", lambda n: setattr(n, "op", other())
        case ast.UnaryOp(op=ast.Not()):
            yield "drop not", lambda n: setattr(n, "operand", ast.UnaryOp(ast.Not(), n.operand))
        case ast.UnaryOp(op=ast.USub()):
            yield "drop minus", lambda n: setattr(n, "op", ast.UAdd())
        case ast.Constant(value=bool(value)):
            yield f"{value} -> {not value}", lambda n: setattr(n, "value", not value)
        case ast.Constant(value=int(value) | float(value)):
            yield f"{value} -> {value + 1}", lambda n: setattr(n, "value", value + 1)
        case ast.If() | ast.While() | ast.IfExp():
            yield "negate if", lambda n: setattr(n, "test", ast.UnaryOp(ast.Not(), n.test))
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return None", lambda n: setattr(n, "value", ast.Constant(None))
        case ast.Expr(value=ast.Call()):
            yield "drop call", lambda n: setattr(n, "value", ast.Constant(None))


def mutants(group: Group) -> list[Mutant]:
    """Return all mutants of a group."""
    found = []
    for module in group.modules:
        tree = _parsed(module)
        lines = range(1, 1 << 30)
        if group.functions is not None:
            kept = [n for n in tree.body if getattr(n, "name", None) in group.functions]
            lines = [k for n in kept for k in range(n.lineno, (n.end_lineno or 0) + 1)]  # type: ignore[assignment]
        found += [Mutant(module, *site) for site in sites(tree) if site[0] in lines]
    return found


# --- trials -------------------------------------------------------------------------------


class _Loader(importlib.machinery.SourceFileLoader):
    tree: ast.Module

    def get_code(self, fullname: str) -> Any:
        return compile(self.tree, self.path, "exec")


class _Finder:
    """Gives a mutant in the place of its module."""

    def __init__(self, mutant: Mutant) -> None:
        self.name = f"spatial_duck.{mutant.module}"
        self.loader = _Loader(self.name, str(ROOT / _file(mutant.module)))
        self.loader.tree = mutant.tree()

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> Any:
        if name != self.name:
            return None
        return importlib.util.spec_from_file_location(name, self.loader.path, loader=self.loader)


class _FewExamples:
    """Plugin of pytest: fewer examples of each property, the same in each run."""

    def pytest_collection_modifyitems(self, items: Sequence[Any]) -> None:
        from hypothesis import Phase, settings

        for item in items:
            test = getattr(item.obj, "__func__", item.obj)
            kept = getattr(test, "_hypothesis_internal_use_settings", None)
            if kept is not None:
                test._hypothesis_internal_use_settings = settings(
                    parent=kept,
                    max_examples=min(_EXAMPLES, kept.max_examples),
                    phases=[Phase.explicit, Phase.generate],
                    database=None,
                    derandomize=True,
                )


def survives(mutant: Mutant | None, tests: Sequence[str]) -> bool:
    """Whether all tests pass with a mutant in the place of its module, or with none."""
    child = os.fork()
    if child == 0:
        os.setsid()
        quiet = os.open(os.devnull, os.O_WRONLY)
        os.dup2(quiet, 1)
        os.dup2(quiet, 2)
        code = 1
        try:
            import pytest

            if mutant is not None:
                sys.meta_path.insert(0, _Finder(mutant))
            options = ["-q", "-x", "-p", "no:cacheprovider", "--tb=no", "-W",
                       "ignore::pytest.PytestAssertRewriteWarning"]  # fmt: skip
            paths = [str(ROOT / "tests" / f"{name}.py") for name in tests]
            code = int(pytest.main([*options, *paths], plugins=[_FewExamples()]))
        finally:
            os._exit(code)
    end = time.monotonic() + _LONGEST
    while time.monotonic() < end:
        done, status = os.waitpid(child, os.WNOHANG)
        if done:
            return status == 0
        time.sleep(0.05)
    os.killpg(child, signal.SIGKILL)
    os.waitpid(child, 0)
    return False


def _warm() -> None:
    """Import what the tests do, but nothing of the package, so that forks need not."""
    for name in ("array_api_strict", "dask.array", "hypothesis.extra.numpy", "numpy", "pytest",
                 "scipy.ndimage", "zarr"):  # fmt: skip
        try:
            importlib.import_module(name)
        except ImportError:
            print(f"without {name}", file=sys.stderr)
    assert "spatial_duck" not in sys.modules


def main() -> int:
    parser = argparse.ArgumentParser(description=str(__doc__).split("\n")[0])
    parser.add_argument("group", choices=GROUPS)
    parser.add_argument("--count", type=int, default=100, help="how many, of a shuffled list")
    parser.add_argument("--first", type=int, default=0, help="where in that list to begin")
    parser.add_argument("--seed", type=int, default=0, help="of the shuffling")
    parser.add_argument("--until", default="24:00", help="time of the day (UTC) to end at, HH:MM")
    args = parser.parse_args()
    _warm()
    group = GROUPS[args.group]
    everything = mutants(group)
    random.Random(args.seed).shuffle(everything)
    start = time.monotonic()
    if not survives(None, group.tests):
        print("The tests fail as things are.")
        return 1
    print(f"{len(everything)} mutants in all; unchanged {time.monotonic() - start:.0f} s")
    killed = 0
    tried = 0
    for mutant in everything[args.first : args.first + args.count]:
        if time.strftime("%H:%M", time.gmtime()) >= args.until:
            break
        start = time.monotonic()
        lives = survives(mutant, group.tests)
        tried, killed = tried + 1, killed + (not lives)
        if lives:
            print(f"SURVIVED {mutant}", flush=True)
        print(f"{killed}/{tried} killed, {mutant.module}:{mutant.line}, "
              f"{time.monotonic() - start:.0f} s", file=sys.stderr, flush=True)  # fmt: skip
    print(f"{args.group}: {killed} of {tried} killed", flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main())
