"""The CUDA kernels: compiled for a GPU, run as plain C++ on the CPU, and CuPy's names checked."""

from __future__ import annotations

import ast
import ctypes
import hashlib
import importlib
import inspect
import shutil
import subprocess
from pathlib import Path

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import _cuda as cuda
from spatial_duck.resampling import _device as device
from spatial_duck.resampling import _memory as memory
from spatial_duck.resampling import make_plan, resample

PACKAGE = Path(sd.__file__).parent
C, S = np.cos(0.3), np.sin(0.3)
TURN = np.array([[C, -S, 0], [S, C, 0], [0, 0, 1]]) @ [[1, 0, 0], [0, C, -S], [0, S, C]]
SOURCE = Geometry((2, 8, 9, 11), (2, 1, 1), dims=("c", "z", "y", "x"))
TARGETS = {
    "scaled": Geometry((11, 9, 20), (1.3, 1.5, 0.4), (-1, 0.2, 0.1)),
    "one axis": Geometry((8, 9, 20), (2, 1, 0.4), (0, 0, 0.1)),
    "turned": Geometry((10, 9, 12), (0.7, 1, 2), (0.3, 1, 9.2), [[0, 0, 1], [1, 0, 0], [0, -1, 0]]),
    "oblique": Geometry((7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), TURN),
    "oblique slice": Geometry((7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), TURN)[3],
    "oblique line": Geometry((7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), TURN)[3, :, 4],
    "in plane": Geometry(
        (7, 8, 9), (1.1, 0.8, 0.9), (1, 1, 1), [[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]]
    ),
}
HOWS = ("nearest", "linear", "cubic", "quintic", "lanczos")


@pytest.fixture(scope="session")
def compiled(tmp_path_factory):
    """Compile a variant as C++; return its library."""
    compiler = shutil.which("g++") or shutil.which("c++")
    if compiler is None:
        pytest.skip("needs a C++ compiler to run the kernels without a GPU")
    folder, known = tmp_path_factory.mktemp("kernels"), {}
    source = folder / "kernels.cpp"
    source.write_text(cuda.source_code())

    def find(options):
        if options not in known:
            name = folder / f"{hashlib.sha1(repr(options).encode()).hexdigest()}.so"
            flags = ["-O1", "-fPIC", "-shared", "-std=c++17", "-ffp-contract=off", "-Werror"]
            subprocess.run(
                [compiler, *flags, "-DEMULATED", *options, str(source), "-o", str(name)],
                check=True,
            )
            known[options] = ctypes.CDLL(str(name))
        return known[options]

    return find


@pytest.fixture
def emulated(compiled, monkeypatch):
    """Let NumPy's arrays take the way of CuPy's; return the kernels that were run."""
    ran = []

    def launch(options, name, _count, arguments):
        ran.append((name, options))
        getattr(compiled(options), name)(*[ctypes.c_void_p(a.ctypes.data) for a in arguments])

    monkeypatch.setattr(cuda, "_module", lambda: np)
    monkeypatch.setattr(cuda, "_launch", launch)
    monkeypatch.setattr(cuda, "prefilter", lambda *_: None)
    monkeypatch.setattr(device, "_fast", lambda _: cuda)
    return ran


