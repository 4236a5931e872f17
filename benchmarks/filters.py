"""The table of ITK's and SimpleITK's filters in spatial_duck/interop/README.md.

    python -m benchmarks.filters [--list] [NAME ...]

Each filter that takes one or two images is called natively, on images of its own library, and
through ``spatial_duck.itk`` or ``spatial_duck.sitk``: voxels and place must be the same. Filters
run in a process of their own, which is started again where one crashes or takes too long.
``--list`` prints each that is not equal, and why; names pick some, and write no table.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import queue
import re
import selectors
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from benchmarks._filter_inputs import SKIPPED, inputs
from spatial_duck import interop

README = Path(interop.__file__).with_name("README.md")
MARKS = "<!-- filters -->\n", "<!-- end of filters -->"
LIBRARIES = {"ITK": ("itk", "itk"), "SimpleITK": ("sitk", "SimpleITK")}
#: For one filter, and until a new process has loaded the library.
SECONDS, LOADING = 90, 600
KINDS = {
    "equal": "equal in voxels and place",
    "wrong": "**other voxels or another place**",
    "refused": "**refused by the proxy**",
    "unconverted": "give no image of voxels",
    "skipped": "not comparable",
    "arguments": "want other arguments than one or two images",
    "crash": "end the process, or take more than 90 s, natively or here",
}


class Finding(NamedTuple):
    """What became of one filter."""

    name: str
    kind: str
    reason: str = ""
    inputs: str = ""


# --- in the process of its own ------------------------------------------------------------------


def compare(found: Any, wanted: Any, library: Any) -> str:
    """Return how two results differ, or ""."""
    import spatial_duck as sd

    if isinstance(wanted, tuple | list):
        if not isinstance(found, tuple | list) or len(found) != len(wanted):
            return f"{len(wanted)} results natively, {type(found).__name__} here"
        return next(
            filter(None, [compare(*pair, library) for pair in zip(found, wanted, strict=True)]), ""
        )
    if not library.is_native(wanted):
        same = isinstance(found, type(wanted)) and not isinstance(found, sd.SpatialArray)
        return "" if same else f"{type(found).__name__} in place of {type(wanted).__name__}"
    wanted = library.from_native(wanted)
    if not isinstance(found, sd.SpatialArray):
        return f"{type(found).__name__} in place of an image"
    g = found.geometry.to_world(wanted.world.axes)
    if found.shape != wanted.shape or found.dtype != wanted.dtype:
        return f"{found.dtype}{found.shape} in place of {wanted.dtype}{wanted.shape}"
    if not np.allclose(np.asarray(found), np.asarray(wanted), rtol=1e-5, atol=1e-6, equal_nan=True):
        return "other voxels"
    return "" if g.isclose(wanted.geometry) else "another place"


def has_image(value: Any, library: Any) -> bool:
    """Whether there is an image of voxels in a result."""
    if isinstance(value, tuple | list):
        return any(has_image(v, library) for v in value)
    return library.is_native(value)


def examine(module: str, name: str) -> Finding:
    """Call one filter natively and through its proxy."""
    import importlib

    import spatial_duck as sd
    from spatial_duck.interop import _itk, _simpleitk

    library = {"itk": _itk.LIBRARY, "sitk": _simpleitk.LIBRARY}[module]
    native = getattr(
        importlib.import_module(LIBRARIES["ITK" if module == "itk" else "SimpleITK"][1]), name
    )
    last, other = "", ""
    for label, images, kwargs in inputs(module, name):
        try:
            there = [
                library.to_native(image) if isinstance(image, sd.SpatialArray) else image
                for image in images
            ]
            wanted = native(*there, **kwargs)
        except Exception as error:
            last = last or _brief(error)
            continue
        if not has_image(wanted, library):
            other = other or type(wanted).__name__
            continue
        mine = [image for image in images if isinstance(image, sd.SpatialArray)]
        before = [np.array(image) for image in mine]
        try:
            found = getattr(getattr(sd, module), name)(*images, **kwargs)
        except Exception as error:
            return Finding(name, "refused", f"{type(error).__name__}: {_brief(error)}", label)
        if any(not np.array_equal(i, b) for i, b in zip(mine, before, strict=True)):
            return Finding(name, "wrong", "its input was written to", label)
        reason = compare(found, wanted, library)
        if reason == "other voxels" and compare(library.from_native(native(*there, **kwargs)),
                                                wanted, library):  # fmt: skip
            return Finding(name, "skipped", "natively other values at each call")
        return Finding(name, "wrong" if reason else "equal", reason, label)
    if other:
        return Finding(name, "unconverted", other)
    return Finding(name, "arguments", last)


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    told = next(
        (line for line in lines if "ERROR" in line or "Error" in line), lines[0] if lines else ""
    )
    return re.sub(r"0x[0-9a-f]+|\(?/[^ ]*[/.]\S*", "…", told)[:160]


def serve(module: str) -> None:
    """Answer names from standard input with findings on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1), os.dup2(nowhere, 2)
    for line in sys.stdin:
        print(json.dumps(examine(module, line.strip())), file=answers, flush=True)


