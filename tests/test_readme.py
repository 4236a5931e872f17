"""The READMEs are true: their code runs, their commands are there, their links lead somewhere."""

from __future__ import annotations

import doctest
import importlib.util
import re
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from spatial_duck.backends import _registry

if TYPE_CHECKING:
    from types import ModuleType

ROOT = Path(__file__).resolve().parent.parent
READMES = sorted(
    path
    for path in (
        ROOT / "README.md",
        ROOT / "benchmarks" / "README.md",
        *(ROOT / ".github").glob("*.md"),
        *(ROOT / "spatial_duck").rglob("README.md"),
    )
    if path.exists()
)
NAMES = [str(path.relative_to(ROOT)) for path in READMES]
MEASURED = (ROOT / "benchmarks" / "README.md").read_text(encoding="utf-8")


def _blocks(path: Path, language: str) -> list[str]:
    found = re.findall(r"^```(\w+)\n(.*?)^```$", path.read_text("utf-8"), re.MULTILINE | re.DOTALL)
    return [code for name, code in found if name == language]


@pytest.mark.slow
@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_the_code_runs_as_shown(path: Path, tmp_path: Path, monkeypatch: Any) -> None:
    """Each README's blocks in order, in one session and an empty folder."""
    blocks = _blocks(path, "python")
    if not blocks:
        assert path != ROOT / "README.md"
        return
    for package in ("zarr", "dask", "nibabel", "SimpleITK"):
        pytest.importorskip(package, reason=f"needs {package}")
    monkeypatch.chdir(tmp_path)
    for name in ("_registered", "_loaded", "_known"):  # what a README registers ends with it
        monkeypatch.setattr(_registry, name, getattr(_registry, name).copy())
    session: dict[str, Any] = {"__name__": "readme"}
    flags = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
    for code in blocks:
        if ">>>" not in code:
            exec(compile(code, str(path), "exec"), session)  # its own README
            continue
        example = doctest.DocTestParser().get_doctest(code, session, path.name, str(path), 0)
        said: list[str] = []
        doctest.DocTestRunner(optionflags=flags).run(example, out=said.append, clear_globs=False)
        assert not said, "".join(said)
        session.update(example.globs)


def test_the_readme_is_short() -> None:
    """What a newcomer needs; figures are in benchmarks/README.md, details in each folder's own."""
    assert len((ROOT / "README.md").read_bytes()) < 9000


def test_every_folder_is_explained() -> None:
    text = (ROOT / "spatial_duck" / "README.md").read_text(encoding="utf-8")
    folders = [p.name for p in (ROOT / "spatial_duck").iterdir() if (p / "__init__.py").exists()]
    assert not [name for name in folders if f"[{name}](" not in text and f"`{name}`" not in text]
    for module in re.findall(r"`((?:\w+/)+\w+\.py)`", text):
        assert (ROOT / "spatial_duck" / module).exists(), module


def test_the_commands_are_lines_to_copy() -> None:
    """They are what continuous integration takes from here, and need Python and the network."""
    lines = "\n".join(_blocks(ROOT / "README.md", "console")).split("\n")
    demo, tests = [c for c in lines if c.startswith("python3 -m venv .venv && ")]
    assert demo.endswith(".venv/bin/spatial-duck demo --out demo-output")
    assert tests.endswith(".venv/bin/python -m pytest -q -n auto")
    project = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    for command in (demo, tests):
        (extra,) = re.findall(r"'\.\[(\w+)\]'", command)
        assert re.search(rf"^{extra} = \[", project, re.MULTILINE)


def test_the_command_line_is_valid_usage() -> None:
    from spatial_duck.cli._api import _parser

    lines = [
        line
        for path in READMES
        for block in _blocks(path, "console")
        for line in block.split("\n")
        if line.startswith("spatial-duck")
    ]
    assert len(lines) >= 7
    for line in lines:
        _parser().parse_args(shlex.split(line)[1:])


@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_every_link_leads_somewhere(path: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", path.read_text(encoding="utf-8")):
        if "://" in link:
            continue
        file, _, part = link.partition("#")
        target = path.parent / file if file else path
        assert target.exists(), link
        if part:
            titles = re.findall(r"^#+ (.*)$", target.read_text(encoding="utf-8"), re.MULTILINE)
            anchors = {re.sub(r"[^\w -]", "", t).lower().replace(" ", "-") for t in titles}
            assert part in anchors, link


@pytest.mark.parametrize("path", READMES, ids=NAMES)
def test_the_commands_named_are_there(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    for module in re.findall(r"python -m ((?:benchmarks|tests|spatial_duck)[\w.]*)", text):
        place = ROOT.joinpath(*module.split("."))
        assert place.with_suffix(".py").exists() or (place / "__main__.py").exists(), module
    for script in re.findall(r"python ((?:benchmarks|tests|examples)/[\w/]+\.py)", text):
        assert (ROOT / script).exists(), script


def _peers() -> ModuleType:
    spec = importlib.util.spec_from_file_location("peers", ROOT / "examples" / "peers.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


PEERS = _peers()


def _table(first: str) -> list[list[str]]:
    lines = MEASURED.split("\n")
    start = next(i for i, line in enumerate(lines) if line.startswith(f"| | {first}"))
    rows = []
    for line in lines[start:]:
        if not line.startswith("|"):
            break
        rows.append([cell.strip() for cell in line.strip("|").split("|")])
    return [rows[0], *rows[2:]]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")  # the other libraries'
@pytest.mark.parametrize("name", PEERS.PEERS)
def test_the_table_of_peers_is_what_they_do(name: str) -> None:
    peer = PEERS.PEERS[name]
    pytest.importorskip(peer.package, reason=f"needs {name}")
    header, *rows = _table("SpatialArray")
    column = header.index(name)
    shown = {row[0].strip("`"): row[column] for row in rows}
    assert list(shown) == list(PEERS.OPERATIONS)
    if name != "SpatialArray" and PEERS.version(name) not in MEASURED:
        pytest.skip(f"measured with another version than {name} {PEERS.version(name)}")
    assert {op: PEERS.verdict(peer, op) for op in shown} == shown


def test_our_own_column_has_no_exception() -> None:
    header, *rows = _table("SpatialArray")
    assert {row[header.index("SpatialArray")] for row in rows} == {"kept"}
