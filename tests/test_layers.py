"""The package's layers: imports point downwards, and other packages load only on use."""

from __future__ import annotations

import ast
import sys
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

import pytest

PACKAGE = Path(__file__).resolve().parent.parent / "spatial_duck"

#: From the bottom to the top: a module imports from its own line and from those above it here.
LAYERS = (
    ("errors",),
    ("config", "world", "keys", "interface"),
    ("axes", "indexing", "grid", "validation"),
    ("mixing",),
    ("located",),
    ("geometry",),
    ("rules", "backends"),
    ("holder",),
    ("dispatch",),
    ("attributes", "methods", "collection", "display"),
    ("array",),
    ("namespace",),
    (
        "mapping",
        "displacement",
        "transforms",
        "targets",
        "resampling",
        "spatial",
        "binning",
        "multiscale",
        "blocks",
        "intensity",
        "networks",
        "augmentation",
        "bspline",
        "ndimage",
        "measure",
    ),
    ("inverse", "io", "interop", "registration", "testing", "plotting"),
    ("viewer",),
    ("cli", "demo"),
)
RANK = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}

#: Modules that are themselves loaded on use, and what they may import at their top.
ON_USE: dict[str, set[str]] = {
    "backends.arrayapi": {"array_api_compat"},
    "backends.arrayapi_functions": {"array_api_compat"},
    "backends.arrayapi_lines": set(),
    "backends.arrayapi_values": {"array_api_compat"},
    "backends.cupy": {"cupy"},
    "backends.dask": {"dask"},
    "backends.dask_creation": {"dask"},
    "backends.dask_functions": {"dask"},
    "backends.dask_lines": {"dask"},
    "backends.dask_matrices": {"dask"},
    "io.stores": {"zarr"},
    "resampling.compiling": {"numba"},
    "resampling.kernels": set(),
    "resampling.kernels_points": {"numba"},
    "resampling.kernels_wide": set(),
    "resampling.numba_engine": set(),
    "testing.checks": {"hypothesis"},
    "testing.operations": {"hypothesis"},
    "testing.stores": {"zarr"},
    "testing.strategies": {"hypothesis"},
}
#: What stands above the front: it is written as a user of the package would write it.
FRONT_USERS = ("viewer", "cli", "demo")
#: Upward imports inside functions that are methods of the array for the user's convenience.
CONVENIENCE = {
    ("array", "namespace"): "image.__array_namespace__()",
    ("array", "plotting"): "image.plot()",
    ("displacement", "inverse"): "field.inverse()",
    ("mapping", "io"): "Transform.read(path), transform.write(path)",
}


class Import(NamedTuple):
    """One import statement: what it names, where, and when it runs."""

    name: str
    line: int
    inside_function: bool
    typing_only: bool


def _modules() -> dict[str, Path]:
    found = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE).with_suffix("").parts
        name = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        found[name] = path
    return found


MODULES = _modules()
FRONT = ""  # spatial_duck/__init__.py


def _imports(path: Path) -> list[Import]:
    found: list[Import] = []

    def visit(node: ast.AST, inside: bool, typing_only: bool) -> None:
        if isinstance(node, ast.Import):
            found.extend(Import(a.name, node.lineno, inside, typing_only) for a in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: relative import"
            for alias in node.names:
                name = f"{node.module}.{alias.name}"
                is_module = name.removeprefix("spatial_duck.") in MODULES
                found.append(
                    Import(
                        name if is_module else str(node.module), node.lineno, inside, typing_only
                    )
                )
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for child in node.body:
                visit(child, inside, True)
            for child in node.orelse:
                visit(child, inside, typing_only)
            return
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            visit(child, inside, typing_only)

    visit(ast.parse(path.read_text(encoding="utf-8")), False, False)
    return found


IMPORTS = {name: _imports(path) for name, path in MODULES.items()}


def _unit(module: str) -> str:
    return module.split(".")[0]


def _ours(name: str) -> str | None:
    if name == "spatial_duck":
        return FRONT
    return name.removeprefix("spatial_duck.") if name.startswith("spatial_duck.") else None


@pytest.mark.parametrize("module", [m for m in MODULES if m != FRONT])
def test_every_module_has_a_layer(module: str) -> None:
    assert _unit(module) in RANK, f"{module}: say in LAYERS where it belongs"


@pytest.mark.parametrize("module", [m for m in MODULES if m != FRONT])
def test_imports_point_downwards(module: str) -> None:
    upward = []
    for found in IMPORTS[module]:
        target = _ours(found.name)
        if target is None or found.typing_only:
            continue
        if target == FRONT and _unit(module) not in FRONT_USERS:
            upward.append(f"line {found.line}: the front of the package")
        elif (
            target != FRONT
            and RANK.get(_unit(target), 99) > RANK[_unit(module)]
            and not (found.inside_function and (module, _unit(target)) in CONVENIENCE)
        ):
            upward.append(f"line {found.line}: {target}")
    assert not upward, f"{module} imports from above itself: {upward}"


def test_no_cycles_on_one_line() -> None:
    """Modules on one line of `LAYERS` may use each other, but not in circles."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, imports in IMPORTS.items():
        for found in imports:
            target = _ours(found.name)
            if module == FRONT or not target or found.typing_only:
                continue
            if _unit(target) != _unit(module) and (module, _unit(target)) not in CONVENIENCE:
                graph[module].add(target)
    try:
        list(TopologicalSorter(graph).static_order())
    except CycleError as error:
        pytest.fail(f"modules import each other: {error.args[1]}")


@pytest.mark.parametrize("module", MODULES)
def test_other_packages_are_imported_inside_functions(module: str) -> None:
    free = {*sys.stdlib_module_names, "numpy", "spatial_duck"} | ON_USE.get(module, set())
    early = [
        f"line {found.line}: {found.name}"
        for found in IMPORTS[module]
        if not found.inside_function
        and not found.typing_only
        and found.name.split(".")[0] not in free
    ]
    assert not early, f"{module} imports at its top: {early}"


def test_modules_loaded_on_use_are_not_loaded_earlier() -> None:
    early = [
        f"{module} line {found.line}: {found.name}"
        for module, imports in IMPORTS.items()
        if module not in ON_USE
        for found in imports
        if _ours(found.name) in ON_USE and not found.inside_function and not found.typing_only
    ]
    assert not early


def test_only_the_front_and_the_command_line_use_formats_and_libraries() -> None:
    """And engines of registration, whose images and transforms are a library's."""
    users = {
        (module, found.line)
        for module, imports in IMPORTS.items()
        if _unit(module) not in ("", "io", "interop", *FRONT_USERS)
        if not (module.startswith("registration.") and module.endswith("_engine"))
        for found in imports
        if _unit(_ours(found.name) or "") in ("io", "interop")
        and not found.typing_only
        and not (found.inside_function and (module, _unit(str(_ours(found.name)))) in CONVENIENCE)
    }
    assert not users


def test_the_tables_here_hold_nothing_that_is_gone() -> None:
    for module, packages in ON_USE.items():
        if module in MODULES:
            used = {found.name.split(".")[0] for found in IMPORTS[module]}
            assert packages <= used, f"{module} no longer imports {packages - used}"
    for (module, target), reason in CONVENIENCE.items():
        assert reason
        targets = {_unit(_ours(found.name) or "") for found in IMPORTS[module]}
        assert target in targets, f"{module} no longer imports {target}"
