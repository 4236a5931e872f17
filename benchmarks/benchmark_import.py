"""First use in fresh processes: the import, ``spatial-duck info``, the first resampling.

Seconds are those of the processor, user and system, of whole processes, which run one after the
other in rounds beside their peers: ``nib-ls`` of nibabel, ``import numpy``, and Numba with a
function of one line. Python's compiled files are warm, as they are for an installed package.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

import spatial_duck as sd
from benchmarks._table import environment, render

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

ROOT = Path(__file__).resolve().parent.parent
#: At most this much more than NumPy alone, in seconds.
LIMIT = 0.015

_NUMPY = "import numpy"
_IMPORTS = {
    "python": "pass",
    _NUMPY: _NUMPY,
    "import spatial_duck": "import numpy, spatial_duck",
    "and the first image": "import numpy as np, spatial_duck as sd; sd.SpatialArray(np.zeros(3))",
}
_NIB_LS = "import sys; from nibabel.cmdline.ls import main; main(sys.argv[1:])"
#: The image of a resampling, and the whole of it.
_IMAGE = """
import sys, numpy as np, spatial_duck as sd
n = int(sys.argv[1])
image = sd.SpatialArray(np.ones((n, n, n), sys.argv[2]), spacing=1.0)
turned, _ = np.linalg.qr([[1, 0.2, 0.3], [-0.2, 1, 0.4], [-0.3, -0.3, 1]])
target = image.geometry.replace(direction=turned * np.sign(np.diag(turned)))
"""
_RESAMPLE = (
    _IMAGE
    + """
sd.resample(image, **{"to": target} if sys.argv[3] == "turned" else {"spacing": 1.1})
"""
)
_NUMBA = _IMAGE + "import numba; numba.njit(lambda x: x)(1)\n"


class Taken(NamedTuple):
    """Seconds of the processor: the best process and the median one."""

    best: float
    median: float


def processor_seconds(command: Sequence[str], **environ: str) -> float:
    """Return the seconds of the processor that a process takes."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(command, cwd=ROOT, env=_environment() | environ, check=True,
                   stdout=subprocess.DEVNULL)  # fmt: skip
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def _environment() -> dict[str, str]:
    return {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}


def compare(commands: Mapping[str, Sequence[str]], rounds: int) -> dict[str, Taken]:
    """Run commands in turns, after a turn that does not count."""
    runs = [[processor_seconds(c) for c in commands.values()] for _ in range(rounds + 1)][1:]
    return {
        name: Taken(min(times), sorted(times)[rounds // 2])
        for name, times in zip(commands, zip(*runs, strict=True), strict=True)
    }


def _python(code: str, *arguments: str) -> list[str]:
    return [sys.executable, "-c", code, *arguments]


def imports(rounds: int = 21) -> dict[str, Taken]:
    """Return the seconds of each import."""
    return compare({name: _python(code) for name, code in _IMPORTS.items()}, rounds)


def infos(folder: str, rounds: int = 11) -> dict[str, Taken]:
    """Return the seconds of looking at a compressed NIfTI, and of what is beside it."""
    file = str(Path(folder, "a.nii.gz"))
    sd.write(file, sd.SpatialArray(np.zeros((64, 64, 32), "i2"), spacing=(1, 1, 3), frame="RAS"))
    return compare(
        {
            "spatial-duck info": [sys.executable, "-m", "spatial_duck", "info", file],
            "nib-ls": _python(_NIB_LS, file),
            _NUMPY: _python(_NUMPY),
        },
        rounds,
    )


def resamplings(cache: str, edge: int, kind: str, way: str, rounds: int = 3) -> list[float]:
    """Return what the first linear resampling adds to a process, the best of several.

    Returns
    -------
    list of float
        With nothing compiled before, in later processes, and what Numba alone adds.
    """
    arguments = (str(edge), kind, way)
    taken: list[list[float]] = [[], [], [], []]
    for i in range(rounds):
        here = {"NUMBA_CACHE_DIR": str(Path(cache, f"{edge} {kind} {way} {i}"))}
        for seconds, code in zip(taken, (_IMAGE, _RESAMPLE, _RESAMPLE, _NUMBA), strict=True):
            seconds.append(processor_seconds(_python(code, *arguments), **here))
    base, *others = map(min, taken)
    return [seconds - base for seconds in others]


class ImportSuite:
    timeout = 120

    def track_import_over_numpy(self) -> float:
        taken = imports(9)
        return 1e3 * (taken["import spatial_duck"].best - taken[_NUMPY].best)

    track_import_over_numpy.unit = "ms"  # type: ignore[attr-defined]


def main() -> None:
    taken = imports()
    base = taken[_NUMPY]
    rows = [
        [name, f"{1e3 * t.best:.0f}", f"{1e3 * t.median:.0f}",
         f"{1e3 * (t.best - base.best):+.1f}", f"{1e3 * (t.median - base.median):+.1f}"]
        for name, t in taken.items()
    ]  # fmt: skip
    title = f"Imports, ms of the processor; wanted: at most {1e3 * LIMIT:.0f} over NumPy"
    print(render(title, ["", "best", "median", "over NumPy", "median"], rows))
    with tempfile.TemporaryDirectory() as folder:
        taken = infos(folder)
        ours = taken["spatial-duck info"]
        rows = [
            [name, f"{t.best:.2f}", f"{t.median:.2f}", f"{ours.best / t.best:.2f}"]
            for name, t in taken.items()
        ]
        title = "A .nii.gz looked at, s of the processor"
        print(render(title, ["", "best", "median", "info is ×"], rows))
        rows = [
            [f"{edge}³ {np.dtype(kind)}, {way}",
             *[f"{seconds:.2f}" for seconds in resamplings(folder, edge, kind, way)]]
            for edge in (40, 160, 256, 320)
            for kind in ("f4", "u1")
            for way in ("along the axes", "turned")
        ]  # fmt: skip
    title = "The first linear resampling of a process, s of the processor that it adds"
    header = ["", "nothing compiled", "later", "Numba alone"]
    print(render(title, header, rows))
    print(environment(["numpy", "numba", "nibabel"]))


if __name__ == "__main__":
    main()
