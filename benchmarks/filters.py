"""The table of ITK's and SimpleITK's filters in benchmarks/README.md.

    python -m benchmarks.filters [--list] [NAME ...]

Each filter that takes one or two images is called natively, on images of its own library, and
through ``spatial_duck.itk`` or ``spatial_duck.sitk``: voxels and geometry must be equal. Those that
are equal run again on a time axis, against each frame alone, and lazily in blocks, against the
whole. Filters run in a process of their own, which is started again where one crashes or takes too
long.
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
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from benchmarks._filter_inputs import SKIPPED, inputs
from benchmarks._filters_in_parts import HALO, in_blocks, in_frames

if TYPE_CHECKING:
    from collections.abc import Callable

README = Path(__file__).with_name("README.md")
MARKS = "<!-- filters -->\n", "<!-- end of filters -->"
LIBRARIES = {"ITK": ("itk", "itk"), "SimpleITK": ("sitk", "SimpleITK")}
#: For one filter, and until a new process has loaded the library.
SECONDS, LOADING = 90, 600
KINDS = {
    "equal": "equal in voxels and geometry",
    "wrong": "**other voxels or geometry**",
    "refused": "**refused by the proxy**",
    "unconverted": "take or give no image of voxels",
    "skipped": "not comparable",
    "arguments": "want other arguments than one or two images",
    "crash": "end the process, or take more than 90 s",
}


#: What became of a filter in frames and in blocks.
PART_KINDS = {
    ("frames", "equal"): "a time axis: each frame equals the result of the frame alone, with its "
    "geometry and time",
    ("frames", "refused"): "a time axis: refused",
    ("frames", "wrong"): "**a time axis: other voxels or geometry**",
    ("blocks", "equal"): f"lazily in blocks with `halo={HALO}`: equal to the whole, to the bit",
    ("blocks", "close"): "in blocks: equal to 1e-4 of the largest value",
    ("blocks", "other"): f"in blocks: other voxels, since they look farther than {HALO} voxels, "
    "or at positions",
    ("blocks", "refused"): "in blocks: refused",
    ("blocks", "wrong"): "**in blocks: another geometry, or computed early**",
}


class Finding(NamedTuple):
    """The result for one filter; frames and blocks are run for those that are equal."""

    name: str
    kind: str
    reason: str = ""
    inputs: str = ""
    frames: tuple[str, str] = ("", "")
    blocks: tuple[str, str] = ("", "")


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
    return "" if g.isclose(wanted.geometry) else "another geometry"


def has_image(value: Any, library: Any) -> bool:
    """Whether there is an image of voxels in a result."""
    if isinstance(value, tuple | list):
        return any(has_image(v, library) for v in value)
    return library.is_native(value)


def natively(library: Any, function: Any, images: list[Any], kwargs: dict[str, Any]) -> Any:
    """Call a library's function on its own images."""
    import spatial_duck as sd

    def there(value: Any) -> Any:
        return library.to_native(value) if isinstance(value, sd.SpatialArray) else value

    return function(*map(there, images), **{key: there(v) for key, v in kwargs.items()})


def from_native(library: Any, value: Any) -> Any:
    """Return a result with its images as SpatialArrays."""
    if isinstance(value, tuple | list):
        return [from_native(library, v) for v in value]
    return library.from_native(value) if library.is_native(value) else value


def examine(module: str, name: str, tell: Callable[[str], None]) -> Finding:
    """Call one filter natively and through its proxy, and tell before which is called."""
    import importlib

    import spatial_duck as sd
    from spatial_duck.interop import _itk, _simpleitk

    library = {"itk": _itk.LIBRARY, "sitk": _simpleitk.LIBRARY}[module]
    native = getattr(
        importlib.import_module(LIBRARIES["ITK" if module == "itk" else "SimpleITK"][1]), name
    )
    last, other = "", ""
    for label, images, kwargs in inputs(module, name):
        tell("natively")
        try:
            wanted = natively(library, native, images, kwargs)
        except Exception as error:
            last = last or _brief(error)
            continue
        mine = [v for v in (*images, *kwargs.values()) if isinstance(v, sd.SpatialArray)]
        if mine and not has_image(wanted, library):
            return Finding(name, "unconverted", f"gives {_words(wanted)}")
        if not mine:
            other = other or f"takes {_words(images[0])}"
            continue
        before = [np.array(image) for image in mine]
        tell("through the proxy")
        try:
            found = getattr(getattr(sd, module), name)(*images, **kwargs)
        except Exception as error:
            return Finding(name, "refused", f"{type(error).__name__}: {_brief(error)}", label)
        if any(not np.array_equal(i, b) for i, b in zip(mine, before, strict=True)):
            return Finding(name, "wrong", "its input was written to", label)
        reason = compare(found, wanted, library)
        if reason == "other voxels" and any(
            compare(
                from_native(library, natively(library, native, images, kwargs)), wanted, library
            )
            for _ in range(3)
        ):
            return Finding(name, "skipped", "natively other values at each call")
        if reason or "complex" in label or "3-D" not in label:
            return Finding(name, "wrong" if reason else "equal", reason, label)
        return Finding(name, "equal", "", label, *in_parts(module, name, label))
    if other:
        return Finding(name, "unconverted", other)
    return Finding(name, "arguments", last)


