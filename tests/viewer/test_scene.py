"""Planes and tiles: the values that lie there, from the chunks that hold them and no others."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.pyramids import level_geometries
from spatial_duck.viewer import Scene, open_levels
from spatial_duck.viewer._level_reader import BlockCache
from spatial_duck.viewer._scene import TILE

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

OBLIQUE = [[0.96, 0, 0.28], [0.168, 0.8, -0.576], [-0.224, 0.6, 0.768]]
SHEARED = [[1, 0, 0], [0, 1, 0.6], [0, 0, 0.8]]


def volume(seed: int = 0, shape: tuple[int, ...] = (9, 12, 10), **geometry: Any) -> sd.SpatialArray:
    data = np.random.default_rng(seed).normal(size=shape).astype(np.float32)
    fields: dict[str, Any] = {"spacing": (2.5, 1, 0.75), "origin": (7, -20, 3), "frame": "LPS"}
    return sd.SpatialArray(data, **(fields | geometry))


def whole(scene: Scene, plane: int, depth: int, layer: int = 0, **options: Any) -> np.ndarray:
    return scene.tile(layer, plane, 0, 0, 0, depth, **options)


def positions(scene: Scene, plane: int, depth: int, zoom: int = 0) -> np.ndarray:
    """Return the world positions of a first tile's pixels, from the words of the documentation."""
    size = scene.pixel * 2**zoom
    across, down, through = scene.planes[plane][1:]
    view = np.zeros((TILE, TILE, len(scene.view.names)))
    view[..., across] = scene.low[across] + (np.arange(TILE) + 0.5) * size
    view[..., down] = (scene.low[down] + (np.arange(TILE) + 0.5) * size)[:, None]
    if through is not None:
        view[..., through] = scene.low[through] + (depth + 0.5) * size
    return view @ scene.view.axes.T + scene.view.base


@pytest.mark.slow
@pytest.mark.parametrize("direction", [np.eye(3), OBLIQUE, SHEARED, np.diag([1, -1, -1])])
@pytest.mark.parametrize("frame", ["LPS", "RAS", "SAR", None])
@pytest.mark.parametrize("smooth", [False, True])
def test_tiles_are_what_sample_gives(direction: Any, frame: str | None, smooth: bool) -> None:
    image = volume(direction=direction, frame=frame)
    scene = Scene([image])
    for n in range(3):
        depth = 6
        found = whole(scene, n, depth, smooth=smooth)
        where = positions(scene, n, depth)
        kind = "linear" if smooth else "nearest"
        order = [scene.view.world.index(a) for a in image.world.axes]
        expected = sd.sample(image, where[..., order], interpolation=kind, fill=np.nan)
        seen = np.isfinite(found)
        assert seen.any()
        # On the border between inside and outside, and midway between voxels, rounding decides.
        index = image.physical_to_index(where[..., order])
        edge = np.abs(np.abs(index - np.rint(index)) - 0.5).min(axis=-1) < 1e-6
        np.testing.assert_array_equal(seen[~edge], np.isfinite(expected)[~edge])
        np.testing.assert_allclose(found[seen & ~edge], expected[seen & ~edge], atol=1e-5)


@pytest.mark.parametrize("frame", ["LPS", "RAS", "SAR", "AIL"])
def test_the_patient_is_drawn_in_the_usual_way(frame: str) -> None:
    scene = Scene([volume(frame=frame)])
    assert scene.view.letters == (("R", "L"), ("A", "P"), ("S", "I"))
    assert [p.name for p in scene.planes] == ["axial", "coronal", "sagittal"]
    # Each view axis runs along the world axis of that letter, by the frame's own definition.
    for k, (_, to) in enumerate(scene.view.letters):
        row = next(i for i, letter in enumerate(frame) if letter in (to, scene.view.letters[k][0]))
        world = scene.view.world.index("xyz"[row])
        sign = 1 if frame[row] == to else -1
        np.testing.assert_array_equal(scene.view.axes[:, k], sign * np.eye(3)[world])


def test_without_a_frame_axes_run_as_their_numbers() -> None:
    scene = Scene([volume(frame=None)])
    assert scene.view.names == ("x", "y", "z")
    assert [p.name for p in scene.planes] == ["xy", "xz", "yz"]
    assert (scene.view.axes >= 0).all()


