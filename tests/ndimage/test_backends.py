"""Chunked results are those in memory, nothing computes early, and CuPy has the names we call."""

from __future__ import annotations

import ast
import importlib.util
import inspect
import weakref
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import ndimage as scipy_nd

import spatial_duck as sd
from spatial_duck import ndimage as nd
from spatial_duck.ndimage._running import MODES
from spatial_duck.testing import assert_lazy
from spatial_duck.testing._strategies import geometries

dask = pytest.importorskip("dask", reason="needs dask")
da = pytest.importorskip("dask.array", reason="needs dask")

RNG = np.random.default_rng(3)

#: Filters of an image of floats; to the bit, or how far rounding may take a chunk from the whole.
FILTERS: dict[str, Any] = {
    "gaussian": lambda x, m: nd.gaussian_filter(x, 1.5, mode=m),
    "gaussian, derivative": lambda x, m: nd.gaussian_filter(x, 1.5, 1, mode=m),
    "gaussian of one axis": lambda x, m: nd.gaussian_filter(x, 1.5, axes=x.dims[-1], mode=m),
    "uniform": lambda x, m: nd.uniform_filter(x, 2.7, mode=m),
    "median": lambda x, m: nd.median_filter(x, radius=1.6, mode=m),
    "percentile": lambda x, m: nd.percentile_filter(x, 20, size=2.5, mode=m),
    "rank": lambda x, m: nd.rank_filter(x, 1, radius=1.6, mode=m),
    "maximum": lambda x, m: nd.maximum_filter(x, radius=1.6, mode=m, cval=0.5),
    "minimum": lambda x, m: nd.minimum_filter(x, size=3.0, mode=m),
    "opening": lambda x, m: nd.grey_opening(x, 1.6, mode=m),
    "closing": lambda x, m: nd.grey_closing(x, 1.6, mode=m),
    "white tophat": lambda x, m: nd.white_tophat(x, 1.6, mode=m),
    "black tophat": lambda x, m: nd.black_tophat(x, 1.6, mode=m),
    "morphological gradient": lambda x, m: nd.morphological_gradient(x, 1.6, mode=m),
    "sobel": lambda x, m: nd.sobel(x, mode=m),
    "prewitt": lambda x, m: nd.prewitt(x, mode=m),
    "laplace": lambda x, m: nd.laplace(x, mode=m),
    "gaussian laplace": lambda x, m: nd.gaussian_laplace(x, 1.2, mode=m),
    "gaussian gradient": lambda x, m: nd.gaussian_gradient_magnitude(x, 1.2, mode=m),
    "gradient of smoothed": lambda x, m: nd.gradient(x, 1.2, mode=m),
}
#: Those that have no mode.
OTHERS: dict[str, Any] = {
    "gradient": lambda x: nd.gradient(x),
    "gradient magnitude": lambda x: nd.gradient_magnitude(x),
    "erosion": lambda x: nd.binary_erosion(x > 0.3, 1.6),
    "dilation": lambda x: nd.binary_dilation(x > 0.8, 1.6, border_value=1),
    "binary opening": lambda x: nd.binary_opening(x > 0.3, 1.1),
    "binary closing": lambda x: nd.binary_closing(x > 0.7, 1.1),
    "fill holes": lambda x: nd.binary_fill_holes(x > 0.35),
    "distance": lambda x: nd.distance_transform_edt(x > 0.1, max_distance=2.1),
    "label": lambda x: nd.label(x > 0.5)[0],
    "label, all neighbours": lambda x: nd.label(x > 0.7, np.ones((3, 3, 3)))[0],
}

GEOMETRIES = {
    "anisotropic": sd.Geometry((9, 11, 8), spacing=(2.0, 0.7, 1.0)),
    "sheared": sd.Geometry(
        (9, 11, 8), spacing=(1.5, 0.8, 1.0), direction=[[1, 0, 0.6], [0, 1, 0], [0, 0, 0.8]]
    ),
}
#: Chunks that do not divide the shape, shorter than the halo too.
CHUNKS = [(4, 5, 3), (9, 2, 8), (2, 3, 5)]


@pytest.mark.slow
@pytest.mark.parametrize("number, name", list(enumerate(FILTERS)))
def test_chunks_do_not_show(number: int, name: str) -> None:
    """Each filter with two modes and two ways of cutting, which differ from filter to filter."""
    values = RNG.random((9, 11, 8))
    for k in (number, number + 1):
        _compare(
            lambda x, m=MODES[k % 5]: FILTERS[name](x, m),
            values, GEOMETRIES["anisotropic"], CHUNKS[k % 3],
        )  # fmt: skip


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("name", ["gaussian", "median", "opening"])
def test_modes_in_chunks(name: str, mode: str) -> None:
    values = RNG.random((10, 9))
    geometry = sd.Geometry((10, 9), spacing=(1.0, 0.6))
    _compare(lambda x: FILTERS[name](x, mode), values, geometry, (3, 4))


