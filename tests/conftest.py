"""What all tests share: one fixture for all backends, the real images, and long runs on request."""

from __future__ import annotations

import functools
import inspect
import os
import re
import signal
import sys
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import hypothesis
import numpy as np
import pytest

from spatial_duck.testing import assert_lazy
from tests import effort

if TYPE_CHECKING:
    from collections.abc import Callable
    from contextlib import AbstractContextManager

os.environ.setdefault("MPLBACKEND", "Agg")

# A job in the background of a script ignores it, and so would the programs that tests interrupt.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Same examples in each CI run: a failure there is the change's, and its blob can be replayed.
hypothesis.settings.register_profile(
    "default",
    deadline=None,
    max_examples=50,
    derandomize="CI" in os.environ,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("default")

ROOT = Path(__file__).resolve().parent.parent
DATA = Path(os.environ.get("SPATIAL_DUCK_DATA", ROOT.parent / "shared" / "data"))


class Backend(StrEnum):
    """The array libraries that the tests run on."""

    NUMPY = "numpy"
    DASK = "dask"
    ZARR2 = "zarr2"
    ZARR3 = "zarr3"
    ARRAY_API_STRICT = "array_api_strict"
    CUPY = "cupy"


class BackendCase(NamedTuple):
    """One backend in a test.

    Attributes
    ----------
    kind : Backend
        Which one.
    make : callable
        ``make(array)``: a NumPy array's values in the backend's array, in chunks that do not
        divide the shape where it has chunks.
    to_numpy : callable
        ``to_numpy(array)``: back again.
    lazy : bool
        Whether nothing may be computed or read before it is asked for.
    """

    kind: Backend
    make: Callable[[Any], Any]
    to_numpy: Callable[[Any], np.ndarray]
    lazy: bool


def _chunks(shape: tuple[int, ...]) -> tuple[int, ...]:
    return tuple(n // 2 + 1 for n in shape)


def _make_dask(array: Any) -> Any:
    da = pytest.importorskip("dask.array", reason="needs dask")
    array = np.asarray(array)
    return da.from_array(array, chunks=_chunks(array.shape))


def _make_zarr(array: Any, zarr_format: int) -> Any:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    array = np.asarray(array)
    made = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=array.shape,
        chunks=_chunks(array.shape),
        dtype=array.dtype,
        zarr_format=zarr_format,
    )
    made[...] = array
    return made


def _make_strict(array: Any) -> Any:
    strict = pytest.importorskip("array_api_strict", reason="needs array_api_strict")
    return strict.asarray(np.asarray(array))


def _make_cupy(array: Any) -> Any:
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    return cupy.asarray(np.asarray(array))


_CASES = {
    Backend.NUMPY: (np.asarray, np.asarray, False),
    Backend.DASK: (_make_dask, np.asarray, True),
    Backend.ZARR2: (lambda a: _make_zarr(a, 2), np.asarray, True),
    Backend.ZARR3: (lambda a: _make_zarr(a, 3), np.asarray, True),
    Backend.ARRAY_API_STRICT: (_make_strict, lambda a: np.from_dlpack(a), False),
    Backend.CUPY: (_make_cupy, lambda a: sys.modules["cupy"].asnumpy(a), False),
}

_PARAMS = [
    pytest.param(kind, marks=pytest.mark.gpu) if kind is Backend.CUPY else kind for kind in Backend
]


def pytest_make_parametrize_id(val: object) -> str | None:
    """Name functions in the names of tests: an address differs between the workers of xdist."""
    return getattr(val, "__name__", None) if callable(val) else None


@pytest.fixture(params=_PARAMS, ids=str)
def backend(request: pytest.FixtureRequest) -> BackendCase:
    """Each backend in turn; ``@pytest.mark.parametrize("backend", [...], indirect=True)`` picks."""
    kind = Backend(request.param)
    return BackendCase(kind, *_CASES[kind])


@pytest.fixture
def no_compute() -> Callable[..., AbstractContextManager[None]]:
    """``with no_compute():`` fails the test if a Dask array is computed inside the block."""
    return assert_lazy


@pytest.fixture(scope="session")
def data_dir() -> Path:
    """The folder of real images: ``$SPATIAL_DUCK_DATA``, or ``../shared/data``."""
    if not DATA.is_dir():
        pytest.skip(f"no folder of real images at {DATA.name!r}; set SPATIAL_DUCK_DATA")
    return DATA


@pytest.fixture
def data_file(data_dir: Path) -> Callable[[str], Path]:
    """Path of one real image by its place in the folder; skips the test where it is absent."""

    def find(name: str) -> Path:
        path = data_dir / name
        if not path.exists():
            pytest.skip(f"the folder of real images has no {name}")
        return path

    return find


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the long tests as well")


def pytest_configure(config: pytest.Config) -> None:
    # The fast lane is chosen by the expression that CONTRIBUTING.md gives for it.
    fast = config.getoption("markexpr") == "not library and not slow"
    effort.set_up(long=config.getoption("--long"), fast=fast)


def _has_gpu() -> bool:
    try:
        import cupy

        return bool(cupy.cuda.runtime.getDeviceCount())
    except Exception:  # no package, no driver, no device: each has its own error
        return False


#: Libraries of the extra ``test-all`` and the like, by their packages' names.
_LIBRARIES = frozenset(
    {
        "ants", "cubed", "itk", "jax", "monai", "multiscale_spatial_image", "napari", "ngff_zarr",
        "nitransforms", "pyvista", "radiomics", "rasterio", "rioxarray", "sparse",
        "spatial_image", "torch", "torchio", "ome_zarr_models",
    }
)  # fmt: skip
#: Files all of whose tests compare with such libraries.
_LIBRARY_FILES = frozenset(
    {
        "backends/test_arrayapi_backends.py",
        "interop/test_more_libraries.py",
        "interop/test_traps.py",
        "interop/test_viewers.py",
        "registration/test_engines.py",
        "resampling/test_cubed.py",
        "viewer/test_browser.py",
    }
)


@functools.cache
def _asked_for(function: Callable[..., object]) -> frozenset[str]:
    """Return the libraries that a test's source skips without; reading sources is slow."""
    source = inspect.getsource(function)
    return frozenset(re.findall(r"importorskip\(\s*[\"'](\w+)", source))


def _libraries(item: pytest.Item) -> set[str]:
    """Return which of the libraries a test's name, fixtures or source ask for."""
    named = {library for library in _LIBRARIES if library in item.nodeid.lower()}
    words = re.split(r"[^a-z0-9]+", item.nodeid.rpartition("::")[2].lower()) if named else ()
    found = {library for library in named if library in words or f"_{library}" in item.nodeid}
    found |= _LIBRARIES.intersection(getattr(item, "fixturenames", ()))
    function = getattr(item, "function", None)
    return found | (_LIBRARIES & _asked_for(function) if inspect.isfunction(function) else set())


@functools.cache
def _is_library_file(path: Path) -> bool:
    tests = ROOT / "tests"
    return path.is_relative_to(tests) and path.relative_to(tests).as_posix() in _LIBRARY_FILES


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    for item in items:
        libraries = _libraries(item)
        item.extra_keyword_matches.update(libraries)  # so that `-k torch` picks them
        if libraries or _is_library_file(item.path):
            item.add_marker(pytest.mark.library)
    if not config.getoption("--long"):
        for item in items:
            if "long" in item.keywords:
                item.add_marker(pytest.mark.skip(reason="a long run: give --long"))
    gpu_items = [item for item in items if "gpu" in item.keywords]
    if gpu_items and not _has_gpu():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs an NVIDIA GPU and CuPy"))
