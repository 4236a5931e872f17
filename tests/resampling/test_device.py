"""Arrays that stay where they are: every plan and interpolation, on each array library."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck import DisplacementField, backends
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import INTERPOLATIONS, resample
from spatial_duck.testing import DeviceArray, assert_no_host_copy
from spatial_duck.testing import _strategies as strategies
from spatial_duck.transforms import Affine, Composite

C, S = np.cos(0.3), np.sin(0.3)
TURN = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, C, -S], [0, S, C]]
SOURCE = Geometry((6, 9, 11), (2, 1, 1))
OBLIQUE = Geometry((7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), TURN)
FINE = Geometry((11, 9, 20), (1.3, 1.5, 0.4), (-1, 0.2, 0.1))
TARGETS = {
    "shift": Geometry((8, 9, 9), (2, 1, 1), (-2, 3, 1)),
    "view": SOURCE[1:5, ::-1, ::2],
    "scaled": FINE,
    "turned": Geometry((10, 9, 12), (0.7, 1, 2), (0.3, 1, 9.2), [[0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "one slice": FINE[4],
    "oblique": OBLIQUE,
    "oblique slice": OBLIQUE[3],
    "oblique line": OBLIQUE[3, :, 4],
    "in plane": Geometry(
        (7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    ),
    "coarse": Geometry((3, 4, 4), (4.1, 2.2, 3.0), (0.5, 0, 1)),
    "coarse, oblique": Geometry((3, 4, 4), (4.1, 2.2, 3.0), (0.5, 0, 1), TURN),
    "far away": Geometry((3, 4, 5), (1, 1, 1), (100, 0, 0), TURN),
    "empty": Geometry((3, 0, 5), (1, 1, 1), (1, 1, 1), TURN),
}  # fmt: skip
RNG = np.random.default_rng(5)
DATA = RNG.normal(size=SOURCE.shape) * 50
VECTORS = sd.SpatialArray(
    RNG.uniform(-1.5, 1.5, (3, 4, 5, 6)), dims=("c", "z", "y", "x"), spacing=(3, 2, 2),
    origin=(0, 1, 0.5),
)  # fmt: skip
MOVE = Affine(np.diag([1, 1.1, 0.9, 1.0]), SOURCE.world)


def _device(data):
    return DeviceArray(data)


def _library(name):
    def make(data):
        pytest.importorskip(name, reason=f"needs {name}")
        return backends.to(np.asarray(data), name)

    return make


def _strict(data):
    """Return an array on the device of array_api_strict that NumPy cannot read."""
    strict = pytest.importorskip("array_api_strict", reason="needs array_api_strict")
    return strict.asarray(np.asarray(data), device=strict.Device("device1"))


MAKE = {
    "device": _device,
    "strict": _strict,
    "torch": _library("torch"),
    "jax": _library("jax"),
    "cupy": _library("cupy"),
}
LIBRARIES = [pytest.param(name, marks=pytest.mark.gpu) if name == "cupy" else name for name in MAKE]


@pytest.fixture(params=LIBRARIES)
def library(request):
    name = request.param
    if name == "jax":
        jax = pytest.importorskip("jax", reason="needs jax")
        with jax.enable_x64(True):
            yield MAKE[name]
        return
    yield MAKE[name]


def _same(image, like, expected, exact=False, tolerance=1e-9):
    """Compare values; the image must be of the library of another one."""
    assert type(image.data) is type(like)
    assert backends.device(image.data) == backends.device(like)
    assert image.data.dtype == like.dtype
    assert image.geometry == expected.geometry
    found = image.to("numpy").data
    if exact or expected.dtype.kind in "biu":
        np.testing.assert_array_equal(found, expected.data)
    else:
        scale = max(float(np.nanmax(np.abs(DATA))), 1.0)
        np.testing.assert_allclose(found, expected.data, rtol=0, atol=tolerance * scale)


#: JAX compiles every step of every shape, which takes long: it runs some of them.
EVERY = [
    pytest.param(library, name, how, marks=pytest.mark.gpu if library == "cupy" else ())
    for library in MAKE
    for name in TARGETS
    for how in INTERPOLATIONS
    if library != "jax" or (name in ("scaled", "oblique") and how in ("linear", "cubic", "label"))
]


@pytest.mark.slow
@pytest.mark.parametrize("library, name, interpolation", EVERY, indirect=["library"])
def test_every_plan(name, interpolation, library):
    data = np.rint(DATA / 20) if interpolation == "label" else DATA
    like = library(data)
    image = sd.SpatialArray(data, SOURCE)
    expected = resample(image, TARGETS[name], interpolation=interpolation, fill=7)
    with assert_no_host_copy():
        found = resample(
            sd.SpatialArray(like, SOURCE), TARGETS[name], interpolation=interpolation, fill=7
        )
    _same(found, like, expected, exact=interpolation in ("nearest", "label"))


@pytest.mark.parametrize("dims", ["zyxc", "zcyx", "tzyxc"])
@pytest.mark.parametrize(
    "name", ["shift", "scaled", "turned", "oblique", "oblique line", "in plane"]
)
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "label"])
@pytest.mark.parametrize("library", ["device"], indirect=True)
def test_plain_axes_anywhere(dims, name, interpolation, library):
    lengths, spacing = {"c": 3, "t": 2, "z": 6, "y": 9, "x": 11}, {"z": 2.0, "t": 0.5}
    shape = [lengths[d] for d in dims]
    geometry = Geometry(shape, [spacing.get(d, 1.0) for d in dims if d != "c"], dims=tuple(dims))
    data = np.rint(RNG.normal(size=shape) * 3)
    like = library(data)
    expected = resample(sd.SpatialArray(data, geometry), TARGETS[name], interpolation=interpolation)
    found = resample(sd.SpatialArray(like, geometry), TARGETS[name], interpolation=interpolation)
    _same(found, like, expected, exact=interpolation == "label")


@pytest.mark.slow
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "quintic", "lanczos", "label"])
@pytest.mark.parametrize("options", [{"fill": "edge"}, {"antialias": True}])
@pytest.mark.parametrize("name", ["scaled", "coarse", "coarse, oblique", "oblique"])
@pytest.mark.parametrize("library", ["device", "torch"], indirect=True)
def test_edge_and_antialias(interpolation, options, name, library):
    if interpolation == "nearest" and "antialias" in options:
        pytest.skip("nearest values cannot be smoothed")
    data = np.rint(DATA / 20) if interpolation == "label" else DATA
    like = library(data)
    options = {**options, "interpolation": interpolation}
    expected = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], **options)
    found = resample(sd.SpatialArray(like, SOURCE), TARGETS[name], **options)
    _same(found, like, expected, exact=interpolation in ("nearest", "label"), tolerance=1e-8)


TRANSFORMS = {
    "field": DisplacementField(VECTORS),
    "matrix, field, matrix": Composite(MOVE, DisplacementField(VECTORS), MOVE),
    "two fields": Composite(DisplacementField(VECTORS), DisplacementField(VECTORS)),
}


@pytest.mark.slow
@pytest.mark.parametrize("transform", TRANSFORMS)
@pytest.mark.parametrize("interpolation", ["nearest", "linear", "cubic"])
@pytest.mark.parametrize("library", ["device", "strict", "torch"], indirect=True)
def test_displacement_fields(transform, interpolation, library):
    like = library(DATA)
    options = {"transform": TRANSFORMS[transform], "interpolation": interpolation}
    for target in (FINE, OBLIQUE):
        expected = resample(sd.SpatialArray(DATA, SOURCE), target, **options)
        with assert_no_host_copy():
            found = resample(sd.SpatialArray(like, SOURCE), target, **options)
        _same(found, like, expected)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_field_on_the_device_and_on_the_grid(dtype, library):
    """A field where the image is, on the output's grid."""
    vectors = RNG.uniform(-1, 1, (*SOURCE.shape, 3)).astype(dtype)
    geometry = Geometry((*SOURCE.shape, 3), SOURCE.spacing, dims=("z", "y", "x", "c"))
    like = library(DATA)
    there = DisplacementField(sd.SpatialArray(library(vectors), geometry))
    here = DisplacementField(sd.SpatialArray(vectors, geometry))
    expected = resample(sd.SpatialArray(DATA, SOURCE), SOURCE, transform=here)
    with assert_no_host_copy():
        found = resample(sd.SpatialArray(like, SOURCE), SOURCE, transform=there)
    _same(found, like, expected, tolerance=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "int16", "float32", "bool", "complex64"])