@pytest.mark.parametrize("name", ["gaussian", "median", "laplace", "gaussian laplace"])
def test_chunks_do_not_show_on_sheared_grids(name: str) -> None:
    values = RNG.random((9, 11, 8))
    _compare(lambda x: FILTERS[name](x, "mirror"), values, GEOMETRIES["sheared"], CHUNKS[0])


@pytest.mark.parametrize("number, name", list(enumerate(OTHERS)))
def test_chunks_do_not_show_without_mode(number: int, name: str) -> None:
    values = RNG.random((9, 11, 8))
    _compare(OTHERS[name], values, GEOMETRIES["anisotropic"], CHUNKS[number % 3])


def _compare(function: Any, values: Any, geometry: sd.Geometry, chunks: Any) -> None:
    whole = sd.SpatialArray(values, geometry, attrs={"kept": 1})
    lazy = sd.SpatialArray(da.from_array(values, chunks=chunks), geometry, attrs={"kept": 1})
    expected = function(whole)
    with assert_lazy():
        found = function(lazy)
    assert found.chunks is not None
    assert found.geometry == expected.geometry
    assert found.dtype == expected.dtype
    computed = found.compute(scheduler="sync")
    assert computed.dtype == expected.dtype
    np.testing.assert_allclose(computed.data, expected.data, rtol=0, atol=1e-14)


@pytest.mark.slow
def test_nan_does_not_show_chunks() -> None:
    values = RNG.random((9, 11, 8))
    values[4, 5, 3] = np.nan
    for name in ("gaussian", "uniform", "median", "maximum", "opening", "laplace"):
        _compare(
            lambda x, n=name: FILTERS[n](x, "reflect"), values, GEOMETRIES["anisotropic"], (4, 5, 3)
        )


@pytest.mark.slow
def test_zarr_reads_only_when_asked(tmp_path: Path) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")
    from spatial_duck.testing._stores import RecordingStore

    values = RNG.random((12, 29, 10)).astype("f4")
    store = RecordingStore(zarr.storage.MemoryStore())
    array = zarr.create_array(store, shape=values.shape, chunks=(6, 7, 8), dtype="f4")
    array[...] = values
    image = sd.SpatialArray(array, spacing=(2.0, 1.0, 1.0), unit="mm")
    with assert_lazy(store):
        smooth = nd.gaussian_filter(image[:, ::-1], 1.0, truncate=3.0)
        labels, count = nd.label(image > 0.6)
        points = nd.center_of_mass(image)
        best = nd.maximum_position(image)
        bright = nd.binary_opening(image > 0.3, 1.0)
    expected = nd.gaussian_filter(sd.SpatialArray(values[:, ::-1], spacing=(2.0, 1.0, 1.0)), 1.0,
                                  truncate=3.0)  # fmt: skip
    np.testing.assert_allclose(smooth.compute().data, expected.data, atol=1e-6)
    assert int(count) == scipy_nd.label(values > 0.6)[1]
    np.testing.assert_array_equal(labels.compute().data, scipy_nd.label(values > 0.6)[0])
    np.testing.assert_allclose(points, nd.center_of_mass(image.compute()), rtol=1e-12)
    np.testing.assert_array_equal(best, nd.maximum_position(image.compute()))
    assert bright.compute().data.any()
    store.chunks_read.clear()
    smooth[:3, :3, :3].compute()
    assert 0 < len(set(store.chunks_read)) <= 12  # of 2 × 5 × 2: the nearest along y


def test_one_chunk_of_the_result_needs_its_neighbourhood_alone() -> None:
    """The halo is that of the radius: 3 mm are 3 voxels of 1 mm and 2 of 2 mm."""
    read: list[Any] = []

    def block(block_info: Any = None) -> Any:
        place = block_info[None]["array-location"]
        read.append(tuple(place))
        return np.zeros([b - a for a, b in place])

    data = da.map_blocks(block, chunks=((10,) * 5, (10,) * 5), dtype=float, meta=np.zeros((0, 0)))
    read.clear()
    image = sd.SpatialArray(data, spacing=(1.0, 2.0))
    nd.median_filter(image, radius=3.0)[20:30, 20:30].compute(scheduler="sync")
    assert sorted({place[0][0] for place in read}) == [10, 20, 30]
    assert len(read) == 9


