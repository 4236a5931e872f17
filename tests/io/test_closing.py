"""What `read` opened is closed at the end of ``with``, and later use says so."""

from __future__ import annotations

import copy
import gc
import os
import pickle
import re
import threading
import weakref
from concurrent.futures import ThreadPoolExecutor
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


def mapped_files(folder: Path) -> list[str]:
    """Return the lines of this process's maps that name a file of a folder."""
    lines = Path("/proc/self/maps").read_text().splitlines()
    return [line for line in lines if str(folder) in line]


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


MAPPED = [".nii", ".nrrd", ".mhd", ".npy", ".h5", ".tif"]


def write_several(folder: Path, suffix: str, count: int) -> list[Path]:
    """Write `count` images of one grid, of the values 0, 1, …"""
    paths = [folder / f"{n:03}{suffix}" for n in range(count)]
    for n, path in enumerate(paths):
        sd.write(path, sd.SpatialArray(np.full((4, 5, 6), n, "f4"), spacing=2.0, frame="LPS"))
    return paths


@needs_proc
@pytest.mark.parametrize("suffix", MAPPED)
def test_several_lazy_files_are_opened_when_their_block_is_read(
    suffix: str, tmp_path: Path
) -> None:
    paths = write_several(tmp_path, suffix, 3)
    image = sd.read(paths, lazy=True)
    assert backends.is_dask(image.data)
    assert not open_files(tmp_path)
    assert not mapped_files(tmp_path)
    sd.write(paths[2], sd.read(paths[0], lazy=False), overwrite=True)
    assert image[1].compute().data.mean() == 1
    with pytest.raises(sd.FormatError, match="replaced or changed"):
        image[2].compute()


@needs_proc
@pytest.mark.parametrize("lazy", [None, False])
@pytest.mark.parametrize("suffix", MAPPED)
def test_several_files_in_one_array_are_not_kept(
    suffix: str, lazy: bool | None, tmp_path: Path
) -> None:
    image = sd.read(write_several(tmp_path, suffix, 3), lazy=lazy)
    assert isinstance(image.data, np.ndarray)
    assert not open_files(tmp_path)
    assert not mapped_files(tmp_path)
    with image:
        pass
    np.testing.assert_array_equal(image.mean(axis=(1, 2, 3)), range(3))


@needs_proc
@pytest.mark.parametrize("lazy", [None, True, False])
def test_more_files_than_descriptors_are_read(lazy: bool | None, tmp_path: Path) -> None:
    import resource

    write_several(tmp_path, ".npy", 150)
    sd.read(str(tmp_path / "00?.npy"), lazy=lazy)  # imports what it needs
    limits = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(
        resource.RLIMIT_NOFILE, (len(list(Path("/proc/self/fd").iterdir())) + 110, limits[1])
    )
    try:
        image = sd.read(str(tmp_path / "*.npy"), lazy=lazy)
        means = np.mean(image, axis=(1, 2, 3)).compute()
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, limits)
    np.testing.assert_array_equal(means, range(150))


def test_parts_live_as_long_as_they_are_read_from(tmp_path: Path) -> None:
    image = sd.read(write_several(tmp_path, ".npy", 2), lazy=False)
    assert image._opened == ()
    image = sd.read(write_several(tmp_path, ".ozx", 2))
    parts = [weakref.ref(part) for part in image._opened]
    assert len(parts) == 2
    image.close()
    gc.collect()
    assert [part() for part in parts] == [None, None]


@pytest.mark.parametrize("suffix", SUFFIXES)
@pytest.mark.parametrize("how", [*DERIVED, "copied"])
def test_derived_images_close_nothing(how: str, suffix: str, tmp_path: Path) -> None:
    image = sd.read(written(tmp_path, suffix))
    derived = copy.copy(image) if how == "copied" else DERIVED[how](image)
    if derived is not image:
        with derived:
            pass
        derived.close()
        assert float(derived.compute().sum()) != 0
    assert float(image.compute().sum()) == float(volume().sum())


@pytest.mark.parametrize("dims", [None, "zyx"])
@pytest.mark.parametrize("suffix", [".nii", ".npy", ".tif", ".ome.zarr", ".ozx"])
def test_a_closed_image_tells_its_geometry(suffix: str, dims: str | None, tmp_path: Path) -> None:
    image = sd.read(written(tmp_path, suffix), dims=dims)
    names = """shape ndim size dtype itemsize nbytes dims sizes spacing origin direction affine
        world frame unit bounds orientation lost attrs geometry""".split()
    before = {name: getattr(image, name) for name in names}
    image.close()
    for name in names:
        np.testing.assert_equal(getattr(image, name), before[name])
    assert len(image) == 16
    assert "16 × 16 × 16, closed" in repr(image)
    assert "16 × 16 × 16, closed" in image._repr_html_()
    with pytest.raises(sd.FormatError, match="was closed"):
        image.data  # noqa: B018


@pytest.mark.parametrize("suffix", [".nii", ".ozx"])
def test_several_threads_may_close_one_image(suffix: str, tmp_path: Path) -> None:
    path = written(tmp_path, suffix)
    with ThreadPoolExecutor(8) as pool:
        for _ in range(30):
            image = sd.read(path, dims="zyx")
            barrier = threading.Barrier(8)

            def close(image: Any = image, barrier: Any = barrier) -> Any:
                barrier.wait()
                image.close()
                return image.shape

            shapes = [job.result() for job in [pool.submit(close) for _ in range(8)]]
            assert shapes == [(16, 16, 16)] * 8
