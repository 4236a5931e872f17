"""The package's layers: imports point downwards, and other packages load only on use."""

from __future__ import annotations

import ast
import functools
import sys
from pathlib import Path
from typing import NamedTuple

PACKAGE = Path(__file__).resolve().parent.parent / "spatial_duck"

#: From the bottom to the top: a package imports from those above it here, never from its own line.
LAYERS = (
    ("errors", "interface", "_advice", "_lazy", "_locks", "_optional", "_plugins", "_signatures"),
    ("_config",),
    ("_progress",),
    ("geometry",),
    ("transforms",),
    ("rules",),
    ("backends",),
    ("_display",),
    ("array",),
    ("resampling",),
    ("pyramids",),
    ("blocks",),
    ("ndimage",),
    ("measure",),
    ("metrics",),
    ("segmentation",),
    ("io",),
    ("learning",),
    ("interop",),
    ("itk", "sitk"),
    ("registration",),
    ("testing",),
    ("viewer",),
    ("cli", "__main__"),
)
RANK = {unit: rank for rank, units in enumerate(LAYERS) for unit in units}

#: Modules that are themselves loaded on use, and what they may import at their top.
ON_USE: dict[str, set[str]] = {
    "backends._cupy": set(),
    "backends.arrayapi._along_axis": set(),
    "backends.arrayapi._backend": {"array_api_compat"},
    "backends.arrayapi._calls": {"array_api_compat"},
    "backends.arrayapi._functions": {"array_api_compat"},
    "backends.arrayapi._reductions": set(),
    "backends.arrayapi._tools": {"array_api_compat"},
    "backends.dask._along_axis": {"dask"},
    "backends.dask._backend": set(),
    "backends.dask._calls": {"dask"},
    "backends.dask._creation": {"dask"},
    "backends.dask._functions": {"dask"},
    "backends.dask._linalg": {"dask"},
    "backends.dask._private": {"dask"},
    "backends.zarr._private": {"zarr"},
    "interop._imageio_plugin": {"imageio"},
    "interop._xarray_accessor": {"xarray"},
    "interop._xarray_engine": {"xarray"},
    "interop._xarray_index": {"xarray"},
    "io.ngff._stamp": {"zarr"},
    "io.ngff._store": {"zarr"},
    "io.ngff._store_journal": {"zarr"},
    "io.tiff._store": set(),
    "resampling._compiling": {"numba"},
    "resampling._kernels": set(),
    "resampling._kernels_points": {"numba"},
    "resampling._kernels_wide": set(),
    "resampling._numba_cache": {"numba"},
    "resampling._numba_engine": set(),
    "testing._checks": {"hypothesis"},
    "testing._operations": {"hypothesis"},
    "testing._stores": set(),
    "testing._strategies": {"hypothesis"},
}
#: What stands above the front: it is written as a user of the package would write it.
FRONT_USERS = ("viewer", "cli")
#: Upward imports, inside functions or for type checkers, and why each is there.
UPWARD = {
    ("geometry._geometry", "_display"): "what a geometry shows of itself in a notebook",
    ("array._array", "io._options"): "for type checkers: the options of `image.write`",
    ("array._array", "io._source"): "for type checkers: the options of `image.write`",
    ("array._array", "learning"): "for type checkers: the methods of `Forward`",
    ("array._array", "pyramids"): "for type checkers: the methods of `Forward`",
    ("array._array", "resampling"): "for type checkers: the methods of `Forward`",
    ("array._array", "viewer"): "for type checkers: the methods of `Forward`",
    ("transforms._base", "io"): "Transform.read(path), transform.write(path)",
    ("transforms._base", "transforms._grids"): "transform.to_field(grid), its Jacobian determinant",
    ("transforms._base", "_display"): "what a transform shows of itself in a notebook",
    ("transforms._bspline", "array"): "the field of a B-spline is an image",
    ("transforms._displacement", "array"): "a field holds an image",
    ("transforms._displacement", "backends"): "the vectors of a field may be lazy",
    ("transforms._displacement", "transforms._inverse"): "field.inverse()",
    ("transforms._grids", "array"): "a field and a determinant are images",
    ("transforms._inverse", "array"): "the inverse of a field is an image",
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
        elif isinstance(node, ast.If) and isinstance(node.test, ast.Name):
            typing = typing_only or node.test.id == "TYPE_CHECKING"
            for child in node.body:
                visit(child, inside, typing)
            for child in node.orelse:
                visit(child, inside, typing_only)
            return
        inside = inside or isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
        for child in ast.iter_child_nodes(node):
            if not isinstance(child, ast.expr):  # holds no statement
                visit(child, inside, typing_only)

    visit(ast.parse(path.read_text(encoding="utf-8")), False, False)
    return found


@functools.cache
def _all_imports() -> dict[str, list[Import]]:
    return {name: _imports(path) for name, path in MODULES.items()}


def _unit(module: str) -> str:
    return module.split(".")[0]


def _is_allowed(module: str, target: str, found: Import) -> bool:
    late = found.inside_function or found.typing_only
    return late and bool({(module, _unit(target)), (module, target)} & UPWARD.keys())


def _ours(name: str) -> str | None:
    if name == "spatial_duck":
        return FRONT
    return name.removeprefix("spatial_duck.") if name.startswith("spatial_duck.") else None


def _may_use_the_front(module: str) -> bool:
    """Whether a module stands above the front, or names it in annotations alone.

    ``spatial_duck.SpatialArray`` names in an annotation what stands above the module, and loads it
    when somebody asks for the type hints.
    """
    if _unit(module) in FRONT_USERS:
        return True
    tree = ast.parse(MODULES[module].read_text(encoding="utf-8"))
    hints: set[ast.AST] = set()
    for node in ast.walk(tree):
        for hint in (getattr(node, "annotation", None), getattr(node, "returns", None)):
            hints |= {*ast.walk(hint)} if isinstance(hint, ast.AST) else set()
    uses = {n for n in ast.walk(tree) if isinstance(n, ast.Name) and n.id == "spatial_duck"}
    return bool(uses) and uses <= hints


def test_every_module_has_a_layer() -> None:
    homeless = [m for m in MODULES if m != FRONT and _unit(m) not in RANK]
    assert not homeless, f"say in LAYERS where they belong: {homeless}"


def test_imports_point_downwards() -> None:
    upward = []
    for module, imports in _all_imports().items():
        for found in imports if module != FRONT else ():
            target = _ours(found.name)
            if target is None or _is_allowed(module, target, found):
                continue
            if target == FRONT and not _may_use_the_front(module):
                upward.append(f"{module}, line {found.line}: the front of the package")
            elif target != FRONT and RANK.get(_unit(target), 99) > RANK[_unit(module)]:
                upward.append(f"{module}, line {found.line}: {target}")
    assert not upward, f"imports from above: {upward}"


def test_no_module_imports_itself_in_a_circle() -> None:
    """Imports inside functions and for type checkers count, but for those of `UPWARD`."""
    graph: dict[str, set[str]] = {module: set() for module in MODULES}
    for module, imports in _all_imports().items():
        for found in imports:
            target = _ours(found.name)
            if module != FRONT and target and not _is_allowed(module, target, found):
                graph[module].add(target)
    for module in MODULES:  # a package's front is no part of it
        package, _, name = module.rpartition(".")
        if name and package in graph:
            graph[module].discard(package)
    tied = {module for module in graph if module in _reached(graph, module)}
    assert not tied, f"modules in circles of imports: {sorted(tied)}"


def _reached(graph: dict[str, set[str]], start: str) -> set[str]:
    """Return all modules that a module imports, at first hand or through others."""
    found: set[str] = set()
    waiting = [*graph[start]]
    while waiting:
        module = waiting.pop()
        if module not in found:
            found.add(module)
            waiting += graph.get(module, ())
    return found


def test_other_packages_are_imported_inside_functions() -> None:
    early = []
    for module, imports in _all_imports().items():
        free = {*sys.stdlib_module_names, "numpy", "spatial_duck"} | ON_USE.get(module, set())
        early += [
            f"{module}, line {found.line}: {found.name}"
            for found in imports
            if not found.inside_function
            and not found.typing_only
            and found.name.split(".")[0] not in free
        ]
    assert not early, f"imported at the top of a module: {early}"


def test_modules_loaded_on_use_are_not_loaded_earlier() -> None:
    early = [
        f"{module} line {found.line}: {found.name}"
        for module, imports in _all_imports().items()
        if module not in ON_USE
        for found in imports
        if _ours(found.name) in ON_USE and not found.inside_function and not found.typing_only
    ]
    assert not early


def test_only_what_stands_above_uses_formats_and_libraries() -> None:
    """And engines of registration, whose images are a library's, checks of what writes, patches.

    Patches open the files that they are cut from, each process for itself.
    """
    users = {
        (module, found.line)
        for module, imports in _all_imports().items()
        if _unit(module) not in ("", "io", "interop", "itk", "sitk", *FRONT_USERS)
        if not (module.startswith("registration.") and module.endswith("_engine"))
        if not module.startswith(("testing._format_", "testing._backend_", "learning._patches"))
        for found in imports
        if _unit(_ours(found.name) or "") in ("io", "interop")
        and not _is_allowed(module, str(_ours(found.name)), found)
    }
    assert not users


def test_the_tables_here_hold_nothing_that_is_gone() -> None:
    for module, packages in ON_USE.items():
        used = {found.name.split(".")[0] for found in _all_imports()[module]}
        assert packages <= used, f"{module} no longer imports {packages - used}"
    for (module, target), reason in UPWARD.items():
        assert reason
        names = {_ours(found.name) or "" for found in _all_imports()[module]}
        assert target in names | {_unit(n) for n in names}, f"{module} no longer imports {target}"
