"""The engines agree, but for the rounding of the last bits."""

from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import spatial_duck as sd
from spatial_duck.geometry import Geometry
from spatial_duck.resampling import _engines as engines
from spatial_duck.resampling import _numpy_engine as numpy_engine
from spatial_duck.resampling import resample
from spatial_duck.testing import _strategies as strategies

pytest.importorskip("numba", reason="needs numba to compare with")

DTYPES = ("f4", "f8", "i1", "u1", "i2", "u2", "i4", "u4", "i8", "u8", "c8", "c16", "f2")


@st.composite
def _cases(draw):
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    n = draw(st.integers(1, 3))
    aligned = draw(st.booleans())
    directions = draw(strategies.directions(n, n, oblique=not aligned, sheared=not aligned))
    shape = tuple(draw(st.integers(1, 9)) for _ in range(n))
    source = Geometry(shape, rng.uniform(0.5, 2, n))
    wanted = tuple(draw(st.integers(1, 9)) for _ in range(n))
    target = Geometry(wanted, rng.uniform(0.3, 2, n), rng.uniform(-2, 4, n), directions)
    dtype = np.dtype(draw(st.sampled_from(DTYPES)))
    data = rng.normal(size=shape) * 90
    if dtype.kind == "c":
        data = data + 1j * data[::-1]
    if dtype.kind == "u":
        data = np.abs(data)
    return source, target, data.astype(dtype)


@pytest.mark.slow
@given(_cases(), st.sampled_from(("nearest", "linear")), st.sampled_from((3, "edge")))
@settings(max_examples=150)
def test_numpy_equals_numba(case, interpolation, fill):
    source, target, data = case
    image = sd.SpatialArray(data, source)
    compiled = resample(image, target, interpolation=interpolation, fill=fill)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(engines, "engine_for", lambda *arrays: numpy_engine)
        plain = resample(image, target, interpolation=interpolation, fill=fill)
    assert plain.dtype == compiled.dtype
    if interpolation in ("nearest", "label"):
        np.testing.assert_array_equal(plain.data, compiled.data)
        return
    # Where a value lies half-way between two integers the last bit decides.
    grain = 1.0 if data.dtype.kind in "iu" else 0.0
    scale = max(float(np.abs(data.astype(complex)).max()), 1.0)
    digits = 2e-3 if data.dtype.char == "e" else 2e-6 if data.dtype.char in "fF" else 1e-12
    apart = np.abs(plain.data.astype(complex) - compiled.data.astype(complex))
    assert apart.max(initial=0) <= grain + digits * scale
    assert (apart > digits * scale).mean() <= 0.2 if apart.size > 20 else True


def test_works_without_numba():
    """Where Numba cannot be imported NumPy does the work."""
    code = (
        "import sys; sys.modules['numba'] = None\n"
        "import importlib.util, numpy as np, spatial_duck as sd\n"
        "found = importlib.util.find_spec\n"
        "importlib.util.find_spec = lambda n, *a: None if n == 'numba' else found(n, *a)\n"
        "image = sd.SpatialArray(np.arange(6.0).reshape(2, 3))\n"
        "print(sd.resample(image, spacing=0.5).data.sum())"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("60.0", 0), done.stderr


def test_threads_do_not_change_values():
    from spatial_duck.resampling import _memory as memory
    from spatial_duck.resampling import make_plan

    data = np.random.default_rng(0).normal(size=(60, 70, 80)).astype("f4")
    source = Geometry(data.shape, (2, 1, 1))
    c, s = np.cos(0.3), np.sin(0.3)
    for target in (
        Geometry((70, 80, 90), (1.5, 0.9, 0.8)),
        Geometry((70, 80, 90), 1.0, (0, 5, 5), [[c, -s, 0], [s, c, 0], [0, 0, 1]]),
    ):
        plan = make_plan(source, target)
        one, many = (memory.execute(plan, data, np.float32(0), threads=n) for n in (1, 5))
        np.testing.assert_array_equal(one, many)
