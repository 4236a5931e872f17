"""The engines agree: to the bit in nearest and linear values."""

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
        patch.setattr(engines, "engine_for", lambda *arrays, **options: numpy_engine)
        plain = resample(image, target, interpolation=interpolation, fill=fill)
    assert plain.dtype == compiled.dtype
    np.testing.assert_array_equal(plain.data, compiled.data)


FIRST = """
import sys, numpy as np, spatial_duck as sd
from spatial_duck.resampling import _engines as engines
engines.PATIENCE = float(sys.argv[1]) if len(sys.argv) > 1 else engines.PATIENCE
values = np.arange(4000).reshape(10, 20, 20)
for kind in ("f4", "i2"):
    image = sd.SpatialArray(values.astype(kind))
    turned = image.geometry.replace(direction=[[1, 0, 0], [0, 0.8, -0.6], [0, 0.6, 0.8]])
    for how in ("nearest", "linear"):
        found = [sd.resample(image, spacing=0.7, interpolation=how),
                 sd.resample(image, turned, interpolation=how)]
        print(*[hash(tuple(f.data.ravel().tolist())) for f in found])
print("numba" in sys.modules)
"""


@pytest.mark.slow
def test_small_images_do_not_wait_for_numba():
    """Which takes longer to load than they do; the values are the same to the bit."""
    runs = [
        subprocess.run(
            [sys.executable, "-c", FIRST, *patience], capture_output=True, text=True, check=True
        ).stdout.split()
        for patience in ((), ("-1",))
    ]
    assert [run.pop() for run in runs] == ["False", "True"]
    assert runs[0] == runs[1]


def test_numpy_works_until_numba_would_be_loaded(monkeypatch):
    """For all small images together no longer than the patience, and never for a large one."""
    monkeypatch.setattr(engines, "_is_loaded", lambda: False)
    monkeypatch.setattr(engines, "_is_compiled", lambda: True)
    monkeypatch.setattr(engines, "PATIENCE", 1000 * engines._NANOSECONDS["linear"])
    monkeypatch.setattr(engines, "_spent", 0.0)
    values = np.zeros(400)
    assert engines.engine_for(values) is not numpy_engine
    assert engines.engine_for(values, work="linear", total=10_000) is not numpy_engine
    found = [engines.engine_for(values, work="linear", total=400) for _ in range(6)]
    assert [engine is numpy_engine for engine in found] == [True] * 3 + [False] * 3


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
