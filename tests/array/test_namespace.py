"""The array API of images: the standard's functions on each backend, and where results lie."""

from __future__ import annotations

import importlib.util
import json
import os
import pickle
import subprocess
import sys
import warnings
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from spatial_duck import SpatialArray, backends
from spatial_duck.errors import GeometryMismatchError
from spatial_duck.testing import assert_lazy
from tests.array.libraries import markdown

pytest.importorskip("array_api_compat", reason="needs array-api-compat")

V = np.random.default_rng(4).uniform(0.1, 0.9, (4, 3, 5))
GRID: dict[str, Any] = {"spacing": (3, 2, 0.5), "origin": (1, 2, 3), "frame": None}
BACKENDS = ["numpy", "array_api_strict", "dask", "torch", "jax", "sparse"]
#: JAX compiles each function.
PARAMS = [pytest.param(b, marks=pytest.mark.long) if b == "jax" else b for b in BACKENDS]

_FLOATS = """abs acos acosh asin asinh atan atanh ceil cos cosh exp expm1 floor isfinite isinf isnan
log log10 log1p log2 negative positive reciprocal round sign signbit sin sinh sqrt square tan tanh
trunc""".split()
_PAIRS = """add atan2 copysign divide equal floor_divide greater greater_equal hypot less less_equal
logaddexp maximum minimum multiply nextafter not_equal pow remainder subtract""".split()
_BITS = """bitwise_and bitwise_left_shift bitwise_or bitwise_right_shift bitwise_xor""".split()
_REDUCED = "max mean min prod std sum var".split()

