"""The public names: all there, documented, typed, and loaded no earlier than they are used."""

from __future__ import annotations

import ast
import contextlib
import importlib
import inspect
import json
import os
import re
import subprocess
import sys
import typing
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.array._forward import METHODS
from spatial_duck.io import _registry as registry
from spatial_duck.io._options import ReadOptions, WriteOptions

ROOT = Path(__file__).resolve().parent.parent
FRONT = ROOT / "spatial_duck" / "__init__.py"
MODULES = sorted(
    ".".join(path.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
    for path in (ROOT / "spatial_duck").rglob("*.py")
)
#: All modules that others may import; everything else begins with an underscore. The folders of
#: one concept or wing have at their front what the top level or their own README promises.
PUBLIC_MODULES = """
    errors interface
    geometry transforms rules backends array
    resampling pyramids blocks ndimage measure metrics segmentation learning registration
    io interop itk sitk viewer testing cli
""".split()
#: Folders within folders, which hold private modules alone.
FOLDERS = {
    ".".join(path.parent.relative_to(ROOT / "spatial_duck").parts)
    for path in (ROOT / "spatial_duck").glob("*/*/__init__.py")
}

#: What the documentation promises, by where it is found.
PROMISED = {
    "": """
        SpatialArray SpatialImage Geometry World Transform Affine asarray read write
        from_simpleitk to_simpleitk from_nibabel to_nibabel from_xarray to_xarray
        resample reorient crop pad_to sample pyramid testing config errors
        SpatialDuckError GeometryError GeometryMismatchError GeometryLossError
        FrameError FormatError UnsafeInputError""",
    "SpatialArray": """
        data geometry spacing origin direction affine dims world frame attrs shape dtype ndim size
        nbytes T mT real imag chunks device sum mean astype reshape index_to_physical
        physical_to_index bounds corner center replace to compute persist chunk rechunk
        origin_xyz spacing_zyx""",
    "Geometry": """
        shape spacing origin direction dims world frame affine from_affine from_corner
        sampled_axes index_to_physical physical_to_index __getitem__ transpose flip pad repeat
        reduce expand_dims squeeze concatenate broadcast_to to_frame to_unit to_world orientation
        isclose corner center bounds""",
    "errors": """
        SpatialDuckError GeometryError GeometryMismatchError GeometryLossError FrameError
        FormatError UnsafeInputError""",
}

#: Folders and modules of the package that ``import spatial_duck`` may load.
EARLY = {"_config", "errors"}


def in_fresh_process(code: str, cache: Path) -> str:
    """Run Python code as an installed package runs: with its compiled files cached."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = str(cache)
    done = subprocess.run(
        [sys.executable, "-c", code],
        cwd=ROOT,
        env=environ,
        check=True,
        capture_output=True,
        text=True,
        timeout=120,
    )
    return done.stdout


def test_every_name_resolves() -> None:
    for name in sd.__all__:
        assert getattr(sd, name) is not None
        assert name in dir(sd)


def test_what_is_public_is_listed_here() -> None:
    public = {m.removeprefix("spatial_duck.") for m in MODULES if "._" not in m}
    public -= {"spatial_duck"}
    assert public == {*PUBLIC_MODULES, *FOLDERS}
    for name in PUBLIC_MODULES:
        module = importlib.import_module(f"spatial_duck.{name}")
        for attribute in module.__all__:
            assert not attribute.startswith("_"), f"{name}.{attribute}"
            assert hasattr(module, attribute), f"{name}.{attribute}"


def test_names_are_sorted_and_listed_once() -> None:
    names = [*sd.__all__]
    assert names == sorted(set(names))
    assert set(sd._LAZY) <= set(names)


def test_promised_names_are_there() -> None:
    for where, names in PROMISED.items():
        owner: Any = getattr(sd, where) if where else sd
        for name in names.split():
            known = inspect.getattr_static(owner, name, None) is not None or hasattr(owner, name)
            assert known, f"{where}.{name}"


def test_all_errors_are_at_the_front() -> None:
    classes = {name for name in sd.errors.__all__ if inspect.isclass(getattr(sd.errors, name))}
    assert classes <= set(sd.__all__)


def test_unknown_names_are_attribute_errors() -> None:
    with pytest.raises(AttributeError, match="'spatial_duck' has no attribute 'resampel'"):
        sd.resampel  # noqa: B018


def test_type_checkers_see_what_loads_on_use() -> None:
    """The block for type checkers imports each lazy name from the module that the table names."""
    tree = ast.parse(FRONT.read_text(encoding="utf-8"))
    (block,) = (n for n in tree.body if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n))
    seen = {}
    for node in block.body:
        assert isinstance(node, ast.ImportFrom)
        for alias in node.names:
            source = str(node.module).removeprefix("spatial_duck").removeprefix(".")
            seen[alias.name] = source or alias.name
    assert seen == sd._LAZY


@pytest.mark.slow
def test_import_loads_nothing_but_numpy(tmp_path: Path) -> None:
    code = """
import sys, json
import numpy
before = set(sys.modules)
import spatial_duck
print(json.dumps(sorted(set(sys.modules) - before)))
"""
    loaded = json.loads(in_fresh_process(code, tmp_path))
    ours = {m.split(".")[1] for m in loaded if m.startswith("spatial_duck.")}
    assert ours <= EARLY
    others = {m.split(".")[0] for m in loaded} - sys.stdlib_module_names - {"numpy", "spatial_duck"}
    assert not others


@pytest.mark.slow
def test_an_image_in_memory_loads_no_other_package(tmp_path: Path) -> None:
    code = """
import sys, json
import numpy as np
import spatial_duck as sd
image = sd.SpatialArray(np.zeros((4, 5, 6)), spacing=(3, 1, 1))
(np.flip(image[1:, ::2]) + image[1:, ::2].data).mean(axis=0).origin
repr(image)
print(json.dumps(sorted({m.split(".")[0] for m in sys.modules})))
"""
    loaded = set(json.loads(in_fresh_process(code, tmp_path)))
    heavy = "dask zarr numba scipy cupy xarray nibabel SimpleITK matplotlib hypothesis torch"
    assert not loaded & set(heavy.split())


@pytest.mark.slow
def test_modules_have_a_contract() -> None:
    for name in MODULES:
        tree = ast.parse(_path(name).read_text(encoding="utf-8"))
        assert ast.get_docstring(tree), f"{name} has no docstring"
        if name.endswith("__main__") or name.removeprefix("spatial_duck.") in FOLDERS:
            continue
        assigned = {
            target.id
            for node in tree.body
            if isinstance(node, ast.Assign | ast.AnnAssign)
            for target in (node.targets if isinstance(node, ast.Assign) else [node.target])
            if isinstance(target, ast.Name)
        }
        assert "__all__" in assigned, f"{name} has no __all__"


def _path(name: str) -> Path:
    path = ROOT.joinpath(*name.split("."))
    return path / "__init__.py" if path.is_dir() else path.with_suffix(".py")


def _public_callables() -> dict[str, Any]:
    """Return the public functions and classes, and the classes' own public methods.

    Properties that are NumPy's need no words of ours.
    """
    found: dict[str, Any] = {}
    for name in sd.__all__:
        try:
            thing = getattr(sd, name)
        except (ImportError, AttributeError):  # the test of names says so
            continue
        modules = [thing] if inspect.ismodule(thing) else []
        things = {f"{m.__name__}.{n}": getattr(m, n) for m in modules for n in m.__all__}
        for path, value in (things or {name: thing}).items():
            if callable(value):
                found[path] = value
    for path, value in list(found.items()):
        if not inspect.isclass(value):
            continue
        for base in value.__mro__:
            if not base.__module__.startswith("spatial_duck"):
                continue
            for attribute, raw in vars(base).items():
                if attribute.startswith("_"):
                    continue
                method = raw.__func__ if isinstance(raw, classmethod | staticmethod) else raw
                as_numpy = isinstance(method, property) and hasattr(np.ndarray, attribute)
                if (callable(method) or isinstance(method, property)) and not as_numpy:
                    found.setdefault(f"{path}.{attribute}", method)
    return found


CALLABLES = _public_callables()
_SECTION = re.compile(r"^([A-Z][A-Za-z ]+)\n-{3,}$", re.MULTILINE)


def _sections(doc: str) -> dict[str, str]:
    parts = _SECTION.split(inspect.cleandoc(doc))
    return dict(zip(parts[1::2], parts[2::2], strict=True))


def _documented(section: str) -> list[str]:
    """Return the names at the left margin of a Parameters section."""
    names = []
    for line in section.splitlines():
        if line and not line.startswith(" "):
            head = line.split(":")[0]
            names += [part.strip().lstrip("*") for part in head.split(",")]
    return names


def _written_parameters(value: Any) -> set[str]:
    """Return the parameters of a function's code, whatever it shows."""
    code = getattr(value, "__code__", None)
    if code is None:
        return {p for p in inspect.signature(value).parameters if p not in ("self", "cls")}
    count = code.co_argcount + code.co_kwonlyargcount
    count += bool(code.co_flags & inspect.CO_VARARGS) + bool(code.co_flags & inspect.CO_VARKEYWORDS)
    return set(code.co_varnames[:count]) - {"self", "cls"}


def test_public_things_are_documented() -> None:
    """A summary line; and the Parameters section names the parameters."""
    for path, value in CALLABLES.items():
        _check_documented(path, value)


def _check_documented(path: str, value: Any) -> None:
    doc = inspect.getdoc(value)
    assert doc, f"{path} has no docstring"
    assert doc.splitlines()[0].strip(), f"{path}: no summary line"
    if isinstance(value, property) or (
        inspect.isclass(value)
        and (issubclass(value, BaseException | tuple) or getattr(value, "_is_protocol", False))
    ):
        return
    try:
        signature = inspect.signature(value)
    except (TypeError, ValueError):
        return
    parameters = [p for p in signature.parameters.values() if p.name not in ("self", "cls")]
    sections = _sections(doc)
    if "Parameters" in sections:
        named = _documented(sections["Parameters"]) + _documented(
            sections.get("Other Parameters", "")
        )
        # What is shown in the place of **options is documented by name, or by that name alone.
        shown, written = {p.name for p in parameters}, _written_parameters(value)
        kept = (set(named) & written) - shown
        wanted = shown if kept <= set(named) and set(named) - kept == shown else written
        assert sorted({*named} - kept) == sorted(wanted - kept), f"{path}: {signature}"
        assert len(named) == len(set(named)), f"{path}: {named}"
    elif "." not in path:
        assert not parameters, f"{path}{signature} has no Parameters section"


#: What takes keywords that nobody can list, and whose they are.
OPEN = {
    "SpatialArray.isel": "names of the image's axes",
    "SpatialArray.sel": "names of the image's coordinates and world axes",
    "SpatialArray.map_blocks": "keywords of dask.array.map_blocks, and of the caller's function",
    "SpatialArray.to": "keywords of registered backends, beside those that are shown",
    "spatial_duck.backends.": "keywords of registered backends",
    "spatial_duck.io.Format.": "options of registered formats",
    "spatial_duck.testing.DeviceArray.": "those of the array that it stands for",
    "through_itk": "those of the caller's function",
    "spatial_duck.interop.through_itk": "those of the caller's function",
    "SpatialImage": "a protocol is not called",
    "spatial_duck.interop.SpatialImage": "a protocol is not called",
    "spatial_duck.interface.SpatialImage": "a protocol is not called",
}


def test_completion_shows_every_keyword() -> None:
    """What IPython, Jedi and `help` show has no bare ``**options``, of methods of images too."""
    image = sd.SpatialArray(np.zeros((2, 2)))
    methods = {f"SpatialArray.{name}": getattr(image, name) for name in METHODS}
    bare = set()
    for path, value in {**CALLABLES, **methods}.items():
        if isinstance(value, property) or not callable(value):
            continue
        with contextlib.suppress(TypeError, ValueError):  # of errors and functions of C
            parameters = inspect.signature(value).parameters.values()
            if any(p.kind is p.VAR_KEYWORD for p in parameters):
                bare.add(path)
    assert not {path for path in bare if not path.startswith(tuple(OPEN))}
    assert all(any(path.startswith(each) for path in bare) for each in OPEN)


def test_options_that_are_shown_are_those_of_the_formats() -> None:
    own = [f for f in registry.formats() if type(f).__module__.startswith("spatial_duck.")]
    for verb, shown in (("read", ReadOptions), ("write", WriteOptions)):
        options = {name for found in own for name in found.options(verb)}
        # `level` is a parameter of `read` itself, and URLs take `storage_options` when written.
        assert options - {"level"} | {"storage_options"} == {*shown.__annotations__}


def _annotated() -> dict[str, Any]:
    """Return the public functions, classes, getters of properties, and the classes' operators."""
    found: dict[str, Any] = {}
    for path, value in CALLABLES.items():
        getter = getattr(value, "fget", None) or getattr(value, "func", None)
        found[path] = getter if isinstance(value, property | cached_property) else value
        for base in value.__mro__ if inspect.isclass(value) else ():
            if base.__module__.startswith("spatial_duck"):
                operators = {n: f for n, f in vars(base).items() if n.startswith("__")}
                found |= {f"{path}.{n}": f for n, f in operators.items() if inspect.isfunction(f)}
    return {path: value for path, value in found.items() if hasattr(value, "__annotations__")}


def test_type_hints_resolve_at_run_time() -> None:
    """Sphinx, pydantic and typeguard ask for them, and cannot see what type checkers import."""
    found = _annotated()
    assert {"SpatialArray.__getitem__", "Geometry.origin", "Transform.to_field"} <= set(found)
    unknown = {}
    for path, value in found.items():
        try:
            typing.get_type_hints(value)
        except NameError as error:
            unknown[path] = str(error)
    assert not unknown, "import these names outside of `if TYPE_CHECKING`, or as spatial_duck.Name"


def test_doc_sections_of_numpydoc_only() -> None:
    known = {
        "Parameters", "Returns", "Yields", "Raises", "Warns", "See Also", "Notes", "References",
        "Examples", "Attributes", "Methods", "Other Parameters",
    }  # fmt: skip
    unknown = {
        path: extra
        for path, value in CALLABLES.items()
        if (extra := set(_sections(inspect.getdoc(value) or "")) - known)
    }
    assert not unknown


def test_star_import_is_the_list() -> None:
    scope: dict[str, Any] = {}
    exec("from spatial_duck import *", scope)
    assert set(scope) - {"__builtins__"} == set(sd.__all__)


def test_version_is_the_packages() -> None:
    assert re.fullmatch(r"\d+\.\d+\.\d+(\.?(dev|a|b|rc)\d+)?", sd.__version__)
    metadata = importlib.import_module("importlib.metadata")
    try:
        installed = metadata.version("spatial-duck")
    except metadata.PackageNotFoundError:
        pytest.skip("spatial-duck is not installed, it runs from its folder")
    assert installed == sd.__version__


def test_readme_holds_the_command_that_the_checks_run() -> None:
    """`.ci/run` takes the test command out of the README, so there must be exactly one."""
    lines = (ROOT / "README.md").read_text(encoding="utf-8").splitlines()
    found = [line for line in lines if re.match(r"(\$ )?python3 -m venv \.venv && .*pytest", line)]
    assert len(found) == 1
