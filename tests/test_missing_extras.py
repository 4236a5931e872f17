"""A package that is not installed is named when it is needed, with the command that brings it."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from pathlib import Path
from types import ModuleType
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import interop
from spatial_duck._optional import PACKAGES
from spatial_duck.interop import _viewers as viewers
from spatial_duck.io._transform_files import write_transform

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).resolve().parent.parent
PROJECT = ROOT / "pyproject.toml"
IMAGE = sd.SpatialArray(np.arange(60.0).reshape(3, 4, 5), spacing=(3, 2, 1), frame="LPS", unit="mm")
PLANE = sd.SpatialArray(np.zeros((4, 5), "u1"), spacing=(2, 1), unit="mm")
#: What is written to files of some names, and how.
_HOW: dict[str, dict[str, Any]] = {
    ".png": {"image": PLANE},
    "": {"image": IMAGE.astype("i2"), "format": "dicom"},
}


# --- what the errors say to install -------------------------------------------------------


class Hint(NamedTuple):
    """What a missing package's error says: where, the package, and the extra that brings it."""

    place: str
    package: str
    extra: str | None


def _hints() -> Iterator[Hint]:
    for path in (ROOT / "spatial_duck").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            called = getattr(getattr(node, "func", None), "id", "")
            if isinstance(node, ast.Call) and called in ("require", "missing_extra"):
                module, _, extra = (*[getattr(a, "value", None) for a in node.args], None)[:3]
                if module is not None:
                    top = module.partition(".")[0]
                    package, usual = PACKAGES.get(top, (top, None))
                    yield Hint(f"{path.relative_to(ROOT)}:{node.lineno}", package, extra or usual)


def _extras() -> dict[str, set[str]]:
    """Return the packages of each extra, those of extras that it asks for too."""
    listed = tomllib.loads(PROJECT.read_text())["project"]["optional-dependencies"]

    def packages(extra: str) -> set[str]:
        found: set[str] = set()
        for line in listed[extra]:
            name, more = re.match(r"([\w-]+)(?:\[(.*?)\])?", line).groups()  # type: ignore[union-attr]
            if name == "spatial-duck":
                found = found.union(*[packages(e) for e in more.split(",")])
            else:
                found.add(re.sub("-cuda..x$", "", name.lower()))
        return found

    return {extra: packages(extra) for extra in listed}


def test_the_extra_that_an_error_names_brings_the_package() -> None:
    extras = _extras()
    hints = sorted(_hints(), key=lambda hint: hint.place)
    assert len(hints) > 40
    for hint in hints:
        if hint.extra is None:
            held = {e for e, packages in extras.items() if hint.package.lower() in packages}
            mine = {"test", "test-all", "bench", "dev", "docs"}  # of those who work on this package
            assert held <= mine, f"{hint}: an extra brings it"
        else:
            assert hint.package.lower() in extras[hint.extra], hint


# --- where they are raised ----------------------------------------------------------------


def _lazy() -> sd.SpatialArray:
    return IMAGE.chunk(2)


def _reading(name: str, written: Any = (), **options: Any) -> Callable[[Path], Callable[[], Any]]:
    """Write a file while all is there; what must fail is to read it."""

    def prepare(folder: Path) -> Callable[[], Any]:
        path = folder / name
        sd.write(path, **{"image": IMAGE, **_HOW.get(path.suffix, {}), **dict(written)})
        return lambda: sd.read(path, **options)

    return prepare


def _writing(name: str) -> Callable[[Path], Callable[[], Any]]:
    how = {"image": IMAGE, **_HOW.get(Path(name).suffix, {})}
    return lambda folder: lambda: sd.write(folder / name, **how)


def _calling(function: Callable[[], Any]) -> Callable[[Path], Callable[[], Any]]:
    return lambda _: function


def _chunked(function: Callable[[Any], Any]) -> Callable[[Path], Callable[[], Any]]:
    """Make the image of chunks while Dask is there."""

    def prepare(folder: Path) -> Callable[[], Any]:
        zarr = pytest.importorskip("zarr", reason="needs zarr")
        array = zarr.create_array(folder / "a", shape=(3, 4, 5), chunks=(2, 2, 2), dtype="f4")
        image = sd.SpatialArray(array, spacing=(3, 2, 1))
        return lambda: function(image)

    return prepare