def in_parts(module: str, name: str, label: str) -> tuple[tuple[str, str], tuple[str, str]]:
    """Run a filter of volumes frame by frame and block by block."""
    import spatial_duck as sd

    run = getattr(getattr(sd, module), name)
    found = []
    for how, shape in ((in_frames, (8, 12, 16)), (in_blocks, (12, 24, 24))):
        given = next(rest for words, *rest in inputs(module, name, shape) if words == label)
        try:
            found.append(how(run, *given))
        except Exception as error:  # of the whole: it wants another size
            found.append(("", _brief(error)))
    return found[0], found[1]


def _words(value: Any) -> str:
    """Return a name for a result that is no image of voxels."""
    if isinstance(value, tuple | list):
        return ", ".join(sorted({_words(v) for v in value}))
    kind = type(value).__name__
    if "LabelMap" in kind or kind == "Image":
        return "a map of label objects"
    return "nothing" if value is None else kind


def _brief(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    brief = next(
        (line for line in lines if "ERROR" in line or "Error" in line), lines[0] if lines else ""
    )
    return re.sub(r"0x[0-9a-f]+|\(?/[^ ]*[/.]\S*", "…", brief)[:160]


def serve(module: str) -> None:
    """Answer names from standard input with findings on standard output."""
    answers = os.fdopen(os.dup(1), "w")
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, 1), os.dup2(nowhere, 2)

    def answer(what: Any) -> None:
        print(json.dumps(what), file=answers, flush=True)

    for line in sys.stdin:
        answer(examine(module, line.strip(), answer))


# --- the table ----------------------------------------------------------------------------------


class Worker:
    """A process that examines filters of one library."""

    def __init__(self, module: str) -> None:
        self.module = module
        self.process: subprocess.Popen[bytes] | None = None

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
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, bufsize=0
            )
        process = self.process
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write(f"{name}\n".encode())
        where, end = "natively", time.monotonic() + seconds
        with selectors.DefaultSelector() as ready:
            ready.register(process.stdout, selectors.EVENT_READ)
            while answered := ready.select(end - time.monotonic()):
                answer = json.loads(process.stdout.readline() or b"null")
                if not isinstance(answer, str):
                    break
                where = answer
        if answered and answer:
            return Finding(*answer)
        self.close()
        verb = "ends the process" if answered else "takes too long"
        return Finding(name, "crash", f"it {verb} {where}")

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
    lines += ["", "Of those that are equal, on volumes:", ""]
    lines += ["| in parts | " + " | ".join(heads) + " |", "| --- " * (len(heads) + 1) + "|"]
    for (part, outcome), words in PART_KINDS.items():
        numbers = [sum(getattr(f, part)[0] == outcome for f in found) for found in results.values()]
        lines.append(f"| {words} | " + " | ".join(map(str, numbers)) + " |")
    for title, found in results.items():
        why = [
            (KINDS[f.kind], f.reason if f.kind != "arguments" else "", f.name)
            for kind in KINDS
            for f in found
            if f.kind == kind != "equal"
        ]
        for (part, outcome), words in PART_KINDS.items():
            if outcome != "equal":
                why += [
                    (words, getattr(f, part)[1], f.name)
                    for f in found
                    if getattr(f, part)[0] == outcome
                ]
        lines += ["", *_details(f"{title}, which and why", why)]
    return "\n".join(lines) + "\n"


def _details(title: str, found: list[tuple[str, str, str]]) -> list[str]:
    """Return a list that a reader opens: names by kind and reason."""
    by_reason: dict[tuple[str, str], list[str]] = defaultdict(list)
    for kind, reason, name in found:
        by_reason[kind, reason].append(name)
    lines = [f"<details><summary>{title}</summary>", ""]
    for (kind, reason), names in by_reason.items():
        words = f"{kind} ({reason})" if reason else kind
        lines.append(f"- {words}: " + ", ".join(f"`{n}`" for n in names))
    return [*lines, "", "</details>"]


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