#: Function: calls with the namespace (NumPy stands for it too), an image, and what makes others
#: of it.
CALLS: dict[str, list[Any]] = {
    **{n: [lambda xp, a, n=n: getattr(xp, n)(a + 1 if n == "acosh" else a)] for n in _FLOATS},
    **{n: [lambda xp, a, n=n: getattr(xp, n)(a, a + 1)] for n in _PAIRS},
    **{n: [lambda xp, a, n=n: getattr(xp, n)(_ints(xp, a), _ints(xp, a))] for n in _BITS},
    **{
        n: [
            lambda xp, a, n=n: getattr(xp, n)(a, axis=1),
            lambda xp, a, n=n: getattr(xp, n)(a, axis=(0, 2), keepdims=True),
            lambda xp, a, n=n: getattr(xp, n)(a),
        ]
        for n in _REDUCED
    },
    **{n: [lambda xp, a, n=n: getattr(xp, n)(a > 0.5, a > 0.2)]
       for n in ("logical_and", "logical_or", "logical_xor")},
    **{n: [lambda xp, a, n=n: getattr(xp, n)(a > 0.5, axis=0)] for n in ("all", "any")},
    **{n: [lambda xp, a, n=n: getattr(xp, n)(a, axis=2)] for n in ("argmax", "argmin")},
    **{n: [lambda xp, a, n=n: getattr(xp, n)(a)] for n in
       ("empty_like", "zeros_like", "ones_like")},
    "logical_not": [lambda xp, a: xp.logical_not(a > 0.5)],
    "bitwise_invert": [lambda xp, a: xp.bitwise_invert(_ints(xp, a))],
    "conj": [lambda xp, a: xp.conj(_complex(xp, a))],
    "real": [lambda xp, a: xp.real(_complex(xp, a))],
    "imag": [lambda xp, a: xp.imag(_complex(xp, a))],
    "clip": [lambda xp, a: xp.clip(a, 0.2, 0.4), lambda xp, a: xp.clip(a, max=0.4)],
    "astype": [
        lambda xp, a: xp.astype(a, xp.float32), lambda xp, a: xp.astype(a, a.dtype, copy=True),
    ],
    "full_like": [lambda xp, a: xp.full_like(a, 3.0)],
    "where": [lambda xp, a: xp.where(a > 0.5, a, -a)],
    "count_nonzero": [lambda xp, a: xp.count_nonzero(a > 0.5, axis=1)],
    "cumulative_sum": [
        lambda xp, a: xp.cumulative_sum(a, axis=1),
        lambda xp, a: xp.cumulative_sum(a, axis=1, include_initial=True),
    ],
    "cumulative_prod": [lambda xp, a: xp.cumulative_prod(a, axis=0)],
    "diff": [lambda xp, a: xp.diff(a, axis=0), lambda xp, a: xp.diff(a, n=2)],
    "sort": [lambda xp, a: xp.sort(a, axis=1)],
    "argsort": [lambda xp, a: xp.argsort(a, axis=1)],
    "nonzero": [lambda xp, a: xp.nonzero(a > 0.5)],
    "searchsorted": [lambda xp, a: xp.searchsorted(xp.sort(a[0, 0, :]), a[1, 1, :])],
    "isin": [],  # not in the standard's version that is tested
    "take": [lambda xp, a: xp.take(a, _index(xp, [0, 2]), axis=2)],
    "take_along_axis": [lambda xp, a: xp.take_along_axis(a, xp.argsort(a, axis=1), axis=1)],
    "broadcast_to": [lambda xp, a: xp.broadcast_to(a, (2, 4, 3, 5))],
    "broadcast_arrays": [lambda xp, a: xp.broadcast_arrays(a, a[:1, ...])],
    "concat": [
        lambda xp, a: xp.concat([a[:1, ...], a[1:, ...]]),
        lambda xp, a: xp.concat([a, a], axis=None),
        lambda xp, a: xp.concat([a[:, :2, :], a[:, 2:, :]], axis=1),
    ],
    "stack": [lambda xp, a: xp.stack([a, a]), lambda xp, a: xp.stack([a, a], axis=-1)],
    "unstack": [lambda xp, a: xp.unstack(a, axis=1)],
    "expand_dims": [lambda xp, a: xp.expand_dims(a, axis=1)],
    "squeeze": [lambda xp, a: xp.squeeze(a[:, 1:2, :], axis=1)],
    "flip": [lambda xp, a: xp.flip(a), lambda xp, a: xp.flip(a, axis=(0, 2))],
    "roll": [lambda xp, a: xp.roll(a, 2, axis=1)],
    "permute_dims": [lambda xp, a: xp.permute_dims(a, (2, 0, 1))],
    "moveaxis": [lambda xp, a: xp.moveaxis(a, 0, -1)],
    "matrix_transpose": [lambda xp, a: xp.matrix_transpose(a)],
    "repeat": [lambda xp, a: xp.repeat(a, 3, axis=1)],
    "tile": [lambda xp, a: xp.tile(a, (2, 1, 1))],
    "reshape": [lambda xp, a: xp.reshape(a, (4, 15)), lambda xp, a: xp.reshape(a, (4, 3, 5, 1))],
    "tril": [lambda xp, a: xp.tril(a, k=1)],
    "triu": [lambda xp, a: xp.triu(a)],
    "meshgrid": [lambda xp, a: xp.meshgrid(a[0, 0, :], a[0, :, 0], indexing="ij")],
    "matmul": [lambda xp, a: xp.matmul(a, xp.matrix_transpose(a))],
    "tensordot": [lambda xp, a: xp.tensordot(a, a, axes=((1,), (1,)))],
    "vecdot": [lambda xp, a: xp.vecdot(a, a, axis=1)],
    "unique_values": [lambda xp, a: xp.unique_values(a)],
    "unique_counts": [lambda xp, a: xp.unique_counts(a)],
    "unique_inverse": [lambda xp, a: xp.unique_inverse(a)],
    "unique_all": [lambda xp, a: xp.unique_all(a)],
    "linalg.cholesky": [lambda xp, a: xp.linalg.cholesky(_symmetric(xp, a))],
    "linalg.cross": [lambda xp, a: xp.linalg.cross(a[:, :, :3], a[:, :, :3] ** 2)],
    "linalg.det": [lambda xp, a: xp.linalg.det(_matrices(xp, a))],
    "linalg.diagonal": [lambda xp, a: xp.linalg.diagonal(a)],
    "linalg.eigh": [lambda xp, a: xp.linalg.eigh(_symmetric(xp, a))],
    "linalg.eigvalsh": [lambda xp, a: xp.linalg.eigvalsh(_symmetric(xp, a))],
    "linalg.inv": [lambda xp, a: xp.linalg.inv(_matrices(xp, a))],
    "linalg.matmul": [lambda xp, a: xp.linalg.matmul(a, xp.matrix_transpose(a))],
    "linalg.matrix_norm": [
        lambda xp, a: xp.linalg.matrix_norm(a), lambda xp, a: xp.linalg.matrix_norm(a, ord=1),
    ],
    "linalg.matrix_power": [lambda xp, a: xp.linalg.matrix_power(_matrices(xp, a), 2)],
    "linalg.matrix_rank": [lambda xp, a: xp.linalg.matrix_rank(a)],
    "linalg.matrix_transpose": [lambda xp, a: xp.linalg.matrix_transpose(a)],
    "linalg.outer": [lambda xp, a: xp.linalg.outer(a[0, 0, :], a[0, :, 0])],
    "linalg.pinv": [lambda xp, a: xp.linalg.pinv(a)],
    "linalg.qr": [lambda xp, a: xp.linalg.qr(a)],
    "linalg.slogdet": [lambda xp, a: xp.linalg.slogdet(_matrices(xp, a))],
    "linalg.solve": [lambda xp, a: xp.linalg.solve(_matrices(xp, a), _matrices(xp, a))],
    "linalg.svd": [lambda xp, a: xp.linalg.svd(a, full_matrices=False)],
    "linalg.svdvals": [lambda xp, a: xp.linalg.svdvals(a)],
    "linalg.tensordot": [lambda xp, a: xp.linalg.tensordot(a, a, axes=((1,), (1,)))],
    "linalg.trace": [lambda xp, a: xp.linalg.trace(a)],
    "linalg.vecdot": [lambda xp, a: xp.linalg.vecdot(a, a)],
    "linalg.vector_norm": [
        lambda xp, a: xp.linalg.vector_norm(a, axis=1),
        lambda xp, a: xp.linalg.vector_norm(a, ord=1),
    ],
    **{f"fft.{n}": [lambda xp, a, n=n: getattr(xp.fft, n)(_complex(xp, a), axis=1)]
       for n in ("fft", "ifft", "irfft", "hfft")},
    **{f"fft.{n}": [lambda xp, a, n=n: getattr(xp.fft, n)(a, axis=1)] for n in ("rfft", "ihfft")},
    **{f"fft.{n}": [lambda xp, a, n=n: getattr(xp.fft, n)(_complex(xp, a), axes=(0, 2))]
       for n in ("fftn", "ifftn", "irfftn")},
    "fft.rfftn": [lambda xp, a: xp.fft.rfftn(a, axes=(0, 2))],
    "fft.fftshift": [lambda xp, a: xp.fft.fftshift(a, axes=1)],
    "fft.ifftshift": [lambda xp, a: xp.fft.ifftshift(a)],
}  # fmt: skip
#: These have no image among their arguments, or give no array.
OTHERS = set(
    """arange asarray broadcast_shapes can_cast empty eye finfo from_dlpack full iinfo isdtype
    linspace ones result_type zeros fft.fftfreq fft.rfftfreq""".split()
)


