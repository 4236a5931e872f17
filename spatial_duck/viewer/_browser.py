"""Open the page in a browser without its address on a command line, which any user can read."""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
import webbrowser
from html import escape
from pathlib import Path

__all__ = ["open_browser"]


def open_browser(url: str) -> None:
    """Open an address by a file that leads there, which only this user can read.

    Parameters
    ----------
    url : str
        With the token that opens the page.
    """
    folder = Path(tempfile.mkdtemp(prefix="spatial_duck-"))  # of mode 0700
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    page = folder / "open.html"
    text = (
        f'<!DOCTYPE html><meta charset="utf-8"><meta http-equiv="refresh" '
        f'content="0; url={escape(url)}"><a href="{escape(url)}">spatial_duck</a>'
    )
    with os.fdopen(os.open(page, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.write(text)
    webbrowser.open(page.as_uri())
