"""Names of the package are loaded by several threads at once."""

from __future__ import annotations

import subprocess
import sys

import pytest

#: Each thread looks up all names in an order of its own, or the one that it is given.
SCRIPT = """
import random, sys, threading
import spatial_duck as sd

seed, *given = sys.argv[1:]
count = len(given) or 8
begin, failed = threading.Barrier(count), []

def look_up(number):
    names = list(sd.__all__)
    random.Random(f"{seed} {number}").shuffle(names)
    begin.wait()
    for name in given[number:number + 1] or names:
        try:
            getattr(sd, name)
        except Exception as error:
            failed.append(f"{name}: {error!r}")

threads = [threading.Thread(target=look_up, args=(n,)) for n in range(count)]
for thread in threads:
    thread.start()
for thread in threads:
    thread.join()
assert not failed, failed
"""


@pytest.mark.slow
@pytest.mark.parametrize(
    "names",
    [(), ("resample", "register"), ("resample", "to_simpleitk"), ("metrics", "register"),
     ("map_blocks", "resample")],
    ids="-".join,
)  # fmt: skip
@pytest.mark.parametrize("seed", range(4))
def test_threads_load_names_at_once(names: tuple[str, ...], seed: int) -> None:
    command = [sys.executable, "-W", "ignore", "-c", SCRIPT, str(seed), *names]
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
