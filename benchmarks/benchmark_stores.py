"""Requests and bytes for a store on S3: this package, zarr alone and TensorStore.

``python -m benchmarks.benchmark_stores`` starts moto's S3 on loopback, in this process, and counts
the requests. Needs moto, s3fs and, for its row, tensorstore.
"""

from __future__ import annotations

import logging
import os
import threading
import time
from typing import TYPE_CHECKING, Any

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_SHAPE, _CHUNK = (96, 256, 256), 64
_BUCKET = "images"


class Counted:
    """A WSGI application that counts requests and the bytes of their answers."""

    def __init__(self, application: Any) -> None:
        self.application, self.requests, self.bytes = application, 0, 0
        self.guard = threading.Lock()

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Iterable[bytes]:
        body = b"".join(self.application(environ, start_response))
        with self.guard:
            self.requests += 1
            self.bytes += len(body)
        return [body]


def serve() -> tuple[Counted, str]:
    """Start the server; it ends with the process."""
    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    counted = Counted(DomainDispatcherApplication(create_backend_app))
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = make_server("127.0.0.1", 0, counted, threaded=True)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return counted, f"http://127.0.0.1:{server.server_port}"


def _tasks(
    url: str, endpoint: str, options: dict[str, Any]
) -> dict[str, dict[str, Callable[[], Any]]]:
    import zarr

    import spatial_duck as sd

    def ours() -> sd.SpatialArray:
        return sd.read(url, storage_options=options)

    def bare() -> Any:
        return zarr.open_group(url, mode="r", storage_options=options)["0"]

    def levels() -> list[Any]:
        group = zarr.open_group(url, mode="r", storage_options=options)
        datasets = group.attrs["ome"]["multiscales"][0]["datasets"]
        return [group[str(d["path"])][...] for d in datasets]

    def tensor() -> Any:
        import tensorstore

        kvstore = {"driver": "s3", "bucket": _BUCKET, "path": "a.ome.zarr/0/", "endpoint": endpoint,
                   "aws_region": "us-east-1"}  # fmt: skip
        return tensorstore.open({"driver": "zarr3", "kvstore": kvstore}, read=True).result()

    def coarse(data: Any) -> Any:
        return data[::4, ::4, ::4]

    return {
        "open": {"spatial_duck": ours, "zarr": bare, "tensorstore": tensor},
        "a slice": {
            "spatial_duck": lambda: np.asarray(ours()[40]),
            "zarr": lambda: bare()[40],
            "tensorstore": lambda: tensor()[40].read().result(),
        },
        "all of it": {
            "spatial_duck": lambda: np.asarray(ours()),
            "zarr": lambda: bare()[...],
            "tensorstore": lambda: tensor().read().result(),
        },
        "every fourth voxel": {
            "spatial_duck": lambda: np.asarray(coarse(ours())),
            "zarr": lambda: coarse(bare()),
            "tensorstore": lambda: coarse(tensor()).read().result(),
        },
        "resample to spacing 4": {
            "spatial_duck": lambda: np.asarray(sd.resample(ours(), spacing=4.0)),
            "zarr": lambda: bare()[...],  # all of it, which a library without blocks needs first
        },
        "its pyramid": {
            "spatial_duck": lambda: [
                np.asarray(level) for level in sd.read_pyramid(url, storage_options=options)
            ],
            "zarr": levels,
        },
    }


def main() -> None:
    """Print the table."""
    os.environ.setdefault("AWS_ACCESS_KEY_ID", "x")
    os.environ.setdefault("AWS_SECRET_ACCESS_KEY", "x")
    os.environ.setdefault("AWS_DEFAULT_REGION", "us-east-1")
    import s3fs

    import spatial_duck as sd

    counted, endpoint = serve()
    options = {"endpoint_url": endpoint, "key": "x", "secret": "x"}
    s3fs.S3FileSystem(**options).mkdir(_BUCKET)
    url = f"s3://{_BUCKET}/a.ome.zarr"
    values = np.random.default_rng(0).integers(0, 4000, _SHAPE).astype("u2")
    image = sd.SpatialArray(values, unit="um")
    start, before = time.perf_counter(), counted.requests
    sd.write(url, image, chunks=_CHUNK, storage_options=options)
    took = time.perf_counter() - start
    print(f"written: {counted.requests - before} requests, {took:.2f} s\n")
    print("| | by | requests | MB | s |\n| --- | --- | --- | --- | --- |")
    for task, ways in _tasks(url, endpoint, options).items():
        for name, call in ways.items():
            try:
                s3fs.S3FileSystem.clear_instance_cache()
                requests, size, start = counted.requests, counted.bytes, time.perf_counter()
                call()
            except ImportError:
                continue
            took = time.perf_counter() - start
            asked, moved = counted.requests - requests, (counted.bytes - size) / 1e6
            print(f"| {task} | {name} | {asked} | {moved:.2f} | {took:.2f} |", flush=True)


if __name__ == "__main__":
    main()