def test_a_slice_in_3d_is_seen_in_its_own_plane() -> None:
    image = volume(direction=OBLIQUE)[4]
    scene = Scene([image])
    assert len(scene.planes) == 1
    found = whole(scene, 0, 0)
    seen = found[np.isfinite(found)]
    assert set(seen) == set(image.data.ravel())
    where = positions(scene, 0, 0)[np.isfinite(found)]
    index = image.physical_to_index(where[:, [scene.view.world.index(a) for a in "zyx"]])
    nearest = np.rint(index).astype(int)
    np.testing.assert_array_equal(seen, image.data[tuple(nearest.T)])


@pytest.mark.parametrize("backend", ["numpy", "dask", "zarr", "array_api_strict"])
@pytest.mark.parametrize("dims", [("t", "z", "y", "x"), ("z", "c", "y", "x"), ("x", "y", "z", "c")])
def test_backends_and_other_axes(backend: str, dims: tuple[str, ...]) -> None:
    pytest.importorskip(backend, reason=f"needs {backend}")
    shape = tuple({"t": 3, "c": 3, "z": 5, "y": 6, "x": 7}[d] for d in dims)
    data = np.arange(np.prod(shape)).reshape(shape).astype(">i2" if backend == "numpy" else "i2")
    plain = sd.SpatialArray(data, dims=dims)
    if backend == "zarr":
        import zarr

        store = zarr.create_array(
            zarr.storage.MemoryStore(), shape=shape, chunks=(2, 3, 4, 3), dtype="i2"
        )
        store[...] = data
        image = sd.SpatialArray(store, dims=dims)
    elif backend == "dask":
        image = plain.to("dask").rechunk((2, 3, 4, 3))
    elif backend == "array_api_strict":
        import array_api_strict

        image = sd.SpatialArray(array_api_strict.asarray(data), dims=dims)
    else:
        image = plain
    scene = Scene([image])
    other = scene.layers[0].sliders
    assert [dims[a] for a in other] == [d for d in dims if d in "tc"]
    found = scene.tile(0, 0, 0, 0, 0, 2, fixed={other[0]: 1})
    expected = np.moveaxis(
        data, [dims.index("y"), dims.index("x"), dims.index("z"), other[0]], [0, 1, 2, 3]
    )[:, :, 2, 1]
    np.testing.assert_array_equal(found[:6, :7], expected)
    assert np.isnan(found[6:]).all()
    assert np.isnan(found[:, 7:]).all()


def test_an_overlay_lies_where_its_own_grid_says() -> None:
    image = volume()
    other = volume(3, (5, 6, 7), spacing=(3, 2, 1.5), direction=OBLIQUE)
    elsewhere = other.replace(geometry=other.geometry.to_frame("RAS"))
    scene = Scene([image], [elsewhere])
    depth = int((scene.high[2] - scene.low[2]) / scene.pixel) - 6  # low in z: both are there
    found = whole(scene, 0, depth, layer=1, smooth=True)
    order = [scene.view.world.index(a) for a in other.world.axes]
    where = positions(scene, 0, depth)[..., order]
    expected = sd.sample(other, where, interpolation="linear", fill=np.nan)
    both = np.isfinite(found) & np.isfinite(expected)
    assert both.sum() > 10
    assert (np.isfinite(found) != np.isfinite(expected)).mean() < 1e-3
    np.testing.assert_allclose(found[both], expected[both], atol=1e-5)


def test_an_overlay_in_another_unit() -> None:
    image = volume(unit="mm")
    scene = Scene([image], [image.replace(geometry=image.geometry.to_unit("um"))])
    np.testing.assert_array_equal(whole(scene, 1, 5), whole(scene, 1, 5, layer=1))


def test_an_overlay_that_may_lie_anywhere_is_refused() -> None:
    with pytest.raises(sd.errors.FrameError, match="replace"):
        Scene([volume()], [volume(frame=None)])
    with pytest.raises(sd.errors.GeometryError, match="axes of space"):
        Scene([volume()], [volume(shape=(4, 4), spacing=1, origin=(0, 0), frame="LPS")])


@pytest.mark.parametrize(
    "image, words",
    [
        (sd.SpatialArray(np.zeros(5)), "two or three axes"),
        (sd.SpatialArray(np.zeros((5, 4)), dims=("c", "x")), "two or three axes"),
        (sd.SpatialArray(np.zeros((0, 4))), "nothing to view"),
    ],
)
def test_what_cannot_be_viewed_says_so(image: sd.SpatialArray, words: str) -> None:
    with pytest.raises(sd.errors.GeometryError, match=words):
        Scene([image])


