"""The table of backends in spatial_duck/backends/README.md, made from their conformance suites.

``python -m benchmarks.backends`` runs every suite whose library is installed, and writes the table.
"""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks._table import write_findings
from spatial_duck import backends
from spatial_duck.testing import BackendConformance, DeviceArray

README = Path(backends.__file__).with_name("README.md")


def _chunks(array: Any) -> tuple[int, ...]:
    return tuple([n // 2 + 1 for n in array.shape])


class NumPy(BackendConformance):
    """NumPy's arrays."""

    backend = backends.backend_of(np.zeros(1))


class Device(BackendConformance):
    """The stand-in for a GPU: it raises where CuPy raises."""

    backend = backends.backend_of(DeviceArray([1]))


def _dask() -> type[BackendConformance]:
    import dask.array as da

    class Dask(BackendConformance):
        backend = backends.backend_of(da.zeros(1))

        def make(self, array: Any) -> Any:
            return da.from_array(array, chunks=_chunks(array))

    return Dask


def _zarr(version: int) -> type[BackendConformance]:
    import zarr

    def made(array: Any) -> Any:
        store = zarr.storage.MemoryStore()
        given = {"shape": array.shape, "chunks": _chunks(array), "dtype": array.dtype}
        new = zarr.create_array(store, zarr_format=version, **given)
        new[...] = array
        return new

    class Zarr(BackendConformance):
        backend = backends.backend_of(backends.adopt(made(np.zeros(1))))

        def make(self, array: Any) -> Any:
            return made(array)

    Zarr.__name__ = f"Zarr{version}"
    return Zarr


def _array_api(name: str) -> type[BackendConformance]:
    class ArrayAPI(BackendConformance):
        backend = backends.backend_of(backends.to(np.zeros(1), name))
        target = name
        # JAX has no 64-bit types unless its user asks for them.
        dtypes = ("bool", "uint8", "int16", "int32", "float32", "float32") if name == "jax" else (
            BackendConformance.dtypes)  # fmt: skip

        def make(self, array: Any) -> Any:
            return backends.to(array, name)

    ArrayAPI.__name__ = name
    return ArrayAPI


def _hdf5() -> type[BackendConformance]:
    import h5py

    class Stored(h5py.Dataset):
        """A class of its own: other datasets stay what they are in this process."""

    class H5Backend(backends.StoredBackend):
        name = "hdf5"
        kinds = (Stored,)

        def read(self, data: Any, key: Any) -> Any:
            return data[key]

        def chunks(self, data: Any) -> Any:
            return backends.even_chunks(data.shape, data.chunks)

    backends.register(Stored, H5Backend())
    file = h5py.File("stored.h5", "w", driver="core", backing_store=False)

    class HDF5(BackendConformance):
        backend = backends.backend_of(Stored(file.create_dataset("first", data=np.zeros(1)).id))

        def make(self, array: Any) -> Any:
            chunks = _chunks(array) if array.size else None
            return Stored(file.create_dataset(f"d{len(file)}", data=array, chunks=chunks).id)

    return HDF5


def _tensorstore() -> type[BackendConformance]:
    import tensorstore as ts

    class TensorStoreBackend(backends.StoredBackend):
        name = "tensorstore"
        kinds = (ts.TensorStore,)

        def adopt(self, data: Any) -> Any:
            return data if isinstance(data, _Store) else _Store(data)

        def read(self, data: Any, key: Any) -> Any:
            return data.store[key].read().result()

        def chunks(self, data: Any) -> Any:
            return backends.even_chunks(data.shape, data.store.chunk_layout.read_chunk.shape)

    class _Store:
        """A TensorStore with NumPy's type."""

        def __init__(self, store: Any) -> None:
            self.store, self.shape = store, tuple(store.shape)
            self.dtype, self.ndim = np.dtype(store.dtype.numpy_dtype), len(store.shape)
            self.size, self.nbytes = store.size, store.size * self.dtype.itemsize

    TensorStoreBackend.kinds = (_Store,)
    backend = TensorStoreBackend()
    backends.register(_Store, backend)
    backends.register(ts.TensorStore, backend)

    class TensorStore(BackendConformance):
        def make(self, array: Any) -> Any:
            grid = {"chunk_shape": [max(c, 1) for c in _chunks(array)]}
            layout = {"driver": "zarr3", "kvstore": "memory://", "metadata": {
                "chunk_grid": {"name": "regular", "configuration": grid}}}  # fmt: skip
            made = {"shape": array.shape, "dtype": array.dtype.name, "context": ts.Context()}
            store = ts.open(layout, create=True, **made).result()
            if array.size:
                store[...] = array
            return store

    TensorStore.backend = backend
    return TensorStore


def suites() -> list[type[BackendConformance]]:
    """Return the suites of all backends whose libraries are installed."""
    made: list[tuple[str, Any]] = [
        ("dask", _dask), ("zarr", lambda: _zarr(2)), ("zarr", lambda: _zarr(3)),
        *[(name, lambda name=name: _array_api(name))
          for name in ("array_api_strict", "torch", "jax", "sparse")],
        ("h5py", _hdf5), ("tensorstore", _tensorstore),
    ]  # fmt: skip
    return [NumPy, *[make() for name, make in made if find_spec(name)], Device]


if __name__ == "__main__":
    write_findings(README, [suite.report() for suite in suites()])