@pytest.mark.parametrize("name", ["scaled", "oblique"])
@pytest.mark.parametrize("library", ["device", "strict", "torch"], indirect=True)
def test_types(dtype, name, library):
    if dtype == "bool":
        data = DATA > 0
    else:
        info = np.iinfo(dtype) if np.dtype(dtype).kind in "iu" else None
        data = DATA if info is None else np.clip(DATA * 2.0**20, info.min, info.max)
        data = data.astype(dtype)
    like = library(data)
    ways = ["nearest", "label"] if dtype == "bool" else ["nearest", "linear", "cubic"]
    for interpolation in ways:
        expected = resample(sd.SpatialArray(data, SOURCE), TARGETS[name],
                            interpolation=interpolation)  # fmt: skip
        found = resample(sd.SpatialArray(like, SOURCE), TARGETS[name], interpolation=interpolation)
        assert found.dtype == like.dtype
        there = found.to("numpy").data
        if np.dtype(dtype).kind in "iu":
            # A value on the border between two integers may fall to either side.
            assert np.abs(there.astype(float) - expected.data.astype(float)).max() <= 1
            assert (there != expected.data).mean() < 0.01
        else:
            np.testing.assert_allclose(there, expected.data, rtol=1e-5, atol=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scaled", "oblique"])
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
@pytest.mark.parametrize("library", ["device", "torch"], indirect=True)
def test_what_is_not_finite_stays_in_its_kernel(name, interpolation, library):
    data = DATA.copy()
    data[3, 4, 5], data[2, 2, 2], data[5, 8, 10] = np.nan, np.inf, np.nan
    like = library(data)
    expected = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], interpolation=interpolation)
    with np.errstate(invalid="ignore"):
        found = resample(sd.SpatialArray(like, SOURCE), TARGETS[name], interpolation=interpolation)
    there = found.to("numpy").data
    np.testing.assert_array_equal(np.isfinite(there), np.isfinite(expected.data))
    good = np.isfinite(there)
    np.testing.assert_allclose(there[good], expected.data[good], rtol=0, atol=1e-7)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["scaled", "oblique"])