@pytest.mark.slow
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("how", HOWS)
@pytest.mark.parametrize("dtype, edge", [("float32", False), ("float32", True), ("int16", False)])
def test_kernels_give_what_the_cpu_gives(name, how, dtype, edge, emulated):
    data = (np.random.default_rng(0).normal(size=SOURCE.shape) * 1000).astype(dtype)
    plan = make_plan(SOURCE, TARGETS[name], None, how, edge=edge)
    fill = np.dtype(dtype).type(7)
    found = device.execute(plan, data, fill)
    expected = memory.execute(plan, data, fill)
    assert emulated or (plan.coupled is None and how == "nearest")
    assert found.dtype == data.dtype
    if how == "nearest":
        np.testing.assert_array_equal(found, expected)
    elif dtype == "int16":
        assert np.abs(found.astype(int) - expected).max() <= 1
        assert (found != expected).mean() < 0.01
    else:
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(data).max())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", ["uint8", "int32", "uint64", "int64", "float64", "complex64"])
@pytest.mark.parametrize("name", ["scaled", "oblique"])
def test_types(dtype, name, emulated):
    rng = np.random.default_rng(1)
    data = rng.normal(size=SOURCE.shape)
    kind = np.dtype(dtype).kind
    if kind in "iu":
        info = np.iinfo(dtype)
        data = rng.integers(info.min, info.max, SOURCE.shape, dtype, endpoint=True)
    data = (data + (1j * data[::-1] if kind == "c" else 0)).astype(dtype)
    for how in ("linear", "cubic"):
        plan = make_plan(SOURCE, TARGETS[name], None, how)
        found = device.execute(plan, data, np.dtype(dtype).type(3))
        expected = memory.execute(plan, data, np.dtype(dtype).type(3))
        assert found.dtype == data.dtype
        scale = float(np.abs(data.astype("D")).max())
        np.testing.assert_allclose(
            found.astype("D"), expected.astype("D"), rtol=0,
            atol=(1e-6 if kind in "fc" else 1.01 / scale + 1e-9) * scale,
        )  # fmt: skip
    assert emulated or dtype == "complex64"


def test_bool_is_moved_as_bits(emulated):
    data = np.random.default_rng(2).random(SOURCE.shape) > 0.5
    plan = make_plan(SOURCE, TARGETS["oblique"], None, "nearest")
    found = device.execute(plan, data, np.True_)
    np.testing.assert_array_equal(found, memory.execute(plan, data, np.True_))
    assert [name for name, _ in emulated] == ["affine"]


@pytest.mark.parametrize("name", ["scaled", "oblique"])
@pytest.mark.parametrize("how", ["linear", "lanczos"])
def test_nan_stays_in_its_kernel(name, how, emulated):
    data = np.random.default_rng(3).normal(size=SOURCE.shape)
    data[:, 3, 4, 5] = np.nan
    plan = make_plan(SOURCE, TARGETS[name], None, how)
    found = device.execute(plan, data, np.float64(0))
    expected = memory.execute(plan, data, np.float64(0))
    np.testing.assert_array_equal(np.isnan(found), np.isnan(expected))
    assert emulated


VARIANTS = [
    cuda.defines(np.dtype(t), np.dtype(o), np.dtype(w), taps)
    for t, o, w, taps in [
        ("f4", "f4", "f4", 2), ("u2", "u2", "f8", 1), ("f4", "u1", "f4", 4), ("f8", "i8", "f8", 10),
    ]
]  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("options", VARIANTS, ids=" ".join)
def test_compiles_for_a_gpu(options, tmp_path):
    nvcc = shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")
    if nvcc is None:
        pytest.skip("needs nvcc to compile for a GPU")
    source = tmp_path / "kernels.cu"
    source.write_text(cuda.source_code())
    done = subprocess.run(
        [nvcc, "-ptx", "-std=c++17", "-fmad=false", "-Werror", "all-warnings", *options,
         str(source), "-o", str(tmp_path / "kernels.ptx")],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "kernels.ptx").read_text()
    for name in ("affine", "tables"):
        assert f".entry {name}(" in text
    # A fused product would move positions off those of the CPU.
    assert "fma.rn.f64" not in text or "-DTAPS=10" in options


