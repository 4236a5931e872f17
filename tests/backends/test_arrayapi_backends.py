"""NumPy's functions on array-API data: NumPy's values, gradients, shared memory."""

from __future__ import annotations

import copy
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray, backends

pytest.importorskip("array_api_compat", reason="needs array-api-compat")

V = np.random.default_rng(8).uniform(0.1, 9, (4, 3, 5))
VI = (V * 3).astype(int)
VN = np.where(V > 6, np.nan, V)
VC = V + 1j * V[::-1]
M = V[:3, :, :3] + 9 * np.eye(3)
S = M @ M.swapaxes(-1, -2)
LINE = V[0, 0]
GRID: dict[str, Any] = {"spacing": (3, 2, 0.5), "origin": (1, 2, 3)}
LIBRARIES = [
    "array_api_strict", "torch", pytest.param("jax", marks=pytest.mark.long), "sparse",
]  # fmt: skip


def held(library: str, value: Any) -> Any:
    """Return arguments with arrays of a library in place of NumPy's."""
    if isinstance(value, np.ndarray):
        return backends.to(value, library)
    if isinstance(value, tuple | list):
        return type(value)([held(library, v) for v in value])
    return value


@pytest.fixture(params=LIBRARIES)
def library(request: pytest.FixtureRequest) -> Any:
    if request.param == "jax":
        pytest.importorskip("jax", reason="needs jax").config.update("jax_enable_x64", True)
    return pytest.importorskip(request.param, reason=f"needs {request.param}").__name__


def f(function: Any, *args: Any, **kwargs: Any) -> Any:
    return pytest.param(function, args, kwargs, id=f"{function.__name__}-{len(args)}-{kwargs}")