@pytest.mark.slow
@settings(max_examples=25)
@given(st.data())
def test_labels_of_chunks_are_those_of_the_whole(data: st.DataObject) -> None:
    """Numbers too: in the order of first voxels, for any chunks, connectivity and density."""
    n = data.draw(st.integers(1, 3))
    shape = tuple(data.draw(st.integers(1, 7)) for _ in range(n))
    seed = np.random.default_rng(data.draw(st.integers(0, 10_000)))
    values = seed.random(shape) < data.draw(st.sampled_from((0.2, 0.5, 0.7)))
    chunks = tuple(data.draw(st.integers(1, s)) for s in shape)
    dims = ("z", "y", "x")[-n:]
    connected = scipy_nd.generate_binary_structure(n, data.draw(st.integers(1, n)))
    lazy = sd.SpatialArray(da.from_array(values, chunks=chunks), dims=dims)
    labels, count = nd.label(lazy, connected)
    expected, number = scipy_nd.label(values, connected)
    np.testing.assert_array_equal(labels.data.compute(scheduler="sync"), expected)
    assert int(count.compute(scheduler="sync")) == number
    filled = nd.binary_fill_holes(lazy).data.compute(scheduler="sync")
    np.testing.assert_array_equal(filled, scipy_nd.binary_fill_holes(values))


@pytest.mark.slow
@settings(max_examples=15)
@given(st.data())
def test_any_geometry_in_chunks(data: st.DataObject) -> None:
    """Plain axes and time in any place, axes of length 1 and 0, slices in 3-D."""
    geometry = data.draw(geometries(max_side=4, units=False))
    rows = [i for i, n in enumerate(geometry.world.axes) if n in "xyz"]
    if not geometry.direction[rows].any():
        return
    values = np.random.default_rng(0).random(geometry.shape)
    chunks = tuple(data.draw(st.integers(1, max(n, 1))) for n in geometry.shape)
    sigma = float(min(geometry.spacing))
    for function in (
        lambda x: nd.gaussian_filter(x, sigma, truncate=1.5),
        lambda x: nd.maximum_filter(x, radius=sigma),
        lambda x: nd.label(x > 0.5)[0],
        lambda x: nd.binary_fill_holes(x > 0.5),
    ):
        _compare(function, values, geometry, chunks)


def test_labels_of_frames_do_not_join() -> None:
    values = np.ones((3, 4, 2, 5), bool)
    image = sd.SpatialArray(values, dims=("t", "y", "c", "x"))
    labels, count = nd.label(image)
    assert count == 6
    lazy, number = nd.label(image.chunk((2, 2, 1, 2)))
    np.testing.assert_array_equal(lazy.compute().data, labels.data)
    assert int(number.compute()) == 6


def test_what_needs_the_whole_says_so() -> None:
    image = sd.SpatialArray(da.ones((6, 6), chunks=3), dims=("y", "x"))
    with pytest.raises(TypeError, match=r"max_distance=.*image\.compute\(\)"):
        nd.distance_transform_edt(image)
    with pytest.raises(TypeError, match=r"find_objects\(labels\.compute\(\), image\)"):
        nd.find_objects(image.astype(int))
    some = da.from_array(np.arange(6), chunks=3)
    unknown = sd.SpatialArray(some[some > 2])
    with pytest.raises(ValueError, match="compute_chunk_sizes"):
        nd.gaussian_filter(unknown, 1)


@pytest.mark.slow
def test_memory_of_labelling_follows_the_chunks() -> None:
    """The volume is read twice rather than kept until all is joined."""
    alive: list[Any] = []
    most = 0

    def block(block_info: Any = None) -> Any:
        nonlocal most
        place = block_info[None]["array-location"]
        made = np.ones([b - a for a, b in place], bool)
        alive.append(weakref.ref(made))
        most = max(most, sum(ref() is not None for ref in alive))
        return made

    side = 14
    data = da.map_blocks(block, chunks=((4,) * side,) * 2, dtype=bool, meta=np.zeros((0, 0), bool))
    labels, count = nd.label(sd.SpatialArray(data, dims=("y", "x")))
    with dask.config.set(scheduler="sync"):
        alive.clear()
        assert bool((labels.data == 1).all().compute())
        assert len(alive) == 2 * side**2
        assert most < 0.8 * side**2  # some rows of blocks wait for their neighbours, never all
        assert int(count) == 1


def test_distributed_workers_can_run_it() -> None:
    """Everything in the graph pickles."""
    import pickle

    image = sd.SpatialArray(da.from_array(RNG.random((8, 9)), chunks=4), dims=("y", "x"))
    labels, count = nd.label(image > 0.5)
    for lazy in (nd.gaussian_filter(image, 1.0).data, labels.data, count, nd.center_of_mass(image)):
        again = pickle.loads(pickle.dumps(lazy))
        np.testing.assert_array_equal(again.compute(), lazy.compute())