@pytest.mark.gpu
@pytest.mark.parametrize("name", TARGETS)
@pytest.mark.parametrize("how", [*HOWS, "label"])
@pytest.mark.parametrize("dtype", ["float32", "float64", "int16", "uint8", "complex64"])
def test_on_a_gpu(name, how, dtype):
    """Every plan on the GPU itself gives what the CPU gives, and stays there."""
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    if how == "label" and dtype == "complex64":
        pytest.skip("complex values are no labels")
    data = (np.random.default_rng(0).uniform(0, 200, SOURCE.shape)).astype(dtype)
    image = sd.SpatialArray(data, SOURCE)
    expected = resample(image, TARGETS[name], interpolation=how, fill=7)
    found = resample(image.to("cupy"), TARGETS[name], interpolation=how, fill=7)
    assert isinstance(found.data, cupy.ndarray)
    assert found.dtype == data.dtype
    there = cupy.asnumpy(found.data)
    if how in ("nearest", "label"):
        np.testing.assert_array_equal(there, expected.data)
    else:
        loose = 1.01 if np.dtype(dtype).kind in "iu" else 1e-3
        np.testing.assert_allclose(there, expected.data, rtol=0, atol=loose)


# --- names of CuPy that are used ------------------------------------------------------------


def _used():
    """Yield each dotted name of CuPy in the package, and the keywords that it is called with."""
    for path in sorted(PACKAGE.rglob("*.py")):
        text = path.read_text()
        if "cupy" not in text and path.name != "cuda.py":
            continue
        tree = ast.parse(text)
        roots = {"cupy", "cupyx"}
        for node in ast.walk(tree):
            if isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in roots:
                for name in node.names:
                    yield path.name, f"{node.module}.{name.name}", None
            elif isinstance(node, ast.Attribute):
                name = _dotted(node)
                if name is not None:
                    yield path.name, name, None
            elif isinstance(node, ast.Call) and (name := _dotted(node.func)) is not None:
                yield path.name, name, node


def _dotted(node):
    """Return the dotted name of CuPy that an expression is; ``xp`` and ``_module()`` are CuPy."""
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    if not parts:
        return None
    if isinstance(node, ast.Name) and node.id in ("cupy", "cupyx"):
        return ".".join([node.id, *reversed(parts)])
    is_module = isinstance(node, ast.Call) and getattr(node.func, "id", None) == "_module"
    return ".".join(["cupy", *reversed(parts)]) if is_module else None


def test_cupys_names_are_there():
    """Each name of CuPy that the package uses exists, and takes what it is given."""
    pytest.importorskip("cupy", reason="needs cupy")
    seen = set()
    for where, name, call in _used():
        parts = name.split(".")
        try:
            found = importlib.import_module(parts[0])
            for i, part in enumerate(parts[1:], 1):
                if not hasattr(found, part):
                    found = importlib.import_module(".".join(parts[: i + 1]))
                else:
                    found = getattr(found, part)
        except ImportError as error:
            pytest.fail(f"{where}: {name} is not in CuPy: {error}")
        seen.add(name)
        if call is None or isinstance(found, type):
            continue
        try:
            signature = inspect.signature(found)
        except ValueError:  # compiled, and says nothing
            continue
        signature.bind_partial(*call.args, **{k.arg: k.value for k in call.keywords if k.arg})
    assert {"cupy.asarray", "cupy.asnumpy", "cupy.RawModule", "cupy.cuda.Device"} <= seen


def _by_way_of_xp(path):
    """Return the names that a module takes from ``xp``, or from ``place.xp``."""
    found = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Attribute):
            owner = getattr(node.value, "id", None) or getattr(node.value, "attr", None)
            found |= {node.attr} if owner == "xp" else set()
    return found


def test_names_used_by_way_of_a_variable_are_there():
    cupy = pytest.importorskip("cupy", reason="needs cupy")
    names = _by_way_of_xp(PACKAGE / "resampling" / "cuda.py")
    assert names
    assert not [name for name in names if not hasattr(cupy, name)]
    compat = pytest.importorskip("array_api_compat.cupy", reason="needs array-api-compat")
    for module in ("device", "device_values", "sampling"):
        names = _by_way_of_xp(PACKAGE / "resampling" / f"{module}.py") - {"__name__"}
        assert names
        assert not [name for name in names if not hasattr(compat, name)]
    from cupyx.scipy.ndimage import spline_filter1d

    signature = inspect.signature(spline_filter1d)
    assert list(signature.parameters) == ["input", "order", "axis", "output", "mode"]
    assert signature.parameters["mode"].default == "mirror"
