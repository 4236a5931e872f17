"""A file that is replaced or changed while it is read: the old image, the new one, or an error.

Between the opening of a header and that of its voxels another program may put another image there,
in one step or byte by byte, with the same size and time. The moment is forced, not hoped for: an
audit hook replaces the files just before one of them is opened for the k-th time, for each k.
"""

from __future__ import annotations

import os
import sys
from contextlib import nullcontext, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError
from spatial_duck.io._publishing import exchange

if TYPE_CHECKING:
    from collections.abc import Callable

SHAPE = (3, 16, 16)
#: Value of all voxels and distance of slices of two images.
OLD, NEW = (11, 2.0), (99, 4.0)


def image(value: int, step: float) -> sd.SpatialArray:
    return sd.SpatialArray(
        np.full(SHAPE, value, "u1"), spacing=(step, 1.0, 1.0), frame="LPS", unit="mm"
    )


# --- images of each kind ------------------------------------------------------------------


def written(suffix: str, folder: Path, value: int, step: float, **options: Any) -> Path:
    path = folder / f"a{suffix}"
    sd.write(path, image(value, step), **options)
    return path


def picture(folder: Path, value: int, step: float) -> Path:
    path = folder / "a.png"
    sd.write(path, sd.SpatialArray(np.full((4, 4), value, "u1"), spacing=step, unit="mm"))
    return path


def nibabel_pair(suffix: str, folder: Path, value: int, step: float) -> Path:
    nibabel = pytest.importorskip("nibabel", reason="needs nibabel")
    kind = nibabel.MGHImage if suffix == ".mgz" else nibabel.Nifti1Pair
    path = folder / f"a{suffix}"
    nibabel.save(kind(np.full(SHAPE[::-1], value, "u1"), np.diag([1, 1, step, 1])), path)
    return path


def listed(suffix: str, folder: Path, value: int, step: float) -> Path:
    """Write a header that lists a file for each slice."""
    names = [f"s{k}.raw" for k in range(SHAPE[0])]
    for name in names:
        (folder / name).write_bytes(bytes([value]) * (SHAPE[1] * SHAPE[2]))
    heads = {
        ".nhdr": "NRRD0004\ntype: uint8\ndimension: 3\nsizes: {2} {1} {0}\nspacings: 1 1 {step}\n"
        "encoding: raw\ndata file: LIST\n",
        ".mhd": "NDims = 3\nDimSize = {2} {1} {0}\nElementSpacing = 1 1 {step}\n"
        "ElementType = MET_UCHAR\nElementDataFile = LIST\n",
    }
    path = folder / f"a{suffix}"
    path.write_text(heads[suffix].format(*SHAPE, step=step) + "\n".join(names) + "\n")
    return path


_OME = """<OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" UUID="urn:uuid:{uuid}">
<Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" Type="uint8" SizeX="16" SizeY="16"
SizeZ="3" SizeC="1" SizeT="1" PhysicalSizeX="1" PhysicalSizeY="1" PhysicalSizeZ="{step}">
<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{planes}</Pixels></Image></OME>"""
_UUID = "00000000-0000-0000-0000-00000000000{}"


def ome_in_files(folder: Path, value: int, step: float) -> Path:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    planes = "".join(
        f'<TiffData FirstZ="{k}" IFD="0" PlaneCount="1"><UUID FileName="a{k}.ome.tif">urn:uuid:'
        f"{_UUID.format(k)}</UUID></TiffData>"
        for k in range(3)
    )
    for k in range(3):
        text = _OME.format(uuid=_UUID.format(k), step=step, planes=planes)
        tifffile.imwrite(
            folder / f"a{k}.ome.tif", np.full(SHAPE[1:], value, "u1"), description=text,
            metadata=None,
        )  # fmt: skip
    return folder / "a0.ome.tif"


