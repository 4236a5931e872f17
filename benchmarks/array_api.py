"""The array-API standard's test suite, on images and on bare arrays, in one run.

``python benchmarks/array_api.py PATH [BACKEND ...]`` runs the suite that is checked out at PATH, or
``$ARRAY_API_TESTS``, for each installed backend and prints a table. It exits with 1 if images fail
a test that bare arrays pass. The suite is https://github.com/data-apis/array-api-tests, with its
submodule and what its requirements.txt names. Failing examples are not made smaller: for Dask's own
failures that would take hours.
"""

from __future__ import annotations

import argparse
import os
import random
import subprocess
import sys
from importlib.util import find_spec
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parent.parent
VERSION = "2024.12"

#: Backend: the namespace of its bare arrays, and how one array is made.
BACKENDS = {
    "numpy": ("array_api_compat.numpy", "numpy", "xp.ones(1)"),
    "array_api_strict": ("array_api_strict", "array_api_strict", "xp.ones(1)"),
    "dask": ("array_api_compat.dask.array", "dask", "xp.ones(1)"),
    "torch": ("array_api_compat.torch", "torch", "xp.ones(1)"),
    "jax": ("jax.numpy", "jax", "xp.ones(1)"),
    "sparse": ("sparse", "sparse", "xp.zeros(1)"),
}
#: Run before the suite.
PREPARE = {"jax": 'import jax; jax.config.update("jax_enable_x64", True)'}


#: The suite looks at values, which lazy images refuse where Dask's arrays compute.
LOOK = {
    "dask": '[setattr(SpatialArray, "__%s__" % t.__name__, lambda self, t=t: t(self.data)) '
    'for t in (bool, int, float, complex, __import__("operator").index)]'
}


def pytest_sessionstart() -> None:
    """Leave out the shrinking of failing examples; this module is a plugin of the suite's runs."""
    from hypothesis import Phase, settings

    phases = [p for p in settings.default.phases if p not in (Phase.shrink, Phase.explain)]
    settings.register_profile("found", settings.default, phases=phases)
    settings.load_profile("found")


def pytest_runtest_setup(item: Any) -> None:
    """Let the examples that the suite draws outside of Hypothesis' own runs be the same in all."""
    random.seed(item.nodeid)


class Outcome(NamedTuple):
    """What one run of the suite gave."""

    passed: int
    failed: frozenset[str]


def run(suite: Path, backend: str, ours: bool, options: argparse.Namespace) -> Outcome:
    """Run the suite, or the tests that the options name, for a backend."""
    module, _, make = BACKENDS[backend]
    lines = [PREPARE.get(backend, "pass"), f"import {module} as xp"]
    if ours:
        lines.append("from spatial_duck import SpatialArray")
        lines.append(f"xp = SpatialArray({make}).__array_namespace__()")
        lines.append(LOOK.get(backend, "pass"))
    report = subprocess.run(
        [
            sys.executable, "-m", "pytest", "-q", "--no-header", "--tb=no", "-rfE", "-p",
            "no:cacheprovider", "-p", "benchmarks.array_api", "--disable-warnings",
            "--disable-deadline",  # of a machine that is busy, or a library that compiles
            f"--hypothesis-seed={options.seed}", f"--max-examples={options.max_examples}",
            *options.tests,
        ],
        cwd=suite,
        env={
            **os.environ,
            "ARRAY_API_TESTS_MODULE": f"exec('{'; '.join(lines)}')",
            "ARRAY_API_TESTS_VERSION": VERSION,
            "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
            "COLUMNS": "1000",  # names of tests in full
            "DASK_SCHEDULER": "synchronous",  # threads would be started for a few numbers each
        },
        capture_output=True,
        text=True,
    )  # fmt: skip
    lines = report.stdout.splitlines()
    failed = frozenset(
        line.split(" ", 1)[1].split(" - ")[0]
        for line in lines
        if line.startswith(("FAILED ", "ERROR "))
    )
    words = lines[-1].replace(",", "").split() if lines else []
    counts = {word: int(n) for n, word in pairwise(words) if n.isdigit()}
    if not counts.keys() & {"passed", "failed"}:
        raise SystemExit(f"the suite did not run for {backend}:\n{report.stdout}{report.stderr}")
    return Outcome(counts.get("passed", 0), failed)


def main() -> int:
    """Print the table; return 1 if images fail what bare arrays pass."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("suite", nargs="?", default=os.environ.get("ARRAY_API_TESTS"), type=Path)
    parser.add_argument("backends", nargs="*", choices=[[], *BACKENDS], default=[])
    parser.add_argument("--max-examples", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument(
        "--tests", nargs="*", default=["array_api_tests"], help="names of the suite's test files"
    )
    options = parser.parse_args()
    if options.suite is None or not (options.suite / "array_api_tests").is_dir():
        parser.error("give the path of a checkout of data-apis/array-api-tests")
    print("| backend | bare: passed / failed | images: passed / failed | only images fail |")
    print("| --- | --- | --- | --- |")
    found = False
    for backend in options.backends or BACKENDS:
        if find_spec(BACKENDS[backend][1]) is None:
            print(f"| {backend} | not installed | | |", flush=True)
            continue
        bare = run(options.suite, backend, False, options)
        ours = run(options.suite, backend, True, options)
        more = ours.failed - bare.failed
        if more:
            # Alone once more: a busy machine makes Hypothesis give up. And bare arrays may fail
            # with other examples.
            alone = argparse.Namespace(**{**vars(options), "tests": sorted(more)})
            more &= run(options.suite, backend, True, alone).failed
        if more:
            again = argparse.Namespace(seed=0, max_examples=200, tests=sorted(more))
            more -= run(options.suite, backend, False, again).failed
        found = found or bool(more)
        print(
            f"| {backend} | {bare.passed} / {len(bare.failed)} | {ours.passed} / "
            f"{len(ours.failed)} | {', '.join(sorted(more)) or 'none'} |",
            flush=True,
        )
    return int(found)


if __name__ == "__main__":
    sys.exit(main())
