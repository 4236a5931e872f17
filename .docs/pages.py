"""The pages of the reference: every public name once, with links from where else it is found.

A module is public where its name has no underscore, and its names are those of ``__all__``; that is
what the package promises, so there is no list here to be kept up.
"""

from __future__ import annotations

import importlib
import inspect
import pkgutil
from pathlib import Path
from typing import Any

import gallery

import spatial_duck


def modules() -> list[str]:
    """Return the names of all public modules, the package first."""
    below = pkgutil.iter_modules(spatial_duck.__path__, "spatial_duck.")
    return ["spatial_duck", *sorted(m.name for m in below if "._" not in m.name)]


def directive(owner: Any, name: str) -> str:
    """Return the directive that documents a name of a module."""
    value = getattr(owner, name)
    if inspect.isclass(value):
        return "autoexception" if issubclass(value, BaseException) else "autoclass"
    return "autofunction" if callable(value) else "autodata"


def _heading(text: str, line: str) -> str:
    return f"{text}\n{line * len(text)}\n"


def page(module: str, seen: dict[int, str]) -> str:
    """Return a module's page; names that an earlier page documents (``seen``) are links to it."""
    owner = importlib.import_module(module)
    parts = [_heading(module, "=")]
    if not owner.__all__:  # its names are another library's, with their own reference
        return "\n".join([*parts, f".. py:module:: {module}\n", inspect.getdoc(owner) or "", ""])
    parts.append(f".. automodule:: {module}\n   :no-members:\n")
    elsewhere = []
    for name in owner.__all__:
        value = getattr(owner, name)
        if inspect.ismodule(value):
            elsewhere.append(f"* :doc:`{value.__name__}`")
            continue
        kind = directive(owner, name)
        if kind != "autodata" and id(value) in seen:
            elsewhere.append(f"* `{module}.{name}`: see `{seen[id(value)]}`")
            continue
        seen[id(value)] = f"{module}.{name}"
        options = ["   :members:", "   :undoc-members:"] if kind == "autoclass" else []
        options += ["   :no-value:"] if kind == "autodata" else []
        parts.append("\n".join([f".. {kind}:: {module}.{name}", *options]) + "\n")
    if elsewhere:
        parts.append("\n".join([_heading("Elsewhere", "-"), *elsewhere]) + "\n")
    return "\n".join(parts)


def how_to_page(path: Path) -> str:
    """Return the page of a how-to script: its text is comments, so that it is shown as it is."""
    lines = path.read_text(encoding="utf-8").split("\n")
    title = next(line for line in lines if line.startswith("# # ")).removeprefix("# # ")
    return "\n".join(
        [_heading(title, "="), f".. literalinclude:: ../how_to/{path.name}\n   :language: python\n"]
    )


def gallery_page() -> str:
    """Return the page of those pictures that ``gallery.py`` has made."""
    parts = [_heading("Gallery", "="), "Made by ``python .docs/gallery.py``.\n"]
    for name, title in gallery.titles().items():
        if (gallery.GALLERY / f"{name}.png").exists():
            image = f".. image:: ../_build/gallery/{name}.png\n   :alt: {title}\n"
            parts += [_heading(title, "-"), image, f"From ``{name}.py``.\n"]
    return "\n".join(parts)


def contents(title: str, names: list[str]) -> str:
    """Return a page that lists others."""
    lines = [_heading(title, "="), ".. toctree::", "   :maxdepth: 1", ""]
    return "\n".join([*lines, *(f"   {name}" for name in names), ""])


def all_pages() -> dict[str, str]:
    """Return the text of each page by its name, without writing any."""
    seen: dict[int, str] = {}
    found = {module: page(module, seen) for module in modules()}
    how_to = sorted((Path(__file__).resolve().parent / "how_to").glob("*.py"))
    found |= {f"how_to_{path.stem}": how_to_page(path) for path in how_to}
    found["gallery"] = gallery_page()
    found["modules"] = contents("Reference", modules())
    found["how_to"] = contents("How to", [f"how_to_{path.stem}" for path in how_to])
    return found


def write(folder: Path) -> None:
    """Write the pages; those that have not changed are left, so that a second build is short."""
    folder.mkdir(exist_ok=True)
    for name, text in all_pages().items():
        path = folder / f"{name}.rst"
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
