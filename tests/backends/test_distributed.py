"""Images on dask.distributed: what is sent comes back with its geometry."""

from __future__ import annotations

import warnings
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import SpatialArray

if TYPE_CHECKING:
    from collections.abc import Iterator

distributed = pytest.importorskip("distributed", reason="needs dask.distributed")
dask = pytest.importorskip("dask", reason="needs dask")
da = pytest.importorskip("dask.array", reason="needs dask")

# What distributed itself leaves behind when a cluster closes.
pytestmark = [
    pytest.mark.filterwarnings(
        "ignore::ResourceWarning", "ignore::pytest.PytestUnraisableExceptionWarning"
    ),
    pytest.mark.slow,
]

V = np.arange(120.0).reshape(5, 4, 6)


def image(lazy: bool = True, **options: Any) -> SpatialArray:
    options = {"spacing": (3, 2, 0.5), "origin": (1, 2, 3), "frame": None} | options
    data = da.from_array(V, chunks=(3, 3, 4)) if lazy else V
    return SpatialArray(data, attrs={"subject": 4}, **options)


@pytest.fixture(scope="module", params=[False, True], ids=["threads", "processes"])
def client(request: pytest.FixtureRequest) -> Iterator[Any]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with (
            distributed.LocalCluster(
                n_workers=1,
                threads_per_worker=2,
                processes=request.param,
                dashboard_address=None,
                scheduler_kwargs={"dashboard_address": "127.0.0.1:0"},
                memory_limit=0,
            ) as cluster,
            distributed.Client(cluster) as found,
        ):
            yield found


def is_image(found: Any, like: SpatialArray, values: Any) -> None:
    assert isinstance(found, SpatialArray)
    assert type(found.data) is np.ndarray
    assert found.geometry == like.geometry
    assert found.attrs == like.attrs
    np.testing.assert_array_equal(found.data, values)


def where(image: Any) -> Any:
    """Return what a worker sees of an image."""
    return type(image).__name__, image.geometry, float(np.sum(image))


def moved(image: Any) -> Any:
    """Return an image made on a worker."""
    return image[1:, ::-1] + 1


def test_compute_and_persist(client: Any) -> None:
    a = image()
    b = a[::-1] + 1
    is_image(client.compute(b).result(), b, V[::-1] + 1)
    is_image(dask.compute(b)[0], b, V[::-1] + 1)
    is_image(b.compute(), b, V[::-1] + 1)
    kept = client.persist(b)
    assert isinstance(kept.data, da.Array)
    is_image(kept.compute(), b, V[::-1] + 1)
    is_image((kept + 1).compute(), b, V[::-1] + 2)


@pytest.mark.parametrize("lazy", [False, True])
def test_submit_and_map(client: Any, lazy: bool) -> None:
    a = image(lazy)
    assert client.submit(where, a).result() == ("SpatialArray", a.geometry, V.sum())
    is_image(client.submit(moved, image(False)).result(), moved(a), moved(V))
    others = [a, a.replace(spacing=1), a.replace(origin=(0, 0, 0))]
    found = client.gather(client.map(where, others))
    assert [f[1] for f in found] == [o.geometry for o in others], "images were taken for one"


def test_scatter(client: Any) -> None:
    a = image(False)
    future = client.scatter(a)
    is_image(future.result(), a, V)
    assert client.submit(where, future).result()[1] == a.geometry
    many = client.scatter([a, a.replace(spacing=1)], broadcast=True)
    assert [tuple(f.result().spacing) for f in many] == [(3, 2, 0.5), (1, 1, 1)]


def test_images_with_other_geometry_are_not_merged(client: Any) -> None:
    a, b = image(), image(spacing=1)
    first, second = dask.compute(a + 1, b + 1)
    is_image(first, a, V + 1)
    is_image(second, b, V + 1)
    delayed = [dask.delayed(where, pure=True)(i) for i in (a, b)]
    assert [d[1] for d in dask.compute(*delayed)] == [a.geometry, b.geometry]


@pytest.mark.long
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
def test_resampling_of_a_store_on_several_workers(interpolation: str, tmp_path: Any) -> None:
    """Each worker reads what it needs itself: the bits are those of threads."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    import spatial_duck as sd

    values = np.random.default_rng(0).normal(size=(30, 40, 50)).astype("f4")
    array = zarr.create_array(tmp_path / "a.zarr", shape=values.shape, chunks=(11, 12, 13),
                              dtype="f4")  # fmt: skip
    array[...] = values
    source = SpatialArray(array, spacing=(2, 1, 1))
    turned = [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    grid = source.geometry.replace(direction=turned, spacing=(1.5, 1.1, 0.9), origin=(0, 5, 0))
    lazy = sd.resample(source, grid, interpolation=interpolation)
    expected = lazy.compute(scheduler="threads").data
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        options = {
            "processes": True,
            "dashboard_address": None,
            "scheduler_kwargs": {"dashboard_address": "127.0.0.1:0"},
            "memory_limit": 0,
        }
        with (
            distributed.LocalCluster(n_workers=3, threads_per_worker=1, **options) as cluster,
            distributed.Client(cluster) as several,
        ):
            held = several.persist(lazy.data)
            distributed.wait(held)
            busy = [worker for worker, keys in several.has_what().items() if keys]
            blocks = held.compute()
    assert len(busy) > 1, "one worker did it all"
    np.testing.assert_array_equal(blocks, expected)
    if interpolation != "cubic":
        there = sd.resample(source.compute(), grid, interpolation=interpolation)
        np.testing.assert_array_equal(blocks, there.data)