#: The package that is missing, and how to come to need it.
CASES: list[tuple[str, Callable[[Path], Callable[[], Any]]]] = [
    *[
        (package, _calling(lambda to=to: to(IMAGE)))
        for package, to in (
            ("SimpleITK", interop.to_simpleitk),
            ("nibabel", interop.to_nibabel),
            ("xarray", interop.to_xarray),
            ("itk", interop.to_itk),
            ("highdicom", interop.to_highdicom),
            ("ngff_zarr", interop.to_ngff_image),
            ("pyvista", interop.to_pyvista),
            ("monai", interop.to_monai),
            ("torchio", interop.to_torchio),
            ("ants", lambda x: interop.to_ants(x.astype("f4"))),
            ("spatial_image", interop.to_spatial_image),
        )
    ],
    ("rasterio", _calling(lambda: interop.to_rasterio(PLANE.replace(world=("y", "x"))))),
    ("SimpleITK", _calling(lambda: interop.to_simpleitk(sd.Affine.identity(IMAGE.world)))),
    ("SimpleITK", _calling(lambda: sd.register(IMAGE, IMAGE))),
    ("napari", _calling(lambda: viewers.view(IMAGE, viewer="napari"))),
    ("ipyniivue", _calling(lambda: viewers.view(IMAGE, viewer="niivue"))),
    ("matplotlib", _calling(lambda: IMAGE.plot())),
    ("torch", _calling(lambda: IMAGE.to("torch"))),
    ("skimage", _calling(lambda: sd.measure.marching_cubes(IMAGE, 3.0))),
    ("scipy", _calling(lambda: sd.ndimage.gaussian_filter(IMAGE, 1.0))),
    ("dask", _chunked(lambda x: x + 1)),
    ("dask", _chunked(lambda x: sd.resample(x, spacing=2))),
    ("dask", _chunked(lambda x: sd.map_blocks(np.abs, x))),
    ("dask", _chunked(lambda x: sd.reduce_blocks(np.max, x))),
    ("dask", _chunked(lambda x: sd.pyramid(x, levels=2).levels[1])),
    ("dask", _chunked(lambda x: sd.sample(x, [[0.0, 0, 0]]))),
    ("zarr", _reading("a.ome.zarr")),
    ("zarr", _writing("a.ome.zarr")),
    ("dask", _writing("a.ome.zarr")),
    ("nibabel", _writing("a.nii.gz")),
    ("dask", _reading("a.nii.gz", lazy=True)),
    ("dask", _reading("a.nrrd", {"compress": True}, lazy=True)),
    ("nrrd", _reading("a.nrrd")),
    ("h5py", _reading("a.h5")),
    ("h5py", _writing("a.h5")),
    ("dask", _reading("a.h5", {"compress": True}, lazy=True)),
    ("tifffile", _reading("a.tif")),
    ("tifffile", _writing("a.tif")),
    ("zarr", _reading("a.tif", {"compress": True}, lazy=True)),
    ("imageio", _reading("a.png")),
    ("imageio", _writing("a.png")),
    ("pydicom", _writing("series")),
    ("pydicom", _reading("series")),
    ("dask", _reading("series", lazy=True)),
    ("SimpleITK", lambda f: lambda: write_transform(f / "a.tfm", sd.Affine.identity(IMAGE.world))),
]


class _Blocked:
    """An importer that finds no module of a package."""

    def __init__(self, package: str) -> None:
        self.package = package

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> None:
        if name.partition(".")[0] == self.package:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)


def _without(package: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Make imports of a package fail, as they do where it is not installed."""
    for name in [n for n in sys.modules if n.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    # Nor would our modules be there that begin with importing it.
    folder = f"spatial_duck.backends.{package}"  # whose front asks for the package
    for name, module in [n for n in sys.modules.items() if n[0].startswith("spatial_duck.")]:
        held = [v for v in vars(module).values() if isinstance(v, ModuleType)]
        needs = any(v.__name__.partition(".")[0] == package for v in held)
        if needs or name == folder or name.startswith(folder + "."):
            parent, _, child = name.rpartition(".")
            monkeypatch.delitem(sys.modules, name, raising=False)
            if parent in sys.modules:
                monkeypatch.delattr(sys.modules[parent], child, raising=False)
    monkeypatch.setattr(sys, "meta_path", [_Blocked(package), *sys.meta_path])


@pytest.mark.slow
@pytest.mark.parametrize(
    "package, prepare", CASES, ids=[f"{n}-{package}" for n, (package, _) in enumerate(CASES)]
)
def test_what_needs_a_package_says_so(
    package: str,
    prepare: Callable[[Path], Callable[[], Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    try:
        call = prepare(tmp_path)
    except ImportError as error:
        pytest.skip(f"cannot be made ready: {error}")
    before = sorted(tmp_path.rglob("*"))
    with monkeypatch.context() as patch:
        _without(package, patch)
        with pytest.raises(ImportError, match=r"needs '.*', which is not installed: pip install"):
            call()
    assert sorted(tmp_path.rglob("*")) == before, "something was written"