def ome_with_companion(folder: Path, value: int, step: float) -> Path:
    tifffile = pytest.importorskip("tifffile", reason="needs tifffile")
    here = f'<UUID FileName="a.ome.tif">urn:uuid:{_UUID.format(1)}</UUID>'
    planes = f'<TiffData IFD="0" PlaneCount="3">{here}</TiffData>'
    text = _OME.format(uuid=_UUID.format(9), step=step, planes=planes)
    (folder / "a.companion.ome").write_text(text)
    head = _OME.partition("<Image")[0].format(uuid=_UUID.format(1))
    only = f'<BinaryOnly MetadataFile="a.companion.ome" UUID="urn:uuid:{_UUID.format(9)}"/></OME>'
    tifffile.imwrite(
        folder / "a.ome.tif", np.full(SHAPE, value, "u1"), description=head + only, metadata=None
    )
    return folder / "a.ome.tif"


KINDS: dict[str, Callable[[Path, int, float], Path]] = {
    name: partial(written, suffix, **options)
    for name, suffix, options in [
        ("nii", ".nii", {}), ("nii.gz", ".nii.gz", {}),
        ("nrrd", ".nrrd", {}), ("nrrd packed", ".nrrd", {"compress": True}),
        ("nhdr", ".nhdr", {}), ("nhdr packed", ".nhdr", {"compress": True}),
        ("mha", ".mha", {}), ("mhd", ".mhd", {}), ("mhd packed", ".mhd", {"compress": True}),
        ("npy", ".npy", {}), ("h5", ".h5", {}), ("h5 in chunks", ".h5", {"chunks": 8}),
        ("tif", ".ome.tif", {}), ("tif packed", ".ome.tif", {"compress": True, "tile": 16}),
        ("vti", ".vti", {}), ("vti packed", ".vti", {"compress": True}),
        ("dicom", "", {"format": "dicom"}), ("zarr 2", ".ome.zarr", {"version": "0.4"}),
        ("zarr 3", ".ome.zarr", {}), ("ozx", ".ozx", {}),
    ]
} | {
    "png": picture, "img": partial(nibabel_pair, ".img"),
    "img.gz": partial(nibabel_pair, ".img.gz"), "mgz": partial(nibabel_pair, ".mgz"),
    "nhdr of slices": partial(listed, ".nhdr"), "mhd of slices": partial(listed, ".mhd"),
    "tif in files": ome_in_files, "tif with companion": ome_with_companion,
}  # fmt: skip
_NEEDS = {"nrrd": "nrrd", "nhdr": "nrrd", "tif": "tifffile", "dicom": "pydicom", "h5": "h5py",
          "zarr": "zarr", "ozx": "zarr", "png": "imageio"}  # fmt: skip


# --- ways to replace ------------------------------------------------------------------------


def replace_folder(folder: Path, other: Path) -> None:
    """Exchange the folder, in one step where the system has it."""
    if not exchange(folder, other):
        folder.rename(folder.with_name("before"))
        other.rename(folder)


def rewrite(folder: Path, other: Path) -> None:
    """Write the other image's bytes into each file, and give it back the time that it had."""
    for fresh in other.rglob("*"):
        if fresh.is_file():
            file = folder / fresh.relative_to(other)
            times = file.stat() if file.exists() else None
            with file.open("r+b" if times else "wb") as opened:
                opened.write(fresh.read_bytes())
                opened.truncate()
            if times:
                os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))


# --- the moment -----------------------------------------------------------------------------


class Moment:
    """Does something once, just before a file below a folder is opened for the k-th time."""

    folder, left, act = "", 0, staticmethod(lambda: None)

    def __enter__(self) -> Moment:
        return self

    def __exit__(self, *_: object) -> None:
        self.folder = ""

    def at(self, folder: Path, k: int, act: Callable[[], None]) -> Moment:
        self.folder, self.left, self.act, self.came = str(folder), k, act, False
        return self

    def __call__(self, event: str, arguments: tuple[Any, ...]) -> None:
        if event != "open" or not self.folder or not isinstance(arguments[0], str | bytes | Path):
            return
        if os.fsdecode(arguments[0]).startswith(self.folder):
            self.left -= 1
            if self.left < 0 and not self.came:
                self.came, self.folder = True, ""
                self.act()


@pytest.fixture(scope="module")
def moment() -> Moment:
    found = Moment()
    sys.addaudithook(found)  # hooks cannot be removed; without a folder it does nothing
    return found


def tell(found: sd.SpatialArray) -> tuple[set[int], float]:
    return set(np.unique(np.asarray(found)).tolist()), float(max(found.spacing))


