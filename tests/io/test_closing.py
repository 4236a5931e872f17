"""What `read` opened is closed at the end of ``with``, and later use says so."""

from __future__ import annotations

import os
import pickle
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import backends

for _package in ("dask", "nibabel", "zarr", "tifffile", "h5py", "imageio"):
    pytest.importorskip(_package, reason=f"needs {_package}")

SUFFIXES = """.nii .nii.gz .nrrd .nhdr .mha .mhd .npy .h5 .vti .tif .ome.zarr .ozx""".split()
#: How each image is made of the one that was read; all are lazy or views where that is.
DERIVED = {
    "itself": lambda image: image,
    "slice": lambda image: image[1:, ::-1],
    "axes": lambda image: image.T,
    "chunks": lambda image: image.chunk(),
    "arithmetic": lambda image: image.chunk() + 1,
    "resampled": lambda image: sd.resample(image.chunk(), spacing=4.0),
    "replaced": lambda image: image.replace(frame="RAS"),
}
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").is_dir(), reason="no /proc/self/fd")


def volume() -> sd.SpatialArray:
    values = np.arange(16**3, dtype="f4").reshape(16, 16, 16)
    return sd.SpatialArray(values, spacing=2.0, frame="LPS", unit="mm")


def open_files(folder: Path) -> list[str]:
    """Return what of a folder this process has open."""
    found = []
    for number in os.listdir("/proc/self/fd"):  # noqa: PTH208 (they go while they are listed)
        try:
            found.append(str(Path(f"/proc/self/fd/{number}").readlink()))
        except OSError:
            continue
    return [name for name in found if name.startswith(str(folder))]


def written(folder: Path, suffix: str) -> Path:
    path = folder / f"a{suffix}"
    sd.write(path, volume())
    return path


@needs_proc
@pytest.mark.parametrize("lazy", [None, True])
@pytest.mark.parametrize("suffix", SUFFIXES)
def test_nothing_stays_open_and_use_says_so(suffix: str, lazy: bool | None, tmp_path: Path) -> None:
    path = written(tmp_path, suffix)
    with sd.read(path, lazy=lazy) as image:
        mapped = backends.is_mapped(image.data)
        stored = type(image.data).__name__ == "ZarrView"
        derived = {how: make(image) for how, make in DERIVED.items()}
        kept = (image * 1).compute()
    assert mapped or not open_files(tmp_path)
    assert float(kept.sum()) == float(volume().sum())
    for how, made in derived.items():
        assert made.geometry.shape
        assert repr(made)
        if stored or (mapped and made is image):
            said = re.escape(str(tmp_path / "a")) + r"\S* was closed, by close\(\) .*open it again"
            with pytest.raises(sd.FormatError, match=said):
                made.compute().sum()
        else:
            assert float(made.compute().sum()) > 0, how
    del derived, made
    assert not open_files(tmp_path)


@needs_proc
def test_a_tiled_tiff_is_closed(tmp_path: Path) -> None:
    import tifffile

    path = tmp_path / "tiles.tif"
    tifffile.imwrite(path, np.zeros((64, 64), "u1"), tile=(32, 32), compression="zlib")
    with sd.read(path) as image:
        part, again = image[::2], pickle.dumps(image)
        assert open_files(tmp_path)
    assert not open_files(tmp_path)
    with pytest.raises(sd.FormatError, match="was closed"):
        part.compute()
    assert pickle.loads(again).compute().shape == (64, 64)  # opens the file anew


@needs_proc
@pytest.mark.parametrize("suffix", [".ome.zarr", ".ozx"])
def test_a_pyramid_closes_its_levels(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{suffix}"
    sd.write(path, volume(), levels=2)
    with sd.read_pyramid(path) as levels:
        assert len(levels) == 2
        coarse = levels[1][2:]
    assert not open_files(tmp_path)
    for level in (*levels, coarse):
        with pytest.raises(sd.FormatError, match="was closed"):
            level.compute()


@needs_proc
def test_an_image_of_several_files_closes_each(tmp_path: Path) -> None:
    paths = [tmp_path / f"{n}.ozx" for n in range(3)]
    for path in paths:
        sd.write(path, volume())
    with sd.read(paths, lazy=True) as image:
        part = image[1]
        assert len(open_files(tmp_path)) == 3
    assert not open_files(tmp_path)
    with pytest.raises(sd.FormatError, match="was closed"):
        part.compute()


def test_what_is_in_memory_stays(tmp_path: Path) -> None:
    image = volume()
    with image as same:
        assert same is image
    assert float(image.sum()) > 0
    with sd.read(written(tmp_path, ".nii"), lazy=False) as read:
        pass
    assert float(read.sum()) == float(image.sum())
    with sd.read(written(tmp_path, ".ome.zarr")) as read:
        mean, computed = np.mean(read, axis=0).compute(), read.compute()
    assert mean.shape == (16, 16)
    assert float(computed.sum()) == float(image.sum())


def test_an_error_in_the_block_closes_too(tmp_path: Path) -> None:
    with pytest.raises(KeyError), sd.read(written(tmp_path, ".nii")) as image:
        raise KeyError("mine")
    with pytest.raises(sd.FormatError, match="was closed"):
        image + 1


def test_what_another_opened_is_theirs(tmp_path: Path) -> None:
    import zarr

    path = written(tmp_path, ".ozx")
    with zarr.storage.ZipStore(path, mode="r") as store:
        with sd.read(store) as image:
            pass
        with pytest.raises(sd.FormatError, match="was closed"):
            image.compute()
        assert zarr.open_group(store, mode="r")["0"][0, 0, 0] == 0
    np.save(tmp_path / "mine.npy", np.ones((2, 3)))
    mapped: Any = np.load(tmp_path / "mine.npy", mmap_mode="r")
    with sd.SpatialArray(mapped) as image:
        pass
    assert float(image.sum()) == 6


@needs_proc
def test_bare_arrays_keep_the_map_and_closing_twice_is_nothing(tmp_path: Path) -> None:
    image = sd.read(written(tmp_path, ".nii"))
    bare = image.data
    image.close()
    image.close()
    assert float(bare.sum()) > 0
    assert open_files(tmp_path)
    del bare
    assert not open_files(tmp_path)


def test_datasets_of_xarray_close_their_image(tmp_path: Path) -> None:
    xr = pytest.importorskip("xarray", reason="needs xarray")
    path = written(tmp_path, ".ome.zarr")
    with xr.open_dataset(path, engine="spatial_duck") as dataset:
        lazy = dataset.image.mean()
    with pytest.raises(sd.FormatError, match="was closed"):
        lazy.compute()
