"""Values of options that mean nothing are refused in this package's words, by every format."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.errors import FormatError, FrameError
from spatial_duck.io import _registry as registry
from spatial_duck.io._option_values import axis_lengths
from spatial_duck.io._options import ReadOptions, WriteOptions

if TYPE_CHECKING:
    from pathlib import Path

for _package in ("zarr", "dask", "tifffile", "h5py"):
    pytest.importorskip(_package, reason=f"needs {_package}")

#: A name for each format that this package writes.
NAMES = {
    "nifti": "a.nii", "nrrd": "a.nrrd", "seg.nrrd": "a.seg.nrrd", "metaimage": "a.mha",
    "ome-zarr": "a.ome.zarr", "ome-zarr-zip": "a.ozx", "dicom": "dicom", "tiff": "a.tif",
    "hdf5": "a.h5", "vti": "a.vti", "picture": "a.png", "npy": "a.npy",
}  # fmt: skip
#: Values that are of no use for any option of a kind.
WRONG: dict[str, list[Any]] = {
    "bool": ["False", "no", "", None, 2, 0.0, [True]],
    "count": [0, -1, True, 1.5, "two", (16, 32)],
    "per axis": [
        0,
        -1,
        True,
        4.5,
        "4",
        {"q": 4},
        {"x": 0},
        {"x": 1.5},
        (4,),
        (4, 4, -4),
        (0, 4, 4),
    ],
}
#: Which options are counts, and which say something for each axis.
KINDS = {
    "levels": "count", "threads": "count", "tile": "count",
    "chunks": "per axis", "shards": "per axis", "factors": "per axis",
}  # fmt: skip


def image(frame: str | None = "LPS") -> sd.SpatialArray:
    return sd.SpatialArray(np.zeros((4, 6, 8), "u1"), unit="mm", frame=frame)


def kind(name: str) -> str | None:
    shown = {**ReadOptions.__annotations__, **WriteOptions.__annotations__}
    return "bool" if shown[name].__forward_arg__ == "bool" else KINDS.get(name)


def options(verb: str) -> list[Any]:
    own = [f for f in registry.formats() if type(f).__module__.startswith("spatial_duck.")]
    return [
        pytest.param(f.name, name, value, id=f"{f.name}-{name}-{value}")
        for f in own
        for name in f.options(verb)
        if name != "level" and kind(name)
        for value in WRONG[kind(name) or ""]
        # True is a choice of chunks or shards that the library makes.
        if not ((f.name == "hdf5" or name == "shards") and value is True)
    ]


@pytest.mark.parametrize("format, name, value", options("write"))
def test_options_of_write(format: str, name: str, value: Any, tmp_path: Path) -> None:
    with pytest.raises((TypeError, ValueError), match=rf"^{name}\b") as raised:
        sd.write(tmp_path / NAMES[format], image(), format=format, **{name: value})
    assert "must" in str(raised.value) or "are not among" in str(raised.value)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("format, name, value", options("read"))
def test_options_of_read(format: str, name: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(b"")
    with pytest.raises(TypeError, match=f"^{name} must be True or False, got"):
        sd.read(tmp_path / "a", format=format, **{name: value})


@pytest.mark.parametrize("value", ["no", "", 2])
def test_booleans_of_read_and_write_themselves(value: Any, tmp_path: Path) -> None:
    sd.write(tmp_path / "a.nii", image())
    with pytest.raises(TypeError, match="lazy must be True or False"):
        sd.read(tmp_path / "a.nii", lazy=value)
    with pytest.raises(TypeError, match="overwrite must be True or False"):
        sd.write(tmp_path / "a.nii", image(), overwrite=value)


@pytest.mark.parametrize("side", [7, 17, 100])
def test_tiles_that_tiff_does_not_have(side: int, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match=f"multiple of 16.*got {side}"):
        sd.write(tmp_path / "a.tif", image(None), tile=side)


@pytest.mark.parametrize("own", ["LPS", None])
@pytest.mark.parametrize("name", ["a.nii", "a.nrrd", "a.mha", "dicom"])
def test_frames_that_are_none(name: str, own: str | None, tmp_path: Path) -> None:
    options = {"format": "dicom"} if name == "dicom" else {}
    with pytest.raises(FrameError, match="nonsense"):
        sd.write(tmp_path / name, image(own), frame="nonsense", **options)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "given, wanted",
    [(4, (1, 4, 4, 4)), ({"z": 2, "c": 2}, (2, 2, 6, 8)), ([3, 2, 5, 99], (3, 2, 5, 8)),
     (np.array([1, 2, 3, 4]), (1, 2, 3, 4)), (np.int64(2), (1, 2, 2, 2))],
)  # fmt: skip
def test_chunks_mean_the_same_in_both_formats(
    given: Any, wanted: tuple[int, ...], tmp_path: Path
) -> None:
    import h5py
    import zarr

    values = np.arange(3 * 4 * 6 * 8, dtype="u2").reshape(3, 4, 6, 8)
    stack = sd.SpatialArray(values, dims=("c", "z", "y", "x"), spacing=(1, 1, 1),
                            world=sd.World(("x", "y", "z"), "mm"))  # fmt: skip
    sd.write(tmp_path / "a.h5", stack, chunks=given)
    sd.write(tmp_path / "a.ome.zarr", stack, chunks=given, levels=1)
    with h5py.File(tmp_path / "a.h5") as file:
        assert file["image"].chunks == wanted
    assert zarr.open_group(tmp_path / "a.ome.zarr", mode="r")["0"].chunks == wanted
    assert np.array_equal(np.asarray(sd.read(tmp_path / "a.h5")), values)


def test_one_number_is_for_axes_of_space_whatever_their_names() -> None:
    geometry = sd.Geometry((5, 6), dims=("row", "column"), sampled=("row", "column"),
                           world=("x", "y"), direction=np.eye(2))  # fmt: skip
    assert axis_lengths("chunks", 2, geometry, (5, 6)) == (2, 2)


@pytest.mark.parametrize("name", ["", "/", ".", "a//b", "a/", "a/./b", "a\0b", 3])
def test_datasets_without_a_name(name: Any, tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="dataset must be the name"):
        sd.write(tmp_path / "a.h5", image(), dataset=name)
    assert not list(tmp_path.iterdir())
    sd.write(tmp_path / "a.h5", image())
    with pytest.raises(FormatError, match="dataset must be the name"):
        sd.read(tmp_path / "a.h5", dataset=name)


@pytest.mark.parametrize("name", ["a.nii", "a.ome.zarr"])
def test_levels_of_read_pyramid(name: str, tmp_path: Path) -> None:
    sd.write(tmp_path / name, image(None if name.endswith("zarr") else "LPS"))
    wrong: dict[str, Any] = {"level": 0}
    with pytest.raises(TypeError, match=r"read_pyramid opens all levels.*read\(path, level="):
        sd.read_pyramid(tmp_path / name, **wrong)
    wrong = {"lvel": 0}
    with pytest.raises(TypeError, match="has no option lvel=") as raised:
        sd.read_pyramid(tmp_path / name, **wrong)
    assert "level=" not in str(raised.value)


def test_storage_options_of_a_local_path(tmp_path: Path) -> None:
    for nothing in ({}, None):
        sd.write(tmp_path / "a.ome.zarr", image(None), storage_options=nothing, overwrite=True)
    with pytest.raises(FormatError, match="say how to reach a URL, and this is a local path"):
        sd.write(tmp_path / "b.ome.zarr", image(None), storage_options={"anon": True})
    with pytest.raises(TypeError, match="nifti has no option storage_options="):
        sd.write(tmp_path / "b.nii", image(), storage_options={})
    assert [p.name for p in tmp_path.iterdir()] == ["a.ome.zarr"]