def prepare(name: str, folder: Path) -> tuple[Path, Path, Path]:
    pytest.importorskip(_NEEDS.get(name.split()[0], "numpy"), reason="needs its library")
    here, other = folder / "here", folder / "other"
    here.mkdir()
    other.mkdir()
    KINDS[name](other, *NEW)
    return KINDS[name](here, *OLD), here, other


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("lazy", [False, True])
@pytest.mark.parametrize("way", [replace_folder, rewrite])
@pytest.mark.parametrize("name", KINDS)
def test_replaced_at_any_opening(
    name: str, way: Callable[[Path, Path], None], lazy: bool, moment: Moment, tmp_path: Path
) -> None:
    for k in range(100):
        folder = tmp_path / str(k)
        folder.mkdir()
        path, here, other = prepare(name, folder)
        with moment.at(here, k, partial(way, here, other)):
            # A folder that is exchanged in one step while it is opened is opened again.
            may_fail = suppress(FormatError) if way is rewrite or lazy else nullcontext()
            with may_fail:
                assert tell(sd.read(path, lazy=lazy)) in (({11}, OLD[1]), ({99}, NEW[1])), k
        if not moment.came:
            assert k > 0
            return
    pytest.fail("more openings than were tried")


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("way", [replace_folder, rewrite])
@pytest.mark.parametrize("name", KINDS)
def test_replaced_before_it_is_computed(
    name: str, way: Callable[[Path, Path], None], tmp_path: Path
) -> None:
    path, here, other = prepare(name, tmp_path)
    lazy, eager = sd.read(path, lazy=True), sd.read(path, lazy=False)
    way(here, other)
    assert tell(eager) == ({11}, OLD[1])
    if way is rewrite and isinstance(lazy.data, np.ndarray):
        return  # a map of a file shows what is written into it, as `read` says
    with suppress(FormatError):
        assert tell(lazy) == ({11}, OLD[1])


@pytest.mark.parametrize("lazy", [None, False])
@pytest.mark.parametrize("name", ["nii", "nii.gz", "nhdr", "nhdr packed", "mhd", "npy", "zarr 3"])
def test_an_image_that_is_replaced_meanwhile_is_read(
    name: str, lazy: bool | None, moment: Moment, tmp_path: Path
) -> None:
    pytest.importorskip(_NEEDS.get(name.split()[0], "numpy"), reason="needs its library")
    make = KINDS[name]
    path, old = make(tmp_path, *OLD), OLD
    for k in range(30):
        new = (30 + k, 4.0 + k)
        with moment.at(tmp_path, k, lambda new=new: make(tmp_path, *new, overwrite=True)):
            opened = sd.read(path, lazy=lazy)
            came = moment.came
            # A view of a store says so if that is replaced after it was opened.
            with nullcontext() if came or lazy is False else suppress(FormatError):
                assert tell(opened) in (({old[0]}, old[1]), ({new[0]}, new[1]))
        if not moment.came:
            assert k > 1
            return
        old = new
    pytest.fail("more openings than were tried")


@pytest.mark.skipif(sys.platform == "win32", reason="links and modes are others here")
def test_links_and_modes_are_no_change_of_the_content(tmp_path: Path) -> None:
    path = written(".nii.gz", tmp_path, *OLD)
    lazy = sd.read(path, lazy=True)
    os.link(path, tmp_path / "backup.nii.gz")
    assert tell(lazy) == ({11}, OLD[1])
    path.chmod(0o440)
    assert tell(lazy) == ({11}, OLD[1])


def test_levels_are_of_one_image(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.io import _several

    path = tmp_path / "a.ome.zarr"
    sd.write(path, image(*OLD), levels=2)
    real = _several.read

    def read(*args: Any, **options: Any) -> sd.SpatialArray:
        if options.get("level") == 1:
            sd.write(path, image(*NEW), levels=2, overwrite=True)
        return real(*args, **options)

    monkeypatch.setattr(_several, "read", read)
    for lazy in (None, False):
        with pytest.raises(FormatError, match="replaced or changed"):
            sd.read_pyramid(path, lazy=lazy)
