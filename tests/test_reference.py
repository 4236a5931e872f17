"""The reference under ``.docs`` reaches every public name, and is built without a warning."""

from __future__ import annotations

import importlib
import inspect
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture(scope="module")
def pages() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ROOT / ".docs"))
    try:
        yield importlib.import_module("pages")
    finally:
        sys.path.remove(str(ROOT / ".docs"))
        for name in ("pages", "gallery"):
            sys.modules.pop(name, None)


def test_every_public_name_is_documented_once(pages: ModuleType) -> None:
    written = pages.all_pages()
    for module in pages.modules():
        owner = importlib.import_module(module)
        text = written[module]
        for name in owner.__all__:
            value = getattr(owner, name)
            if inspect.ismodule(value):
                assert f":doc:`{value.__name__}`" in text
                continue
            full = f"{module}.{name}"
            documented = f":: {full}\n" in text
            assert documented != (f"`{full}`: see" in text), full
    for name in ("index.rst", "conf.py", "coming_from.md"):
        assert (ROOT / ".docs" / name).is_file()


def test_every_page_is_in_a_list(pages: ModuleType) -> None:
    written = pages.all_pages()
    lists = "".join(
        [written["modules"], written["how_to"], (ROOT / ".docs" / "index.rst").read_text("utf-8")]
    )
    assert not [name for name in written if f" {name}\n" not in lists.replace("reference/", " ")]


def test_pictures_are_of_pages_that_are_there(pages: ModuleType) -> None:
    gallery = pages.gallery
    assert not [n for n in gallery.PAGES if not (ROOT / ".docs" / "how_to" / f"{n}.py").exists()]
    assert not [n for n in gallery.DRAWN if not (ROOT / "examples" / f"{n}.py").exists()]


@pytest.mark.long
def test_the_gallery_is_made(tmp_path: Path) -> None:
    for package in ("matplotlib", "SimpleITK", "pydicom", "skimage", "nibabel", "xarray", "zarr"):
        pytest.importorskip(package, reason=f"needs {package}")
    subprocess.run([sys.executable, ".docs/gallery.py", tmp_path], cwd=ROOT, check=True)
    made = sorted(tmp_path.glob("*.png"))
    assert len(made) == 9
    assert all(path.stat().st_size > 10_000 for path in made)


@pytest.mark.long
def test_it_is_built_without_a_warning(tmp_path: Path) -> None:
    for package in ("sphinx", "numpydoc", "myst_parser", "furo"):
        pytest.importorskip(package, reason=f"needs {package}")
    command = [sys.executable, "-m", "sphinx", "-q", "-W", "--keep-going", ".docs", tmp_path]
    path = os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")])
    done = subprocess.run(
        command, cwd=ROOT, env=os.environ | {"PYTHONPATH": path}, check=False,
        capture_output=True, text=True, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "reference" / "spatial_duck.html").is_file()


def test_the_citation_is_of_this_version() -> None:
    import spatial_duck

    text = (ROOT / ".github" / "CITATION.cff").read_text(encoding="utf-8")
    assert f"\nversion: {spatial_duck.__version__}\n" in text
    assert "\nlicense: BSD-3-Clause\n" in text
