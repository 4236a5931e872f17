"""Print every table of benchmarks/README.md, one after the other.

    python -m benchmarks [NAME ...]

Each runs in a process of its own, so that what one has loaded counts for no other. Names pick
some: ``wrapper``, ``import``, ``zarr`` and so on. Those that need what is not here say so.
"""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

FOLDER = Path(__file__).resolve().parent
NAMES = sorted(p.stem.removeprefix("benchmark_") for p in FOLDER.glob("benchmark_*.py"))


def main() -> int:
    wanted = sys.argv[1:] or NAMES
    unknown = sorted(set(wanted) - set(NAMES))
    if unknown:
        print(f"there is no {', '.join(unknown)}; there are {', '.join(NAMES)}", file=sys.stderr)
        return 2
    failed = []
    for name in wanted:
        print(f"\n=== {name}", flush=True)
        command = [sys.executable, "-m", f"benchmarks.benchmark_{name}"]
        if subprocess.run(command, cwd=FOLDER.parent, check=False).returncode:
            failed.append(name)
    if failed:
        print(f"\nfailed: {', '.join(failed)}", file=sys.stderr)
    return len(failed)


if __name__ == "__main__":
    sys.exit(main())