#: Calls, whose arrays go to the library.
CALLS = [
    *[f(u, V) for u in (np.sin, np.sqrt, np.exp2, np.deg2rad, np.degrees, np.rint, np.fabs,
                        np.negative, np.isnan, np.arctan, np.square, np.modf, np.signbit)],
    *[f(u, V, V[::-1].copy()) for u in (np.add, np.fmax, np.fmin, np.arctan2, np.power, np.less,
                                        np.float_power, np.divmod, np.maximum, np.hypot)],
    f(np.fmax, VN, V), f(np.add, VI, 3), f(np.bitwise_and, VI, VI), f(np.logical_not, V > 3),
    *[f(r, V, axis=1) for r in (np.sum, np.mean, np.std, np.max, np.min, np.prod, np.argmax,
                                np.cumsum, np.median, np.ptp, np.sort, np.flip)],
    f(np.median, V), f(np.median, V, axis=(0, 2), keepdims=True), f(np.median, VN, axis=0),
    f(np.nansum, VN, axis=0), f(np.nanprod, VN), f(np.nanmean, VN, axis=(1, 2)),
    f(np.nan_to_num, VN), f(np.nan_to_num, VN, nan=3.0),
    f(np.argsort, V, axis=0),
    f(np.linalg.det, M), f(np.linalg.inv, M), f(np.linalg.cholesky, S), f(np.linalg.solve, M, S),
    f(np.linalg.slogdet, M), f(np.linalg.eigvalsh, S), f(np.linalg.svdvals, V),
    f(np.linalg.matrix_norm, V), f(np.linalg.vector_norm, V, axis=1), f(np.linalg.pinv, V),
    f(np.linalg.matrix_power, M, 2), f(np.linalg.matrix_rank, M), f(np.linalg.trace, M),
    f(np.linalg.diagonal, M), f(np.linalg.outer, LINE, LINE), f(np.linalg.cross, M, S),
    f(np.linalg.matmul, M, S), f(np.linalg.tensordot, V, V, axes=((0,), (0,))),
    f(np.matmul, M, S), f(np.trace, V, 1), f(np.diagonal, V, 1, 0, 2), f(np.dot, V, LINE),
    f(np.dot, V[0], V[1].T.copy()), f(np.inner, V, V[0]), f(np.outer, LINE, V[0]),
    f(np.fft.fft, V), f(np.fft.ifft, VC, axis=0), f(np.fft.rfft, V, n=8), f(np.fft.irfft, VC),
    f(np.fft.fftn, V), f(np.fft.rfftn, V, axes=(0, 1)), f(np.fft.fft2, V), f(np.fft.ifft2, VC),
    f(np.fft.fftshift, V, axes=0), f(np.fft.hfft, VC), f(np.fft.fft, V, norm="ortho"),
    f(np.unique_values, VI), f(np.unique_counts, VI), f(np.unique_inverse, VI), f(np.unique, VI),
    f(np.argwhere, V > 5), f(np.flatnonzero, V > 5), f(np.angle, VC), f(np.angle, VC, deg=True),
    f(np.atleast_3d, LINE), f(np.atleast_3d, V[0]), f(np.atleast_2d, LINE),
    f(np.hstack, [V, V]), f(np.vstack, [LINE, LINE]), f(np.dstack, [V[0], V[1]]),
    *[f(join, [LINE, (LINE * 2).tolist()]) for join in (np.hstack, np.vstack, np.dstack, np.stack,
                                                        np.concatenate, np.column_stack)],
    f(np.append, V, V, axis=1), f(np.append, V, V), f(np.concatenate, [V, V], axis=None),
    f(np.pad, V, 2), f(np.pad, V, ((1, 0), (2, 3), (0, 0)), constant_values=4.0),
    f(np.pad, V, 1, "edge"), f(np.pad, V, ((2, 1), (0, 1), (3, 2)), "reflect"),
    f(np.pad, V, 4, "symmetric"), f(np.pad, V, (2, 7), "wrap"), f(np.isclose, V, V + 1e-9),
    f(np.isclose, VN, VN, equal_nan=True), f(np.allclose, V, V), f(np.array_equal, V, V + 1),
    f(np.array_equal, VN, VN, equal_nan=True), f(np.astype, V, np.float32), f(np.astype, V, int),
    f(np.meshgrid, LINE, V[0, :, 0].copy(), indexing="ij"), f(np.swapaxes, V, 0, -1),
]  # fmt: skip
CALLS += [
    f(np.round, V, 1), f(np.round, V * 100, -1), f(np.iscomplex, VC),
    f(np.isreal, V), f(np.isposinf, np.where(V > 4, np.inf, V)), f(np.isneginf, -V),
    f(np.sinc, V - V[0, 0, 0]),
    f(np.select, [V > 6, V > 3], [V, -V], 7.0), f(np.select, [V > 6], [VI]),
    f(np.polyval, [1.0, 2, 3], V),
    f(np.digitize, V, [2.0, 4, 6]), f(np.digitize, V, [2.0, 4], right=True),
    f(np.interp, V, [2.0, 5, 7], [1.0, 0, 3]), f(np.interp, V, [2.0, 5], [1.0, 0], -1.0, 9.0),
    f(np.nanmax, VN, axis=1), f(np.nanmin, VN), f(np.nanmax, VI, axis=0), f(np.nanstd, VN, axis=2),
    f(np.nanvar, VN, ddof=1), f(np.nanvar, VN, axis=(0, 2), keepdims=True),
    f(np.nanargmax, VN, axis=2), f(np.nanargmin, VN), f(np.nancumsum, VN, axis=1),
    f(np.nancumprod, VN), f(np.average, V, axis=1), f(np.average, V, 2, LINE),
    f(np.average, V, weights=V, returned=True), f(np.quantile, V, 0.3, axis=1),
    f(np.quantile, V, [0.1, 0.5], axis=(0, 2), keepdims=True), f(np.percentile, V, 99.0),
    f(np.percentile, VN, [20, 100], axis=1),
    f(np.linalg.norm, V), f(np.linalg.norm, V, axis=1), f(np.linalg.norm, LINE, 3),
    f(np.linalg.norm, V, "fro", (0, 2), keepdims=True), f(np.linalg.norm, V, 1, axis=1),
    f(np.gradient, V), f(np.gradient, V, 0.5, axis=1), f(np.gradient, LINE, 2.0),
    f(np.take, V, [0, -1], axis=2), f(np.take, V, [[0, 1], [2, 3]]), f(np.take, V, 1, 0),
    f(np.take_along_axis, V, np.argsort(V, 1), axis=1),
    f(np.compress, [True, False, True], V, axis=1),
    f(np.delete, V, [1, -1], axis=2), f(np.delete, V, slice(1, 3), 0), f(np.rollaxis, V, 2),
    f(np.rollaxis, V, 0, 3), f(np.rollaxis, V, 1, -1), f(np.column_stack, [LINE, LINE]),
    f(np.lib.stride_tricks.sliding_window_view, V, (2, 3), axis=(0, 2)),
    f(np.lib.stride_tricks.sliding_window_view, LINE, 3),
    f(np.partition, LINE, 0),
    f(np.isin, VI, [3, 5, 9]), f(np.isin, VI, VI[0], invert=True), f(np.union1d, VI, VI[0] + 1),
    f(np.setdiff1d, VI, [3, 5, 9]), f(np.setxor1d, VI, VI[:2]), f(np.intersect1d, VI, VI[:1]),
    f(np.histogram, V), f(np.histogram, V, 4, (2.0, 6.0)),
    f(np.histogram, V, [1.0, 2, 9], density=True),
    f(np.vdot, VC, VC), f(np.linalg.multi_dot, [V[0], V[1].T.copy(), V[2]]), f(np.kron, V[0], M),
    f(np.cross, M, S), f(np.cross, M, S[0]), f(np.cross, M, S, axisc=0),
    f(np.tril_indices_from, V[0], 1), f(np.diag_indices_from, M[0]), f(np.array_equiv, V, V[0]),
    f(np.linalg.qr, V, "r"),
    f(np.trapezoid, V), f(np.trapezoid, V, LINE), f(np.trapezoid, V, dx=0.5, axis=0),
    f(np.cumulative_sum, V, axis=0), f(np.cumulative_prod, V, axis=1, include_initial=True),
]  # fmt: skip

