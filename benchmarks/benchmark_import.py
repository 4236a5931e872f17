"""What ``import spatial_duck`` costs on top of ``import numpy``, in fresh processes.

Compiled files are warm, as they are for an installed package.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks._table import environment, render

ROOT = Path(__file__).resolve().parent.parent
STATEMENTS = {
    "import numpy": "import numpy",
    "import numpy, spatial_duck": "import numpy, spatial_duck",
}
#: At most this much more than NumPy alone, in seconds.
LIMIT = 0.060


def import_seconds(statement: str, cache: str) -> float:
    """Return how long a statement takes in a fresh process that has run nothing before it."""
    code = f"import time; t = time.perf_counter(); {statement}; print(time.perf_counter() - t)"
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = cache
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE
    )
    return float(done.stdout)


def compare(rounds: int = 15) -> dict[str, list[float]]:
    """Return the seconds of each statement, in interleaved fresh processes."""
    taken: dict[str, list[float]] = {name: [] for name in STATEMENTS}
    with tempfile.TemporaryDirectory() as cache:
        for _ in range(rounds + 1):
            for name, statement in STATEMENTS.items():
                taken[name].append(import_seconds(statement, cache))
    return {name: sorted(times[1:]) for name, times in taken.items()}  # the first one compiles


class ImportSuite:
    timeout = 120

    def track_import_over_numpy(self) -> float:
        times = compare(7)
        ours, numpy = times["import numpy, spatial_duck"], times["import numpy"]
        return 1e3 * (ours[0] - numpy[0])

    track_import_over_numpy.unit = "ms"  # type: ignore[attr-defined]


def main() -> None:
    times = compare()
    base = times["import numpy"]
    rows = [
        [
            name,
            f"{1e3 * t[0]:.1f}",
            f"{1e3 * t[len(t) // 2]:.1f}",
            f"{1e3 * (t[0] - base[0]):+.1f}",
            f"{1e3 * (t[len(t) // 2] - base[len(base) // 2]):+.1f}",
        ]
        for name, t in times.items()
    ]
    title = f"Import time in ms, fresh processes; wanted: at most {1e3 * LIMIT:.0f} over NumPy"
    print(render(title, ["statement", "best", "median", "over NumPy (best)", "(median)"], rows))
    print(environment(["numpy"]))


if __name__ == "__main__":
    main()
