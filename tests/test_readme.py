"""The README is true: its code runs, its commands are there, its tables are what is measured."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", README, re.MULTILINE | re.DOTALL)


def test_the_code_runs_as_shown(tmp_path: Path, monkeypatch: Any) -> None:
    """In order, in one session and an empty folder: a newcomer's five minutes."""
    for package in ("zarr", "dask", "nibabel", "SimpleITK"):
        pytest.importorskip(package, reason=f"needs {package}")
    monkeypatch.chdir(tmp_path)
    session: dict[str, Any] = {}
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    blocks = [code for language, code in BLOCKS if language == "python"]
    assert len(blocks) > 6
    for code in blocks:
        if ">>>" not in code:
            exec(compile(code, "README.md", "exec"), session)  # its own README
            continue
        example = doctest.DocTestParser().get_doctest(code, session, "README.md", "README.md", 0)
        said: list[str] = []
        runner = doctest.DocTestRunner(optionflags=flags)
        runner.run(example, out=said.append, clear_globs=False)
        assert not runner.failures, "".join(said)
        session.update(example.globs)


def test_the_commands_are_lines_to_copy() -> None:
    """They are what continuous integration takes from here, and need Python and the network."""
    commands = [
        line for language, code in BLOCKS if language == "console" for line in code.split("\n")
    ]
    setup = [c for c in commands if c.startswith("python3 -m venv .venv && ")]
    demo, tests = setup
    assert demo.endswith(".venv/bin/spatial-duck demo --out demo-output")
    assert tests.endswith(".venv/bin/python -m pytest -q")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for command in setup:
        (extra,) = re.findall(r"'\.\[(\w+)\]'", command)
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


def test_the_command_line_is_valid_usage() -> None:
    from spatial_duck.cli._api import _parser

    lines = [
        line
        for language, code in BLOCKS
        if language == "console"
        for line in code.split("\n")
        if line.startswith("spatial-duck")
    ]
    assert len(lines) >= 7
    for line in lines:
        _parser().parse_args(shlex.split(line)[1:])


def test_every_link_leads_somewhere() -> None:
    links = re.findall(r"\]\(([^)]+)\)", README)
    assert "examples/before-after.png" in links
    for link in links:
        assert (ROOT / link).exists(), link


def test_the_demo_table_names_what_the_demo_does() -> None:
    source = (ROOT / "spatial_duck" / "demo.py").read_text(encoding="utf-8")
    (table,) = [code for language, code in BLOCKS if language == "text"]
    for line in filter(None, table.split("\n")):
        words = line.split("  ")[0]
        # Up to the first number that the demo works out.
        words = re.split(r"(?<= )(?:2|619|1,000|401) ", words)[0].strip()
        assert words in source, line


def _peers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peers", ROOT / "examples" / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PEERS = _peers()


def _table(first: str) -> list[list[str]]:
    lines = README.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| | {first}"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows[0], *rows[2:]]


@pytest.mark.filterwarnings("ignore")  # the other libraries'
@pytest.mark.parametrize("name", PEERS.PEERS)
def test_the_table_of_peers_is_what_they_do(name: str) -> None:
    peer = PEERS.PEERS[name]
    pytest.importorskip(peer.package, reason=f"needs {name}")
    header, *rows = _table("SpatialArray")
    column = header.index(name)
    shown = {row[0].strip("`"): row[column] for row in rows}
    assert list(shown) == list(PEERS.OPERATIONS)
    if name != "SpatialArray" and PEERS.version(name) not in README:
        pytest.skip(f"measured with another version than {name} {PEERS.version(name)}")
    assert {op: PEERS.verdict(peer, op) for op in shown} == shown


def test_our_own_column_has_no_exception() -> None:
    header, *rows = _table("SpatialArray")
    assert {row[header.index("SpatialArray")] for row in rows} == {"kept"}
