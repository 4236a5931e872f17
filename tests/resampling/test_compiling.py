"""What is compiled is found again by other processes, and need not be kept."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("numba", reason="needs numba, which compiles")

from numba.core import caching

from spatial_duck.resampling import _compiling as compiling
from spatial_duck.resampling import _engines as engines

RUN = """
import json, numpy as np, spatial_duck as sd
from spatial_duck.resampling import _engines as engines
engines.PATIENCE = -1
from spatial_duck.resampling import _kernels as kernels, _kernels_points as kernels_points
turned = sd.Geometry((4, 5), 1.0, (1, 2), [[0.8, -0.6], [0.6, 0.8]])
for how in ("nearest", "cubic"):
    sd.resample(sd.SpatialArray(np.eye(5)), turned, interpolation=how)
used = [f for m in (kernels, kernels_points) for f in vars(m).values()
        if type(getattr(f, "_cache", None)).__name__ == "_Kept"]
found = [sum(s.values()) for f in used for s in (f.stats.cache_hits, f.stats.cache_misses)]
print(json.dumps([sum(found[0::2]), sum(found[1::2])]))
"""


@pytest.mark.slow
def test_a_second_process_compiles_nothing(tmp_path, monkeypatch):
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(tmp_path)}
    found = []
    for _ in range(2):
        done = subprocess.run(
            [sys.executable, "-c", RUN], capture_output=True, text=True, env=environment, check=True
        )
        found.append(json.loads(done.stdout))
    (_, compiled), (loaded, again) = found
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path / "empty"))
    assert not engines._is_compiled.__wrapped__()
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    assert engines._is_compiled.__wrapped__()
    assert compiled == loaded >= 3
    assert again == 0


def _twice(values):
    out = 0.0
    for value in values:
        out += 2 * value
    return out


def test_a_cache_that_cannot_be_written_is_no_error(monkeypatch):
    def refuse(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(caching.IndexDataCacheFile, "save", refuse)
    assert compiling.kept(_twice)(np.ones(3)) == 6


def test_nor_is_one_without_a_place(monkeypatch):
    monkeypatch.setattr(caching.CacheImpl, "_locator_classes", [])
    assert compiling.kept(_twice)(np.ones(3)) == 6


def test_a_change_in_any_kernel_discards_what_was_compiled(tmp_path, monkeypatch):
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr("numba.core.config.CACHE_DIR", str(tmp_path))
    hits = []
    for stamp in ("a", "a", "b"):
        monkeypatch.setattr(compiling, "_STAMPS", [stamp])
        function = compiling.kept(_twice)
        function(np.ones(3))
        hits.append(sum(function.stats.cache_hits.values()))
    assert hits == [0, 1, 0]


def test_every_file_that_is_compiled_counts():
    folder = Path(compiling.__file__).parent
    compiled = {
        path.name
        for path in folder.glob("*.py")
        if "resampling._compiling import" in path.read_text(encoding="utf-8")
    }
    assert {name for name, *_ in compiling._STAMPS} == compiled | {"_compiling.py"}
    assert len(compiled) == 3
