"""Reading and writing in threads changes no setting of the process, and swallows no warning."""

from __future__ import annotations

import os
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io

if TYPE_CHECKING:
    from collections.abc import Callable

for _package in ("nibabel", "nrrd", "zarr", "dask", "tifffile", "h5py", "imageio", "pydicom"):
    pytest.importorskip(_package, reason=f"needs {_package}")

NAMES = (
    "a.nii", "a.nii.gz", "a.nrrd", "a.nhdr", "a.mha", "a.mhd", "a.ome.zarr", "a.tif", "a.h5",
    "a.npy", "a.vti", "a.png", "dicom",
)  # fmt: skip


def image(name: str) -> sd.SpatialArray:
    if name.endswith(".png"):
        return sd.SpatialArray(np.zeros((6, 8), "u1"), unit="mm")
    frame = None if name.endswith((".tif", ".ome.zarr")) else "LPS"
    return sd.SpatialArray(np.zeros((4, 6, 8), "u2"), unit="mm", frame=frame)


def settings() -> dict[str, Any]:
    import dask
    import zarr

    return {
        "warnings": list(warnings.filters),
        "showwarning": warnings.showwarning,
        "environment": dict(os.environ),
        "folder": Path.cwd(),
        "zarr": dict(zarr.config.config),
        "dask": dict(dask.config.config),
        "numpy": np.geterr(),
    }


class Watched:
    """Compares settings whenever a library is entered, and hands a warning of the user's on."""

    def __init__(self) -> None:
        self.before, self.changed = settings(), list[str]()

    def __call__(self, *_: Any) -> None:
        now = settings()
        self.changed += [k for k, v in self.before.items() if now[k] != v]


def in_threads(work: Callable[[int], Any], count: int = 3) -> None:
    errors: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number)
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=run, args=(n,)) for n in range(count)]
    for t in threads:
        t.start()
    for t in threads:
        t.join()
    if errors:
        raise errors[0]


@pytest.mark.slow
@pytest.mark.parametrize("name", NAMES)
def test_settings_are_the_users(name: str, tmp_path: Path) -> None:
    """Looked at in the midst of writing (by its progress), and at every call while reading."""
    options = {"format": "dicom"} if name == "dicom" else {}
    watched = Watched()

    def write(number: int) -> None:
        (tmp_path / str(number)).mkdir()
        io.write(tmp_path / str(number) / name, image(name), progress=watched, **options)

    in_threads(write)

    def look(frame: Any, event: str, _: Any) -> None:
        # The first lines of the libraries' own functions, which a setting would be made for.
        module = frame.f_globals.get("__name__", "").partition(".")[0]
        if event == "call" and module in ("nrrd", "tifffile", "pydicom", "zarr", "imageio"):
            if frame.f_code.co_name in ("read_header", "__init__", "dcmread", "open_array"):
                watched()

    def read(number: int) -> None:
        import sys

        sys.setprofile(look)
        try:
            np.asarray(io.read(tmp_path / str(number) / name))
            io.info(tmp_path / str(number) / name)
        finally:
            sys.setprofile(None)

    in_threads(read)
    watched()
    assert not watched.changed