def test_mask(name, library):
    like = library(DATA)
    _, expected = resample(sd.SpatialArray(DATA, SOURCE), TARGETS[name], mask=True)
    with assert_no_host_copy():
        _, found = resample(sd.SpatialArray(like, SOURCE), TARGETS[name], mask=True)
    assert type(found.data) is type(like)
    np.testing.assert_array_equal(found.to("numpy").data, expected.data)


@pytest.mark.slow
@given(strategies.geometries(min_side=1, max_side=5, plain=False), st.data())
@settings(max_examples=30)
def test_any_two_grids(source, data):
    """Whatever the axes, frames and steps: what NumPy's arrays give."""
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32 - 1)))
    if not source.sampled_axes:
        return
    scale = rng.uniform(0.4, 1.7, len(source.sampled_axes))
    shift = rng.uniform(-1, 1, len(source.sampled_axes))
    shape = [int(rng.integers(1, 6)) if a in source.sampled_axes else n
             for a, n in enumerate(source.shape)]  # fmt: skip
    origin = source.origin + source.direction @ (source.spacing * shift)
    target = source.replace(shape=shape, spacing=source.spacing * scale, origin=origin)
    values = rng.normal(size=source.shape)
    for how in ("nearest", "linear", "cubic"):
        expected = resample(sd.SpatialArray(values, source), target, interpolation=how, fill=5)
        found = resample(
            sd.SpatialArray(DeviceArray(values), source), target, interpolation=how, fill=5
        )
        assert found.geometry == expected.geometry
        np.testing.assert_allclose(found.data.get(), expected.data, rtol=0, atol=1e-8)


def test_large_outputs_are_made_in_parts(monkeypatch, library):
    from spatial_duck.resampling import _device as device

    monkeypatch.setattr(device, "_POINTS", 50)
    like = library(DATA)
    expected = resample(sd.SpatialArray(DATA, SOURCE), OBLIQUE)
    _same(resample(sd.SpatialArray(like, SOURCE), OBLIQUE), like, expected)


def test_sparse_arrays_are_refused():
    pytest.importorskip("sparse", reason="needs sparse")
    image = sd.SpatialArray(DATA, SOURCE).to("sparse")
    with pytest.raises(TypeError, match="dense"):
        resample(image, FINE)


# --- what the libraries are for -------------------------------------------------------------


@pytest.mark.parametrize("name", ["scaled", "oblique", "coarse"])
@pytest.mark.parametrize("interpolation", ["linear", "cubic", "lanczos"])
def test_gradients(name, interpolation):
    """Resampling is linear in the values: the gradient of a weighted sum says by what weights."""
    torch = pytest.importorskip("torch", reason="needs torch")
    data = torch.tensor(DATA, requires_grad=True)
    options = {"interpolation": interpolation, "antialias": name == "coarse"}
    image = sd.SpatialArray(data, SOURCE)
    weight = RNG.normal(size=TARGETS[name].shape)
    (resample(image, TARGETS[name], **options).data * torch.tensor(weight)).sum().backward()
    other = RNG.normal(size=DATA.shape)
    moved = resample(sd.SpatialArray(other, SOURCE), TARGETS[name], **options)
    expected = float((moved.data * weight).sum())
    assert float((data.grad.numpy() * other).sum()) == pytest.approx(expected, rel=1e-6, abs=1e-6)