@given(st.data())
@settings(max_examples=30)
def test_zoomed_out_tiles_show_voxels_of_their_place(data: Any) -> None:
    """A ramp: what a tile shows lies within a pixel of the tile's own position, at every zoom."""
    shape = tuple(data.draw(st.integers(1, n)) for n in (40, 300, 700))
    spacing = [data.draw(st.sampled_from([0.5, 1.0, 3.0])) for _ in range(3)]
    geometry = sd.Geometry(shape, spacing=spacing, origin=(5, -3, 2))
    ramp = np.broadcast_to(geometry.origin[2] + spacing[2] * np.arange(shape[2]), shape)
    scene = Scene([sd.SpatialArray(ramp, geometry)])
    zoom = data.draw(st.integers(0, scene.last_zoom))
    found = scene.tile(0, 0, zoom, 0, 0, 0)
    size = scene.pixel * 2**zoom
    x = scene.low[0] + (np.arange(TILE) + 0.5) * size
    seen = np.isfinite(found)
    off = np.abs(found - x)[seen]
    assert seen.any()
    assert off.max() <= max(size, spacing[2]) + 1e-4


# --- what is read -------------------------------------------------------------------------


def huge() -> tuple[list[sd.SpatialArray], Any]:
    """Return a pyramid of 10^12 voxels of which no chunk is stored, and what notes its reads."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    store = RecordingStore(zarr.storage.MemoryStore())
    finest = sd.Geometry((10_000,) * 3, spacing=(2, 1, 1), frame="LPS", unit="um")
    geometries, _ = level_geometries(finest)
    levels = [
        sd.SpatialArray(
            zarr.create_array(
                store, name=str(n), shape=g.shape, chunks=(64,) * 3, dtype="u2", fill_value=n + 1
            ),
            g,
        )
        for n, g in enumerate(geometries)
    ]
    return levels, store


def test_only_the_tiles_shown_are_read_of_a_huge_pyramid() -> None:
    levels, store = huge()
    assert levels[0].size == 10**12
    scene = Scene(levels)
    assert not store.chunks_read
    # Everything at once: one tile per plane, of a coarse level.
    for plane in range(3):
        scene.tile(0, plane, scene.last_zoom, 0, 0, 10)
    overview = len(store.chunks_read)
    assert overview <= 3 * 25
    coarse = {key.split("/")[0] for key in store.chunks_read}
    assert "0" not in coarse
    # At full resolution: the chunks that 256 × 256 pixels cut, each once.
    store.chunks_read.clear()
    found = scene.tile(0, 0, 0, 20, 21, 9000)
    assert (found == 1).all()
    # The third view coordinate runs to inferior, and z to superior.
    z = round(-(scene.low[2] + 9000.5) / 2)
    expected = [f"0/c/{z // 64}/{y}/{x}" for y in range(80, 84) for x in range(84, 88)]
    assert sorted(store.chunks_read) == sorted(expected)
    # The next plane through the same chunks reads nothing.
    store.chunks_read.clear()
    scene.tile(0, 0, 0, 20, 21, 9002)
    assert len(store.chunks_read) in (0, 16)
    scene.tile(0, 0, 0, 20, 21, 9000, smooth=True)
    assert len(store.chunks_read) <= 16 + 9 * 5


def test_oblique_planes_read_the_chunks_that_they_cut() -> None:
    levels, store = huge()
    tilted = [
        image.replace(direction=OBLIQUE, origin=np.zeros(3)) if n == 0 else image
        for n, image in enumerate(levels)
    ][:1]
    scene = Scene(tilted)
    middle = [int((high - low) / 2 / scene.pixel / TILE) for low, high in
              zip(scene.low, scene.high, strict=True)]  # fmt: skip
    store.chunks_read.clear()
    found = scene.tile(0, 0, 0, middle[1], middle[0], middle[2] * TILE)
    assert (found == 1).all()
    # A box around the tile would be hundreds.
    assert len(store.chunks_read) <= 60


def test_levels_of_a_file(tmp_path: Path) -> None:
    pytest.importorskip("zarr", reason="needs zarr")
    image = volume(shape=(70, 300, 300), direction=np.eye(3), spacing=1)
    sd.write(tmp_path / "a.ome.zarr", image, levels=3)
    found = open_levels(tmp_path / "a.ome.zarr")
    assert [level.shape for level in found] == [(70, 300, 300), (35, 150, 150), (17, 75, 75)]
    assert len(open_levels(tmp_path / "a.ome.zarr", 1)) == 2
    sd.write(tmp_path / "a.mha", image)
    assert len(open_levels(tmp_path / "a.mha")) == 1
    scene = Scene(found)
    assert scene.last_zoom == 1
    np.testing.assert_array_equal(
        scene.tile(0, 0, 0, 0, 0, 5), Scene(open_levels(tmp_path / "a.mha")).tile(0, 0, 0, 0, 0, 5)
    )


def test_a_file_that_is_mapped_is_not_read_to_be_opened(tmp_path: Path) -> None:
    shape = (64, 1024, 1024)
    mapped = np.memmap(tmp_path / "raw", np.uint8, "w+", shape=shape)
    scene = Scene([sd.SpatialArray(mapped)])
    assert len(scene.layers[0].levels) > 3
    for level in scene.layers[0].levels:
        assert np.shares_memory(level.image.data, mapped)


# --- the cache ----------------------------------------------------------------------------


def test_the_cache_keeps_what_was_used_last() -> None:
    cache, made = BlockCache(30), []

    def block(name: str) -> Callable[[], np.ndarray]:
        def make() -> np.ndarray:
            made.append(name)
            return np.zeros(10, np.uint8)

        return make

    for name in "abcadea":  # d pushes b out, e pushes c
        cache.get(name, block(name))
    assert made == list("abcde")
    cache.get("b", block("b"))
    assert made == list("abcdeb")


def test_a_block_that_two_want_is_read_once() -> None:
    cache, made, ready = BlockCache(100), [], threading.Event()

    def make() -> np.ndarray:
        made.append(1)
        ready.wait(5)
        return np.ones(3)

    found: list[np.ndarray] = []
    threads = [
        threading.Thread(target=lambda: found.append(cache.get("a", make))) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    ready.set()
    for thread in threads:
        thread.join()
    assert len(made) == 1
    assert all(f is found[0] for f in found)


def test_a_block_that_failed_is_tried_again() -> None:
    cache = BlockCache(100)
    with pytest.raises(ZeroDivisionError):
        cache.get("a", lambda: 1 // 0)  # type: ignore[arg-type,return-value]
    assert cache.get("a", lambda: np.ones(1))[0] == 1


def test_limits_are_of_what_is_shown() -> None:
    image = volume()
    low, high = Scene([image]).limits(0)
    assert image.data.min() <= low < high <= image.data.max()
    assert Scene([image], limits=(1, 2)).limits(0) == (1, 2)
    constant = Scene([sd.SpatialArray(np.full((3, 4), 7))])
    assert constant.limits(0) == (6.5, 7.5)
    nothing = Scene([sd.SpatialArray(np.full((3, 4), np.nan))])
    assert nothing.limits(0) == (0, 1)


@pytest.mark.parametrize("dtype", ["?", "u1", "i4", "u2", ">i8"])
def test_labels_are_known_by_their_regions(dtype: str) -> None:
    blobs = np.zeros((16, 16, 16), dtype)
    blobs[2:8, 2:8, 2:14], blobs[8:14, 2:14, 2:14] = 1, min(3, 1 if dtype == "?" else 3)
    noise = np.random.default_rng(0).integers(0, 255, (16, 16, 16)).astype("u1")
    image = sd.SpatialArray(noise, spacing=1.0)
    layers = Scene([image], [image.replace(blobs)]).describe()["layers"]
    assert [layer["labels"] for layer in layers] == [False, True]
    layers = Scene([image], [image.astype("i4")]).describe()["layers"]
    assert layers[1]["labels"] is False


@pytest.mark.parametrize("dims", [("y", "x", "c"), ("c", "y", "x")])
def test_colours_come_packed(dims: tuple[str, ...]) -> None:
    rgb = np.zeros((8, 8, 3), "u1")
    rgb[...] = (10, 20, 250)
    scene = Scene([sd.SpatialArray(np.moveaxis(rgb, 2, dims.index("c")), dims=dims)])
    layer = scene.describe()["layers"][0]
    assert layer["rgb"] is True
    assert layer["sliders"] == []
    found = scene.tile(0, 0, 0, 0, 0, 0)
    assert np.unique(found[np.isfinite(found)]).tolist() == [(10 << 16) + (20 << 8) + 250]


def test_several_images_lie_over_one_each_with_its_own_chunks() -> None:
    image = sd.SpatialArray(np.arange(16.0).reshape(4, 4))
    scene = Scene([image], [image + 1], [image + 2], names=("a",))
    layers = scene.describe()["layers"]
    assert [layer["name"] for layer in layers] == ["a", "overlay 1", "overlay 2"]
    values = [scene.tile(n, 0, 0, 0, 0, 0) for n in range(3)]
    for n in (1, 2):
        np.testing.assert_array_equal(values[n], values[0] + n)
