"""Open the page in a browser without its address on a command line, which other users can read."""

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
    """Open an address by way of a file that redirects there and that only this user can read.

    Parameters
    ----------
    url : str
        Address of the page, with its token.
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
