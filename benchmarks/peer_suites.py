"""Test suites and function tables of other libraries, run with images.

``python -m benchmarks.peer_suites`` prints a table of what passed, was refused by design or failed,
with a row for each suite, and below it what is refused by design, with the reason. ``--array-api
PATH`` adds the array-API standard's suite, checked out at PATH, by ``benchmarks/array_api.py``. The
exit status is 1 if anything fails. Suites of a library that is not installed are named as such.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import warnings
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING
from xml.etree import ElementTree as ET

from benchmarks._table import environment
from tests.rules.peers import SUITES, Outcome

if TYPE_CHECKING:
    from collections.abc import Iterable

ROOT = Path(__file__).resolve().parent.parent

#: Suites that are among this package's tests: the library, and the arguments of pytest.
TESTS = {
    "xarray: `test_duck_array_wrapping`, on NumPy and Dask": (
        "xarray", ["tests/array/test_nesting_xarray.py", "-k", "xarray_keeps_images"],
    ),
    "ndindex: keys of its strategies, on NumPy, Dask and Zarr": (
        "ndindex", ["tests/array/test_ndindex.py"],
    ),
}  # fmt: skip


def of_tests(arguments: list[str]) -> list[Outcome]:
    """Run tests in a process of its own; expected failures and skips are by design."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junit-xml={report}", *arguments]
        ran = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
        if not report.exists():
            raise SystemExit(f"the tests did not run:\n{ran.stdout}{ran.stderr}")
        cases = ET.parse(report).getroot().iter("testcase")
        return [_of_case(case) for case in cases]


def _of_case(case: ET.Element) -> Outcome:
    name = case.get("name", "").removeprefix("test_")
    for child in case:
        if child.tag == "skipped":
            return Outcome(name, "by design", child.get("message", ""))
        if child.tag in ("failure", "error"):
            return Outcome(name, "failed", child.get("message", ""))
    return Outcome(name, "passed")


def run() -> Iterable[tuple[str, list[Outcome] | None]]:
    """Run suite after suite; None stands for one that needs what is not installed."""
    for suite, (needs, arguments) in TESTS.items():
        yield suite, of_tests(arguments) if find_spec(needs) else None
    for suite, (needs, outcomes) in SUITES.items():
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield suite, outcomes() if find_spec(needs) else None


def main() -> int:
    """Print the table and the reasons; return 1 if anything failed."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--array-api", type=Path, help="a checkout of data-apis/array-api-tests")
    parser.add_argument("--max-examples", default="20", help="of the array-API suite")
    options = parser.parse_args()
    reasons: dict[str, list[str]] = defaultdict(list)
    failures: list[Outcome] = []
    print("| suite | passed | by design | failed |\n| --- | ---: | ---: | ---: |")
    for suite, outcomes in run():
        if outcomes is None:
            print(f"| {suite} | not installed | | |", flush=True)
            continue
        found = {
            s: [o for o in outcomes if o.state == s] for s in ("passed", "by design", "failed")
        }
        print(f"| {suite} | {' | '.join(str(len(o)) for o in found.values())} |", flush=True)
        failures += found["failed"]
        for outcome in found["by design"]:
            reasons[outcome.reason].append(outcome.name)
    print("\nBy design:\n")
    for reason, names in reasons.items():
        print(f"- {', '.join(f'`{name}`' for name in names)}: {reason}")
    for failed in failures:
        print(f"failed: {failed.name}: {failed.reason}", file=sys.stderr)
    print(f"\n{environment(['numpy', 'dask', 'xarray', 'astropy', 'pint', 'ndindex', 'zarr'])}")
    status = bool(failures)
    if options.array_api:
        command = [sys.executable, str(ROOT / "benchmarks" / "array_api.py"),
                   str(options.array_api), "numpy", "array_api_strict",
                   "--max-examples", options.max_examples]  # fmt: skip
        print(flush=True)
        status |= bool(subprocess.run(command, cwd=ROOT, check=False).returncode)
    return int(status)


if __name__ == "__main__":
    sys.exit(main())