def test_gradients_of_a_field():
    """The gradient by a field's vectors is that of the image, where it is linear."""
    torch = pytest.importorskip("torch", reason="needs torch")
    grid = np.stack(np.meshgrid(*map(np.arange, SOURCE.shape), indexing="ij"), -1)
    slope = np.array([0.5, -1.0, 2.0])
    ramp = SOURCE.index_to_physical(grid) @ slope
    vectors = torch.full((3, *SOURCE.shape), 0.01, dtype=torch.float64, requires_grad=True)
    geometry = Geometry((3, *SOURCE.shape), SOURCE.spacing, dims=("c", "z", "y", "x"))
    field = DisplacementField(sd.SpatialArray(vectors, geometry))
    found = resample(sd.SpatialArray(torch.tensor(ramp), SOURCE), SOURCE, transform=field)
    found.data[1:-1, 1:-1, 1:-1].sum().backward()
    inner = vectors.grad[:, 1:-1, 1:-1, 1:-1].numpy()
    np.testing.assert_allclose(inner, np.broadcast_to(slope[:, None, None, None], inner.shape))


@pytest.mark.slow
def test_under_jit_and_vmap():
    jax = pytest.importorskip("jax", reason="needs jax")
    expected = resample(sd.SpatialArray(DATA, SOURCE), OBLIQUE, interpolation="cubic").data

    def run(data):
        return resample(sd.SpatialArray(data, SOURCE), OBLIQUE, interpolation="cubic").data

    with jax.enable_x64(True):
        found = jax.jit(run)(jax.numpy.asarray(DATA))
        np.testing.assert_allclose(np.asarray(found), expected, atol=1e-7)
        both = jax.vmap(run)(jax.numpy.stack([DATA, -DATA]))
        np.testing.assert_allclose(np.asarray(both[1]), -expected, atol=1e-7)


@pytest.mark.slow
def test_jax_in_32_bits():
    """Without 64 bits JAX has positions of 32: near, and without a warning."""
    jax = pytest.importorskip("jax", reason="needs jax")
    data = DATA.astype("f")
    for name in ("scaled", "oblique"):
        expected = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], fill=-100)
        found = resample(sd.SpatialArray(jax.numpy.asarray(data), SOURCE), TARGETS[name], fill=-100)
        apart = np.abs(np.asarray(found.data) - expected.data)
        assert np.quantile(apart, 0.99) < 0.01


def test_half_precision_of_networks():
    torch = pytest.importorskip("torch", reason="needs torch")
    data = torch.tensor(DATA).to(torch.bfloat16)
    found = resample(sd.SpatialArray(data, SOURCE), OBLIQUE, fill=-1)
    assert found.data.dtype is torch.bfloat16
    expected = resample(sd.SpatialArray(data.double().numpy(), SOURCE), OBLIQUE, fill=-1)
    np.testing.assert_allclose(found.data.double().numpy(), expected.data, rtol=2**-7, atol=0.3)


# --- Dask over chunks of another library ----------------------------------------------------


def _chunked(data, chunks):
    """Return a Dask array whose chunks count as being on a device."""
    da = pytest.importorskip("dask.array", reason="needs dask")
    meta = DeviceArray(np.empty((0,) * data.ndim, data.dtype))
    return da.from_array(data, chunks=chunks).map_blocks(DeviceArray, dtype=data.dtype, meta=meta)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["shift", "scaled", "oblique", "turned", "far away"])
@pytest.mark.parametrize(
    "interpolation, dtype",
    [("nearest", "int16"), ("linear", "float64"), ("linear", "uint8"), ("cubic", "float64")],
)
def test_chunks_are_worked_on_where_they_are(name, interpolation, dtype):
    dask = pytest.importorskip("dask", reason="needs dask")
    data = DATA if dtype == "float64" else np.clip(DATA, 0, 200).astype(dtype)
    image = sd.SpatialArray(_chunked(data, (4, 5, 4)), SOURCE)
    expected = resample(sd.SpatialArray(data, SOURCE), TARGETS[name], interpolation=interpolation,
                        fill=3)  # fmt: skip
    lazy = resample(image, TARGETS[name], interpolation=interpolation, fill=3)
    assert type(lazy.data._meta) is DeviceArray
    with assert_no_host_copy():
        blocks = dask.compute(*lazy.data.to_delayed().ravel(), scheduler="synchronous")
    assert all(type(block) is DeviceArray for block in blocks)
    for block, where in zip(blocks, np.ndindex(*lazy.data.numblocks), strict=True):
        edges = [np.cumsum((0, *c)) for c in lazy.data.chunks]
        part = tuple([slice(e[i], e[i + 1]) for e, i in zip(edges, where, strict=True)])
        np.testing.assert_allclose(block.get(), expected.data[part], rtol=0, atol=1e-6)
