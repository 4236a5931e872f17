"""Chains of all kinds of functions: the backend's values, and no place that is not so."""

from __future__ import annotations

import warnings
from collections import Counter
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from spatial_duck import Geometry, SpatialArray, World
from tests.rules.oracle import OPERATIONS, check, draw, places_of

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Chains on each backend of the fixture: in every run, and in a long one.
SIZES = {"numpy": (400, 10_000), "dask": (40, 1000), "zarr2": (40, 1000), "zarr3": (40, 1000),
         "array_api_strict": (40, 1000)}  # fmt: skip
#: The same of data that have no fixture.
MORE_SIZES = {"shards": (20, 1000), "torch": (40, 1000)}

REFUSALS = (ValueError, TypeError, ZeroDivisionError, IndexError)


def _image(rng: np.random.Generator, make: Any) -> SpatialArray:
    ndim = int(rng.integers(1, 4))
    shape = tuple(rng.integers(1, 5, ndim).tolist())
    dims = ("t", "z", "y", "x")[-ndim:] if rng.random() < 0.8 else ("c", "z", "x")[-ndim:]
    sampled = [d for d in dims if d != "c"]
    world = World(("z", "y", "x") if "t" not in dims else ("t", "z", "y", "x"))
    columns = rng.normal(size=(len(world.axes), len(sampled)))
    if "t" in dims:
        columns[0, 1:] = columns[1:, 0] = 0
    columns /= np.linalg.norm(columns, axis=0)
    geometry = Geometry(
        shape,
        rng.uniform(0.5, 3, len(sampled)),
        rng.uniform(-50, 50, len(world.axes)),
        columns,
        dims,
        world=world,
    )
    values = rng.integers(0, 9, shape).astype(float)
    return SpatialArray(make(values), geometry)


def _values(image: Any, to_numpy: Any) -> Any:
    return to_numpy(image.compute().data) if isinstance(image, SpatialArray) else image


def run_chain(seed: int, make: Any, to_numpy: Any, refusals: Counter[str] | None = None) -> None:
    rng = np.random.default_rng(seed)
    image = _image(rng, make)
    bare = np.asarray(_values(image, to_numpy))
    places = places_of(image.geometry)
    scale = 1.0 + max([float(np.abs(p).max(initial=0)) for p in places.values()])
    done = []
    exact = True
    for _ in range(int(rng.integers(1, 7))):
        step = draw(rng, image.shape)
        try:
            next_bare = step.of_data(bare)
        except REFUSALS:  # NumPy's own, such as of no voxels or of bools
            if refusals is None:
                with pytest.raises(REFUSALS):
                    step.of_data(image)
            continue
        try:
            result = step.of_data(image)
        except (TypeError, NotImplementedError, RuntimeError) as error:
            if refusals is None:
                raise AssertionError(f"chain {seed}: {[*done, step.name]}") from error
            refusals[step.name] += 1  # the backend has no such function
            continue
        done.append(step.name)
        bare = next_bare
        if not isinstance(result, SpatialArray):
            assert np.ndim(bare) == 0, f"chain {seed}: {done} came back bare"
            np.testing.assert_allclose(np.asarray(result), bare, err_msg=f"chain {seed}: {done}")
            return
        with np.errstate(all="ignore"):
            places = {name: step.of_places(p) for name, p in places.items()}
        image = result
        exact &= step.is_exact
        assert image.shape == np.shape(bare), f"chain {seed}: {done}"
        wrong = check(image.geometry, places, scale)
        assert wrong is None, f"chain {seed}: {done}: {wrong}"
        assert not (exact and image.lost), f"chain {seed}: {done} lost {image.lost}"
        if image.ndim > 5 or image.size > 2000 or image.dtype == bool:
            break
    np.testing.assert_allclose(
        _values(image, to_numpy), bare, rtol=1e-12, err_msg=f"chain {seed}: {done}"
    )


def _in_shards(array: Any) -> Any:
    """Make a Zarr array of chunks of two voxels in shards, which do not divide its shape."""
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    made = zarr.create_array(
        zarr.storage.MemoryStore(),
        shape=array.shape,
        chunks=(2,) * array.ndim,
        shards=tuple([n // 4 * 2 + 2 for n in array.shape]),
        dtype=array.dtype,
    )
    made[...] = array
    return made


def _tensor(array: Any) -> Any:
    torch = pytest.importorskip("torch", reason="needs torch")
    return torch.from_numpy(np.array(array))


MAKERS = {"shards": _in_shards, "torch": _tensor}


@pytest.fixture
def doubles(kind: str) -> Iterator[None]:
    """Let PyTorch's statistics of integers be doubles, as NumPy's are."""
    if kind != "torch":
        yield
        return
    torch = pytest.importorskip("torch", reason="needs torch")
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)


def _run(make: Any, to_numpy: Any, count: int, strict: bool = False) -> None:
    refusals: Counter[str] | None = None if strict else Counter()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for seed in range(count):
            run_chain(seed, make, to_numpy, refusals)
    if refusals:
        assert len(refusals) < len(OPERATIONS) / 2, refusals


@pytest.mark.slow
@pytest.mark.parametrize("backend", list(SIZES), indirect=True)
def test_chains_of_functions(backend: Any) -> None:
    _run(backend.make, backend.to_numpy, SIZES[backend.kind][0], backend.kind == "numpy")


@pytest.mark.slow
@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("kind", list(MORE_SIZES))
def test_chains_of_functions_on_other_data(kind: str) -> None:
    _run(MAKERS[kind], np.asarray, MORE_SIZES[kind][0])


@pytest.mark.long
@pytest.mark.parametrize("backend", list(SIZES), indirect=True)
def test_thousands_of_chains_of_functions(backend: Any) -> None:
    _run(backend.make, backend.to_numpy, SIZES[backend.kind][1], backend.kind == "numpy")


@pytest.mark.slow
@pytest.mark.usefixtures("doubles")
@pytest.mark.parametrize("kind", list(MORE_SIZES))
def test_thousands_of_chains_of_functions_on_other_data(kind: str) -> None:
    _run(MAKERS[kind], np.asarray, MORE_SIZES[kind][1])


def test_there_are_many_operations() -> None:
    assert len(OPERATIONS) >= 80


def test_a_place_that_is_not_so_is_found() -> None:
    image = SpatialArray(np.arange(6.0).reshape(2, 3), spacing=(2.0, 0.5))
    places = {name: place[::-1] for name, place in places_of(image.geometry).items()}
    assert check(image[::-1].geometry, places, 1.0) is None
    assert "claims" in str(check(image.geometry, places, 1.0))
