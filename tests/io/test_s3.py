"""A bucket of S3 (moto's, on this machine) is written, read, replaced and shared as a folder is."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck import io
from spatial_duck.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [
    pytest.mark.library,
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # of sessions that fsspec keeps
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),  # of moto and what it stands on
]

zarr = pytest.importorskip("zarr", reason="needs zarr")


def image(value: int) -> sd.SpatialArray:
    data = np.random.default_rng(value).integers(1, 200, (8, 8, 8)).astype("u2")
    return sd.SpatialArray(data, spacing=(3, 2, 1), origin=(1, 2, 3), unit="um")


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Any, str]]:
    pytest.importorskip("moto.server", reason="needs moto[server]")
    pytest.importorskip("s3fs", reason="needs s3fs")
    from benchmarks.benchmark_stores import serve

    with pytest.MonkeyPatch.context() as monkey:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            monkey.setenv(name, "x")
        monkey.setenv("AWS_DEFAULT_REGION", "us-east-1")
        yield serve()


@pytest.fixture
def bucket(server: tuple[Any, str], request: pytest.FixtureRequest) -> tuple[str, dict[str, Any]]:
    import s3fs

    _, endpoint = server
    options = {"endpoint_url": endpoint, "key": "x", "secret": "x"}
    name = f"bucket-{abs(hash(request.node.name)) % 10**6}"
    s3fs.S3FileSystem(**options, skip_instance_cache=True).mkdir(name)
    return f"s3://{name}", options


def test_an_image_is_written_replaced_and_told(bucket: tuple[str, dict[str, Any]]) -> None:
    url, options = f"{bucket[0]}/a.ome.zarr", bucket[1]
    given = {"chunks": 4, "levels": 1, "shards": False, "storage_options": options}
    io.write(url, image(1), **given)
    opened = io.read(url, storage_options=options)
    assert np.array_equal(np.asarray(opened), np.asarray(image(1)))
    with pytest.raises(FileExistsError, match="overwrite=True"):
        io.write(url, image(2), **given)
    io.write(url, image(2), **given, overwrite=True)
    with pytest.raises(FormatError, match="replaced or changed"):
        np.asarray(opened)
    again = io.read(url, storage_options=options)
    assert np.array_equal(np.asarray(again), np.asarray(image(2)))


def test_parts_of_chunks_take_turns(
    bucket: tuple[str, dict[str, Any]], server: tuple[Any, str]
) -> None:
    url, options = f"{bucket[0]}/a.zarr", bucket[1]
    zarr.create_array(
        url, shape=(8, 8), chunks=(8, 8), dtype="u2", storage_options=options, overwrite=True
    )
    array = zarr.open_array(url, mode="r+", storage_options=options)
    part = sd.SpatialArray(array, spacing=1.0)
    part[2] = 7
    assert np.unique(np.asarray(part)).tolist() == [0, 7]
    import s3fs

    files = s3fs.S3FileSystem(**options, skip_instance_cache=True)
    assert not [name for name in files.find(url) if "lock" in name]
    files.pipe(f"{url}/spatial_duck-lock", b"process 7 on elsewhere")
    with sd.config(max_wait_seconds=0.01), pytest.raises(BlockingIOError, match="elsewhere"):
        part[3] = 8