# --- the table ----------------------------------------------------------------------------------


class Worker:
    """A process that examines filters of one library."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.process: subprocess.Popen[str] | None = None

    def ask(self, name: str) -> Finding:
        """Examine one filter; the process that fails at it is replaced."""
        seconds = SECONDS
        if self.process is None:
            seconds += LOADING
            command = [
                sys.executable,
                "-W",
                "ignore",
                "-m",
                "benchmarks.filters",
                "--serve",
                self.module,
            ]
            self.process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
            )
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(name + "\n")
        process.stdin.flush()
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            answered = ready.select(seconds)
        line = process.stdout.readline() if answered else ""
        if line:
            return Finding(*json.loads(line))
        self.close()
        return Finding(
            name, "crash", "it takes too long" if not answered else "it ends the process"
        )

    def close(self) -> None:
        """End the process."""
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


def names_of(package: str) -> list[str]:
    """Return the names of a library's filters."""
    import importlib

    from spatial_duck import itk, sitk

    importlib.import_module(package)
    return dir({"itk": itk, "SimpleITK": sitk}[package])


def findings(
    module: str, package: str, only: list[str], jobs: int, kept: Path | None
) -> list[Finding]:
    """Examine the filters of a library; what a file holds already is taken from there."""
    lines = kept.read_text("utf-8").splitlines() if kept and kept.exists() else []
    known = {f.name: f for lib, *rest in map(json.loads, lines) if lib == module
             for f in [Finding(*rest)]}  # fmt: skip
    todo: queue.SimpleQueue[str] = queue.SimpleQueue()
    found: list[Finding] = []
    start = time.monotonic()
    for name in names_of(package):
        if only and not any(o.lower() in name.lower() for o in only):
            continue
        reason = next((why for words, why in SKIPPED.items() if re.search(words, name)), None)
        if reason or name in known:
            found.append(known[name] if name in known else Finding(name, "skipped", reason or ""))
        else:
            todo.put(name)

    def work() -> None:
        worker = Worker(module)
        with contextlib.suppress(queue.Empty):
            while name := todo.get_nowait():
                found.append(one := worker.ask(name))
                if kept:
                    with kept.open("a", encoding="utf-8") as file:
                        file.write(json.dumps([module, *one]) + "\n")
                print(f"{package} {len(found)} {time.monotonic() - start:.0f} s {one.name} "
                      f"{one.kind} {one.reason}", file=sys.stderr)  # fmt: skip
        worker.close()

    threads = [threading.Thread(target=work) for _ in range(jobs)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return sorted(found)


def table(results: dict[str, list[Finding]]) -> str:
    """Return the summary, and the filters that are not equal by reason."""
    heads = [f"{title} {metadata.version(LIBRARIES[title][1])}" for title in results]
    lines = ["| filters | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    counts = [Counter(f.kind for f in found) for found in results.values()]
    lines += [
        f"| {words} | " + " | ".join(str(c[kind]) for c in counts) + " |"
        for kind, words in KINDS.items()
    ]
    total = [str(sum(c.values())) for c in counts]
    lines.append("| all | " + " | ".join(total) + " |")
    for title, found in results.items():
        by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
        for f in found:
            if f.kind in ("wrong", "refused", "unconverted", "skipped", "crash"):
                by_reason[f.kind, f.reason].append(f.name)
        if by_reason:
            lines += ["", f"{title}, why not:", ""]
        order = list(KINDS)
        for (kind, reason), names in sorted(
            by_reason.items(), key=lambda item: (order.index(item[0][0]), -len(item[1]))
        ):
            lines.append(f"- {KINDS[kind]} ({reason}): " + ", ".join(f"`{n}`" for n in names))
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("names", nargs="*", help="parts of names; all by default")
    parser.add_argument("--list", action="store_true", help="print each that is not equal")
    parser.add_argument("--library", choices=LIBRARIES, help="one library alone")
    parser.add_argument("-j", type=int, default=1, help="filters at a time")
    parser.add_argument("--kept", type=Path, help="a file of findings, to go on where one stopped")
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.serve:
        serve(args.serve)
        return
    results = {
        title: findings(module, package, args.names, args.j, args.kept)
        for title, (module, package) in LIBRARIES.items()
        if find_spec(package) and args.library in (None, title)
    }
    made = table(results)
    if args.list or args.names:
        for found in results.values():
            for f in found:
                if f.kind != "equal":
                    print(f"{f.name}: {f.kind}: {f.reason} {f.inputs}")
    print(made)
    if not args.names and len(results) == len(LIBRARIES):
        begin, end = MARKS
        text = README.read_text("utf-8")
        made = re.sub(f"{begin}.*?{end}", lambda _: begin + made + end, text, flags=re.DOTALL)
        README.write_text(made, "utf-8")


if __name__ == "__main__":
    main()