#: What the libraries refuse by, where the bare function is refused too.
REFUSALS = (
    TypeError,
    ValueError,
    NotImplementedError,
    AttributeError,
    RuntimeError,
    IndexError,
    RuntimeWarning,
)


@pytest.mark.parametrize("function, args, kwargs", CALLS)
def test_values_are_numpys(library: str, function: Any, args: Any, kwargs: Any) -> None:
    expected = function(*args, **kwargs)
    try:
        given = held(library, args)
        found = backends.call(function, given, kwargs)
    except REFUSALS as error:
        if library != "sparse":
            raise
        pytest.skip(f"sparse has none: {type(error).__name__}")
    _same(found, expected, ordered="unique_" not in function.__name__)


def _same(found: Any, expected: Any, ordered: bool) -> None:
    if isinstance(expected, tuple | list):
        assert len(found) == len(expected)
        if not ordered:
            return
        for one, other in zip(found, expected, strict=True):
            _same(one, other, ordered)
        return
    if hasattr(found, "dtype"):
        found = backends.to(found, "numpy")
    if not ordered:
        found, expected = np.sort(found), np.sort(expected)
    np.testing.assert_allclose(found, expected, rtol=1e-9, atol=1e-12)
    assert np.shape(found) == np.shape(expected)
    if np.asarray(expected).dtype.kind in "fc":
        assert np.asarray(found).dtype == np.asarray(expected).dtype


REFUSED = [
    lambda x: np.pad(x, 1, "linear_ramp"), lambda x: np.histogram(x, "auto"),
    lambda x: np.quantile(x, 0.5, method="nearest"), lambda x: np.i0(x),
    lambda x: np.gradient(x, edge_order=2), lambda x: np.interp(x, [0, 1], [0, 1], period=3),
    lambda x: np.subtract.reduce(x), lambda x: np.unique(x, return_index=True),
]  # fmt: skip