# --- CuPy, which is not run here ------------------------------------------------------------


def _cupyx_functions() -> dict[str, list[str]]:
    """Return names and parameters in the installed cupyx, read from its source without a GPU."""
    spec = importlib.util.find_spec("cupyx") if importlib.util.find_spec("cupy") else None
    if spec is None or spec.origin is None:
        pytest.skip("needs cupy (its source; no GPU)")
    folder = Path(spec.origin).parent / "scipy" / "ndimage"
    public = ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))
    names = {a.name for n in public.body if isinstance(n, ast.ImportFrom) for a in n.names}
    found = {}
    for path in folder.glob("*.py"):
        for node in ast.parse(path.read_text(encoding="utf-8")).body:
            if isinstance(node, ast.FunctionDef) and node.name in names:
                found[node.name] = [a.arg for a in (*node.args.args, *node.args.kwonlyargs)]
    return found


#: What kernels call on ``engine.nd``, and with which parameters by name or place.
CALLED = {
    "correlate1d": ["input", "weights", "axis", "output", "mode", "cval"],
    "correlate": ["input", "weights", "output", "mode", "cval"],
    "maximum_filter": ["footprint", "mode", "cval"],
    "minimum_filter": ["footprint", "mode", "cval"],
    "median_filter": ["footprint", "mode", "cval"],
    "percentile_filter": ["percentile", "footprint", "mode", "cval"],
    "rank_filter": ["rank", "footprint", "mode", "cval"],
    "binary_erosion": ["structure", "border_value"],
    "binary_dilation": ["structure", "border_value"],
    "binary_fill_holes": ["structure"],
    "distance_transform_edt": ["sampling"],
    "label": ["input", "structure"],
    "find_objects": ["input"],
}


@pytest.mark.parametrize("name", CALLED)
def test_cupy_and_scipy_have_what_kernels_call(name: str) -> None:
    assert set(CALLED[name]) <= set(inspect.signature(getattr(scipy_nd, name)).parameters)
    assert set(CALLED[name]) <= set(_cupyx_functions()[name])


def test_the_table_of_calls_is_complete() -> None:
    folder = Path(inspect.getsourcefile(nd) or "").parent
    used = set()
    for path in folder.glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Attribute) and ast.unparse(node.value) == "engine.nd":
                used.add(node.attr)
    assert used <= set(CALLED)


def test_blocks_of_cupy_go_to_cupyx(monkeypatch: pytest.MonkeyPatch) -> None:
    """A block's own library is chosen by its type: no copy to the host, no SciPy on the GPU."""
    import sys
    import types

    from spatial_duck.ndimage._running import engine_of

    libraries = {name: types.ModuleType(name) for name in ("cupy", "cupyx.scipy.ndimage")}
    for name, module in libraries.items():
        monkeypatch.setitem(sys.modules, name, module)
    block = type("ndarray", (), {"__module__": "cupy"})()
    engine = engine_of(block)
    assert engine.xp is libraries["cupy"]
    assert engine.nd is libraries["cupyx.scipy.ndimage"]


def test_nothing_is_copied_from_a_gpu_unasked() -> None:
    from spatial_duck.ndimage._running import require_host

    block = type("ndarray", (), {"__module__": "cupy"})()
    chunked = pytest.importorskip("dask.array", reason="needs dask").ones(3)
    chunked._meta = block
    for data in (block, chunked):
        with pytest.raises(TypeError, match="copies nothing there unasked"):
            require_host(data, "it")


@pytest.mark.gpu
@pytest.mark.parametrize("name", [*FILTERS, *OTHERS])
def test_cupy_gives_what_scipy_gives(name: str) -> None:
    values = RNG.random((9, 11, 8))
    image = sd.SpatialArray(values, GEOMETRIES["anisotropic"])
    function = OTHERS.get(name) or (lambda x: FILTERS[name](x, "mirror"))
    found = function(image.to("cupy"))
    np.testing.assert_allclose(found.to("numpy").data, function(image).data, atol=1e-12)


def test_without_scipy_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    monkeypatch.setitem(sys.modules, "scipy.ndimage", None)
    lazy = sd.SpatialArray(da.ones((3, 3), chunks=2), dims=("y", "x"))
    for image in (sd.SpatialArray(np.ones((3, 3))), lazy):
        with pytest.raises(ImportError, match=r"spatial-duck\[resample\]"):
            nd.gaussian_filter(image, 1.0)