def _ints(xp: Any, a: Any) -> Any:
    return xp.astype(a * 9, xp.int64)


def _complex(xp: Any, a: Any) -> Any:
    return xp.astype(a, xp.complex128)


def _index(xp: Any, values: list[int]) -> Any:
    """Return an index array: an image without a place where the others are images."""
    if xp is np:
        return SpatialArray(np.asarray(values), dims=(None,))
    return xp.asarray(values, dtype=xp.int64)


def _matrices(xp: Any, a: Any) -> Any:
    """Return square and well-conditioned matrices of an image."""
    a = a[:3, :, :3]
    return a + 3 * xp.tril(xp.triu(xp.ones_like(a)))


def _symmetric(xp: Any, a: Any) -> Any:
    a = _matrices(xp, a)
    return xp.matmul(a, xp.matrix_transpose(a))


def make(backend: str, values: Any) -> Any:
    """Return values in an array of a backend."""
    if backend == "jax":
        jax = pytest.importorskip("jax", reason="needs jax")
        jax.config.update("jax_enable_x64", True)
    if backend == "dask":
        da = pytest.importorskip("dask.array", reason="needs dask")
        return da.from_array(values, chunks=tuple(n // 2 + 1 for n in values.shape))
    pytest.importorskip(backend, reason=f"needs {backend}")
    return backends.to(values, backend)


@pytest.fixture(params=PARAMS)
def held(request: pytest.FixtureRequest) -> Any:
    """An array of each backend."""
    return make(request.param, V)


def bare_namespace(data: Any) -> Any:
    from spatial_duck.array._namespace import _bare_namespace, namespace_of

    return _bare_namespace(namespace_of(SpatialArray(data))._backend)


def test_every_function_of_the_standard_has_a_call() -> None:
    strict = pytest.importorskip("array_api_strict", reason="needs array_api_strict")
    own = {"get_array_api_strict_flags", "reset_array_api_strict_flags",
           "set_array_api_strict_flags", "ArrayAPIStrictFlags", "Device"}  # fmt: skip
    names = {n for n in strict.__all__ if callable(getattr(strict, n))} - own
    names -= {n for n in names if isinstance(getattr(strict, n), type)}
    names = {n for n in names if not str(getattr(strict, n)).startswith("array_api_strict.")}
    for part in ("linalg", "fft"):
        module = getattr(strict, part)
        names |= {f"{part}.{n}" for n in module.__all__ if callable(getattr(module, n))}
    known = {*CALLS, *OTHERS}
    assert not {n for n in names if n not in known and not n.startswith("__")}, "no call for them"


CASES = [
    pytest.param(name, i, id=f"{name}-{i}")
    for name, calls in CALLS.items()
    for i in range(len(calls))
]
REFUSALS = (
    TypeError, ValueError, AttributeError, NotImplementedError, IndexError, RuntimeError,
    np.linalg.LinAlgError,
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("name, number", CASES)
def test_data_of_the_backend_in_numpys_place(held: Any, name: str, number: int) -> None:
    call = CALLS[name][number]
    image = SpatialArray(held, **GRID)
    xp = image.__array_namespace__()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            reference = call(np, SpatialArray(V, **GRID))
        except (AttributeError, TypeError) as error:
            pytest.skip(f"this NumPy has none: {error}")
        try:
            bare = call(bare_namespace(held), held)
        except REFUSALS as error:
            with pytest.raises(REFUSALS):
                call(xp, image)
            pytest.skip(f"the bare backend has none: {type(error).__name__}")
        lazy = type(held).__module__.startswith("dask")
        with assert_lazy() if lazy and name != "empty_like" else warnings.catch_warnings():
            ours = call(xp, image)
        _compare(bare, ours, reference, name)


def _compare(bare: Any, ours: Any, reference: Any, name: str) -> None:
    if isinstance(bare, tuple | list):
        assert len(ours) == len(bare) == len(reference)
        for b, o, r in zip(bare, ours, reference, strict=True):
            _compare(b, o, r, name)
        return
    assert isinstance(ours, SpatialArray), "functions of the namespace give images, 0-d ones too"
    assert type(ours.data) is type(bare)
    assert ours.dtype == bare.dtype
    if name != "empty_like":
        np.testing.assert_array_equal(
            backends.to(ours.data, "numpy"), backends.to(bare, "numpy"), strict=True
        )
    if isinstance(reference, SpatialArray):
        found, expected = ours.geometry, reference.geometry
        assert found.lost == expected.lost
        assert found._axes == expected._axes
        assert found._origin == expected._origin
        assert found.world == expected.world
    elif ours.ndim:
        assert not ours.geometry.sampled_axes


# --- the namespace itself -------------------------------------------------------------------


def test_each_backend_has_its_own() -> None:
    made = {}
    for backend in BACKENDS:
        try:
            made[backend] = SpatialArray(make(backend, V)).__array_namespace__()
        except pytest.skip.Exception:
            continue
    assert len({xp.__name__ for xp in made.values()}) == len(made) > 1
    for backend, xp in made.items():
        assert backend in xp.__name__
        assert isinstance(xp, ModuleType)
        assert xp is SpatialArray(make(backend, V[0])).__array_namespace__(api_version="2024.12")
        assert pickle.loads(pickle.dumps(xp)) is xp
        assert hasattr(xp, "float32")
        assert not hasattr(xp, "nonsense")


def test_with_array_api_compat(held: Any) -> None:
    import array_api_compat as compat

    image = SpatialArray(held, **GRID)
    xp = compat.array_namespace(image)
    assert xp is image.__array_namespace__()
    assert compat.array_namespace(image, image[0]) is xp
    assert compat.is_array_api_obj(image)
    assert compat.device(image) == compat.device(held)
    assert compat.size(image) == V.size
    writable = type(held).__module__.partition(".")[0] not in ("jax", "jaxlib", "sparse", "dask")
    if writable:
        assert compat.is_writeable_array(image)
    lazy = type(held).__module__.startswith("dask")
    with assert_lazy():
        assert compat.is_lazy_array(image) == (compat.is_lazy_array(held) and lazy)
    same = compat.to_device(image, compat.device(image))
    assert isinstance(same, SpatialArray)
    assert same.geometry == image.geometry


def test_read_only_and_lazy_as_the_compat_library_asks() -> None:
    import array_api_compat as compat

    data = V.copy()
    data.flags.writeable = False
    for bare in (V, data):
        image = SpatialArray(bare)
        if hasattr(compat, "is_lazy_array"):
            assert not compat.is_lazy_array(image)


def test_creation_gives_arrays_without_a_place(held: Any) -> None:
    image = SpatialArray(held, **GRID)
    xp = image.__array_namespace__()
    made = [
        xp.ones((2, 3)),
        xp.zeros((2,)),
        xp.full((2, 2), 3.0),
        xp.asarray([1.0, 2.0]),
        xp.eye(3),
    ]
    for array in made:
        assert isinstance(array, SpatialArray)
        assert array.geometry.sampled_axes == ()
        assert (
            type(array.data).__module__.partition(".")[0]
            == (type(held).__module__.partition(".")[0])
        )
    kept = xp.asarray(image)
    assert kept.geometry == image.geometry
    assert (image + xp.ones(image.shape)).geometry == image.geometry


def test_what_gives_no_array(held: Any) -> None:
    image = SpatialArray(held)
    xp = image.__array_namespace__()
    assert xp.isdtype(image.dtype, "real floating")
    if hasattr(xp, "finfo"):
        assert xp.finfo(image.dtype).bits == 64
    assert xp.result_type(image, xp.float32) == image.dtype
    assert xp.can_cast(xp.float32, image.dtype)


def test_images_on_other_grids_are_refused(held: Any) -> None:
    a, b = SpatialArray(held, **GRID), SpatialArray(held)
    xp = a.__array_namespace__()
    for call in (lambda: xp.add(a, b), lambda: xp.concat([a, b]), lambda: xp.where(a > 0, a, b)):
        with pytest.raises(GeometryMismatchError):
            call()


def test_a_function_without_a_rule_is_refused() -> None:
    bare = ModuleType("made_up")
    bare.blur = lambda x: x  # type: ignore[attr-defined]
    from spatial_duck.array._namespace import Namespace

    with pytest.raises(TypeError, match="no rule"):
        Namespace("made_up", bare, SpatialArray).blur(SpatialArray(V))


def test_dlpack_shares_memory() -> None:
    image = SpatialArray(V.copy(), **GRID)
    assert np.shares_memory(np.from_dlpack(image), image.data)
    strict = pytest.importorskip("array_api_strict", reason="needs array_api_strict")
    held = SpatialArray(strict.asarray(V))
    assert np.from_dlpack(held).shape == V.shape


# --- SciPy and scikit-image -----------------------------------------------------------------


@pytest.fixture(scope="module")
def libraries() -> Any:
    """What SciPy and scikit-image give for images, by the name of the function."""
    pytest.importorskip("scipy", reason="needs scipy")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", str(Path(__file__).parent / "libraries.py"), "json"],
        env={
            **os.environ,
            "SCIPY_ARRAY_API": "1",
            "PYTHONPATH": str(Path(__file__).resolve().parents[2]),
        },
        capture_output=True,
        text=True,
    )
    assert run.returncode == 0, run.stderr
    return json.loads(run.stdout)


@pytest.mark.slow
def test_no_library_function_gives_a_wrong_place(libraries: Any) -> None:
    wrong = {name: found for name, found in libraries.items() if found == "WRONG"}
    assert not wrong
    differ = {name: found for name, found in libraries.items() if found == "OTHER DATA"}
    assert not differ, "other values than for the bare array"
    assert len(libraries) > 20


@pytest.mark.slow
def test_the_readme_tells_which(libraries: Any) -> None:
    readme = (
        Path(__file__).resolve().parents[2] / "spatial_duck" / "array" / "README.md"
    ).read_text(encoding="utf-8")
    for package, name in (("scipy", "SciPy"), ("scikit-image", "scikit-image")):
        if not importlib.util.find_spec({"scikit-image": "skimage"}.get(package, package)):
            pytest.skip(f"needs {name}")
        if f"{name} {metadata.version(package)}" not in readme:
            pytest.skip(f"told of another version than {name} {metadata.version(package)}")
    assert markdown(libraries).strip() in readme


#: Whatever the version: these go through the array API from end to end.
KEEP = ["special.logsumexp", "stats.zscore", "stats.skew", "stats.gmean"]


@pytest.mark.parametrize("name", KEEP)
def test_some_library_functions_keep_the_place(libraries: Any, name: str) -> None:
    assert libraries[name] == "keeps"
