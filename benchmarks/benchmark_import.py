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
#: Run one after the other in one process: each pays for what the ones before it did not load.
STATEMENTS = ("import numpy", "import spatial_duck")
#: At most this much more than NumPy alone, in seconds.
LIMIT = 0.060

_CODE = """
import sys, time
for statement in sys.argv[1:]:
    start = time.perf_counter()
    exec(statement)
    print(time.perf_counter() - start)
"""


def import_seconds(cache: str) -> list[float]:
    """Return how long each statement takes in a fresh process."""
    environ = {k: v for k, v in os.environ.items() if k != "PYTHONDONTWRITEBYTECODE"}
    environ["PYTHONPYCACHEPREFIX"] = cache
    command = [sys.executable, "-c", _CODE, *STATEMENTS]
    done = subprocess.run(command, cwd=ROOT, env=environ, check=True, stdout=subprocess.PIPE)
    return [float(line) for line in done.stdout.split()]


def compare(rounds: int = 21) -> dict[str, list[float]]:
    """Return the seconds of each statement over several fresh processes, sorted."""
    with tempfile.TemporaryDirectory() as cache:
        import_seconds(cache)  # compiles
        runs = [import_seconds(cache) for _ in range(rounds)]
    return {name: sorted(t) for name, t in zip(STATEMENTS, zip(*runs, strict=True), strict=True)}


class ImportSuite:
    timeout = 120

    def track_import_over_numpy(self) -> float:
        return 1e3 * compare(9)["import spatial_duck"][0]

    track_import_over_numpy.unit = "ms"  # type: ignore[attr-defined]


def main() -> None:
    rows = [
        [name, f"{1e3 * t[0]:.1f}", f"{1e3 * t[len(t) // 2]:.1f}"] for name, t in compare().items()
    ]
    title = f"Import time in ms, fresh processes; wanted: at most {1e3 * LIMIT:.0f} after NumPy"
    print(render(title, ["statement", "best", "median"], rows))
    print(environment(["numpy"]))


if __name__ == "__main__":
    main()