@pytest.mark.parametrize("call", REFUSED)
def test_the_rest_is_refused(library: str, call: Any) -> None:
    with pytest.raises(TypeError):
        call(SpatialArray(held(library, V), **GRID))


def test_new_arrays_of_the_kind_of_an_image(library: str) -> None:
    image = SpatialArray(held(library, V), **GRID)
    for made, expected in (
        (np.zeros((2, 3), like=image), np.zeros((2, 3))),
        (np.arange(5, like=image), np.arange(5)),
        (np.asarray([[1.0, 2]], like=image), np.array([[1.0, 2]])),
        (np.full((2,), 7, like=image), np.full((2,), 7)),
        (np.eye(3, like=image), np.eye(3)),
    ):
        assert type(made.data) is type(image.data)
        assert not made.geometry.sampled_axes
        np.testing.assert_array_equal(backends.to(made.data, "numpy"), expected)


def test_copied_in_place(library: str) -> None:
    if library in ("jax", "jax.numpy", "sparse"):
        pytest.skip("its arrays are not written to")
    image = SpatialArray(held(library, V.copy()), **GRID)
    np.copyto(image, 3.0, where=image > 6)
    np.putmask(image, image < 2, -1.0)
    expected = np.where(V > 6, 3, np.where(V < 2, -1, V))
    np.testing.assert_array_equal(backends.to(image.data, "numpy"), expected)


def test_methods_and_operators(library: str) -> None:
    if library == "sparse":
        pytest.skip("sparse arrays are not written to")
    image = SpatialArray(held(library, V), **GRID)
    kind = type(image.data)
    plain = SpatialArray(V, **GRID)
    for call in (
        lambda i: i + 1, lambda i: 2 - i, lambda i: i * i, lambda i: -i, lambda i: i > 3,
        lambda i: abs(i), lambda i: i.astype("f4"), lambda i: i.copy(), lambda i: i.sum(axis=0),
        lambda i: i[1:, ::-1], lambda i: i[0], lambda i: i.T, lambda i: i.mT,
        lambda i: i.reshape(4, 15), lambda i: i.squeeze(), lambda i: i @ i.mT,
        lambda i: i.mean((0, 1)), lambda i: i.clip(1, 2), lambda i: i.real,
        lambda i: copy.deepcopy(i), lambda i: i.argmax(axis=0), lambda i: i[i > 5],
    ):  # fmt: skip
        found, expected = call(image), call(plain)
        assert type(found.data) is kind
        assert found.geometry == expected.geometry
        assert found.lost == expected.lost
        np.testing.assert_allclose(backends.to(found.data, "numpy"), expected.data)
    assert image.itemsize == 8
    assert image.nbytes == V.nbytes
    assert SpatialArray(held(library, VC)).itemsize == 16
    assert image[0, 0, 0].item() == V[0, 0, 0]
    assert image.tolist() == V.tolist()
    assert image.tobytes() == V.tobytes()
    assert V[1, 1, 1] in image
    assert -1 not in image


def test_a_voxel_stays_an_image(library: str) -> None:
    if library == "sparse":
        pytest.skip("its voxels are scalars of NumPy")
    image = SpatialArray(held(library, V), **GRID)
    voxel = image[1, 0, 2]
    assert isinstance(voxel, SpatialArray)
    np.testing.assert_array_equal(voxel.origin, image.geometry.index_to_physical((1, 0, 2)))
    assert float(voxel) == V[1, 0, 2]


def test_written_in_place(library: str) -> None:
    if library in ("jax", "jax.numpy", "sparse"):
        pytest.skip("its arrays are not written to")
    image = SpatialArray(held(library, V.copy()), **GRID)
    data = image.data
    image[0] = 3.0
    image[1:, 1] = image.data[1:, 0, :]
    image += 1
    np.multiply(image, 2.0, out=image)
    assert image.data is data
    expected = V.copy()
    expected[0] = 3
    expected[1:, 1] = expected[1:, 0]
    np.testing.assert_array_equal(backends.to(data, "numpy"), (expected + 1) * 2)


# --- PyTorch ------------------------------------------------------------------------------


@pytest.fixture
def torch() -> Any:
    return pytest.importorskip("torch", reason="needs torch")


GRADIENTS = [
    (lambda i, m: m.sum(m.square(i)), lambda v: 2 * v),
    (lambda i, m: m.sum(m.flip(i[::-1, 1:], axis=0) * 3), lambda v: 3.0 * (np.arange(3) > 0)),
    (lambda i, m: m.mean(m.pad(i, 1)), lambda v: np.full(v.shape, 1 / 210)),
    (lambda i, m: m.sum(m.concatenate([i[:2], i[2:]])), lambda v: np.ones(v.shape)),
    (lambda i, m: m.max(i), lambda v: v == v.max()),
    (lambda i, m: m.sum(m.where(i > 3, i, 0.0)), lambda v: v > 3),
    (lambda i, m: m.sum(m.transpose(i) * 2), lambda v: np.full(v.shape, 2)),
    (lambda i, m: m.sum(m.median(i, axis=2)), None),
    (lambda i, m: m.sum(m.abs(m.fft.fft(i))), None),
    (lambda i, m: m.linalg.vector_norm(i), lambda v: v / np.linalg.norm(v)),
]


@pytest.mark.parametrize("call, gradient", GRADIENTS)
def test_gradients_flow(torch: Any, call: Any, gradient: Any) -> None:
    x = torch.tensor(V, requires_grad=True)
    result = call(SpatialArray(x, **GRID), np)
    result = result.data if isinstance(result, SpatialArray) else result
    result.backward()
    found = x.grad.numpy()
    assert np.isfinite(found).all()
    assert found.any()
    if gradient is not None:
        expected = np.asarray(gradient(V), float)
        if expected.ndim == 1:
            expected = np.broadcast_to(expected[None, :, None], V.shape)
        np.testing.assert_allclose(found, expected)


def test_gradients_flow_through_operators_and_the_namespace(torch: Any) -> None:
    x = torch.tensor(V, requires_grad=True)
    image = SpatialArray(x, **GRID)
    xp = image.__array_namespace__()
    loss = xp.sum((2 * image[1:] - 1) ** 2)
    loss.data.backward()
    expected = np.zeros_like(V)
    expected[1:] = 4 * (2 * V[1:] - 1)
    np.testing.assert_allclose(x.grad.numpy(), expected)


def test_dlpack_shares_memory(torch: Any) -> None:
    data = V.copy()
    made = torch.from_dlpack(SpatialArray(data, **GRID))
    made[0] = -1
    assert (data[0] == -1).all()
    tensor = torch.from_dlpack(SpatialArray(torch.tensor(V), **GRID))
    back = np.from_dlpack(SpatialArray(tensor, **GRID))
    assert np.shares_memory(back, tensor.numpy())
    shared = SpatialArray(data, **GRID).to("torch")
    assert np.shares_memory(shared.data.numpy(), data)
    assert shared.geometry == SpatialArray(data, **GRID).geometry
    assert np.shares_memory(shared.to("numpy").data, data)


def test_tensors_and_their_own_functions(torch: Any) -> None:
    image = SpatialArray(torch.tensor(V, dtype=torch.float32), **GRID)
    assert image.astype("f8").dtype is torch.float64
    assert image.astype(torch.int16).dtype is torch.int16
    assert image.device.type == "cpu"
    assert image.to_device("cpu").geometry == image.geometry
    parameter = SpatialArray(torch.nn.Parameter(torch.tensor(V)), **GRID)
    assert (parameter * 2).data.requires_grad
    for found in (image + torch.ones(4, 3, 5), torch.ones(4, 3, 5) + image):
        assert isinstance(found, SpatialArray)
        assert found.geometry == image.geometry
