"""A scene in the browser: a server on this machine's loopback interface, of one page and its tiles.

It serves nothing else. It listens on 127.0.0.1 alone, on a port that the system chooses; the path
of every address begins with a random token, so that neither other users of the machine nor pages of
other sites find it; requests with another host name are refused (DNS rebinding), unless a proxy
forwards them. Names in a path are looked up in tables and never in a directory. The page loads
nothing from other hosts. In a notebook the page is displayed in a frame.

=================================================================  =================================
path after the token                                               what is returned
=================================================================  =================================
``/``, ``/viewer.js``, ``/viewer.css``                             the page
``/scene.json``                                                    `Scene.describe`
``/tile/LAYER/PLANE/ZOOM/ROW/COLUMN/DEPTH?smooth=1&fixed=0:5,1:2`` 256 × 256 float32, little-endian;
                                                                   nothing (204) outside the image
=================================================================  =================================
"""

from __future__ import annotations

import hmac
import json
import os
import secrets
import sys
import threading
from functools import cached_property, lru_cache
from html import escape
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.resources import files
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs, urlsplit

import numpy as np

from spatial_duck.viewer._scene import Scene

if TYPE_CHECKING:
    from collections.abc import Callable


__all__ = ["Server"]

_CONTENT_TYPES = {
    "index.html": "text/html; charset=utf-8",
    "viewer.js": "text/javascript; charset=utf-8",
    "viewer.css": "text/css; charset=utf-8",
}
#: Height of the frame in a notebook, in pixels.
_FRAME_HEIGHT = 560
#: Larger tile numbers are refused, so that arithmetic on them is exact.
_MAX_TILE_NUMBER = 2**40
_HEADERS = {
    "Cache-Control": "no-store",
    # Pages that may hold this one in a frame: notebooks on this machine, or behind its proxy.
    "Content-Security-Policy": "default-src 'self'; img-src 'self' data:; frame-ancestors 'self' "
    "http://127.0.0.1:* http://localhost:* vscode-webview:",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


class Server:
    """Serves a scene until it is closed; also a context manager.

    Parameters
    ----------
    scene : Scene
        The scene that is shown.
    proxy : str, optional
        Path at which jupyter-server-proxy forwards to ports of this machine, such as
        ``"/user/me/proxy/"``, for notebooks on another machine. By default that of JupyterHub,
        where this process runs under one.

    Attributes
    ----------
    url : str
        Address to open in a browser on this machine. It holds the token: do not share it.

    Examples
    --------
    >>> import spatial_duck as sd
    >>> from spatial_duck.viewer import Scene
    >>> with Server(Scene([sd.SpatialArray(np.zeros((4, 5)))])) as server:
    ...     server.url.startswith("http://127.0.0.1:")
    True
    """

    def __init__(self, scene: Scene, proxy: str | None = None) -> None:
        self.scene = scene
        hub = os.environ.get("JUPYTERHUB_SERVICE_PREFIX")
        self.proxy = proxy or (f"{hub.rstrip('/')}/proxy/" if hub else None)
        self.token = secrets.token_urlsafe(24)
        self._http = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._http.daemon_threads = True
        self.port: int = self._http.server_address[1]
        self.url = f"http://127.0.0.1:{self.port}/{self.token}/"
        self._thread = threading.Thread(target=self._http.serve_forever, daemon=True)

    def __enter__(self) -> Server:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _repr_html_(self) -> str:
        """Return the page in a frame, by an address that works behind a proxy too."""
        path = f"{self.port}/{self.token}/"
        url = f"{self.proxy.rstrip('/')}/{path}" if self.proxy else self.url
        source = "through jupyter-server-proxy" if self.proxy else "from this machine"
        return (
            f'<iframe src="{escape(url)}" title="spatial_duck" width="100%" '
            f'height="{_FRAME_HEIGHT}" style="border:0" allow="fullscreen"></iframe>'
            f'<div style="font-size:85%">Served '
            f'{source} until it is closed: <a href="{escape(url)}" target="_blank" '
            'rel="noreferrer">open it in a window of its own</a></div>'
        )

    def wait(self) -> None:
        """Serve until the process is interrupted."""
        if not self._thread.is_alive():
            self._thread.start()
        # On some systems a join without a timeout cannot be interrupted by Ctrl-C.
        while self._thread.is_alive():
            self._thread.join(0.5)

    def close(self) -> None:
        """Stop serving."""
        if self._thread.is_alive():
            self._http.shutdown()
            self._thread.join()
        self._http.server_close()

    def answer(self, path: str, query: str) -> tuple[bytes, str]:
        """Return the body and content type for the part of a path after the token.

        Raises
        ------
        LookupError
            If there is no such page, tile or index.
        """
        name = path or "index.html"
        if name in _CONTENT_TYPES:
            return _page(name), _CONTENT_TYPES[name]
        if name == "scene.json":
            return self._scene_json, "application/json"
        kind, *numbers = path.split("/")
        if kind != "tile" or len(numbers) != 6:
            raise LookupError(path)
        return self._tile(numbers, parse_qs(query)), "application/octet-stream"

    @cached_property
    def _scene_json(self) -> bytes:
        return json.dumps(self.scene.describe(), allow_nan=False).encode()

    def _tile(self, numbers: list[str], query: dict[str, list[str]]) -> bytes:
        try:
            layer, plane, zoom, row, column, depth = map(int, numbers)
            text = query.get("fixed", [""])[0]
            pairs = [pair.split(":") for pair in text.split(",") if pair]
            fixed = {int(axis): int(at) for axis, at in pairs}
        except ValueError:
            raise LookupError("not a tile") from None
        scene = self.scene
        known = (
            0 <= layer < len(scene.layers)
            and 0 <= plane < len(scene.planes)
            and 0 <= zoom <= scene.last_zoom
            and max(map(abs, (row, column, depth))) < _MAX_TILE_NUMBER
        )
        if not known:
            raise LookupError("no such tile")
        shape = scene.layers[layer].geometry.shape
        sliders = scene.layers[layer].sliders
        if any(a not in sliders or not 0 <= at < shape[a] for a, at in fixed.items()):
            raise LookupError("no such index")
        smooth = query.get("smooth") == ["1"]
        values = scene.tile(layer, plane, zoom, row, column, depth, fixed=fixed, smooth=smooth)
        return b"" if np.isnan(values).all() else values.astype("<f4").tobytes()


@lru_cache
def _page(name: str) -> bytes:
    return files("spatial_duck.viewer").joinpath("page", name).read_bytes()


def _handler(server: Server) -> Callable[..., BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"  # the connection is kept for the next tile
        server_version = "spatial-duck"
        sys_version = ""
        timeout = 60

        def do_GET(self) -> None:
            try:
                asked = urlsplit(self.path)
            except ValueError:
                self._send(HTTPStatus.BAD_REQUEST, b"that is no address")
                return
            token, _, rest = asked.path.removeprefix("/").partition("/")
            hosts = (f"127.0.0.1:{server.port}", f"localhost:{server.port}")
            known = server.proxy is not None or self.headers.get("Host") in hosts
            if not known or not hmac.compare_digest(
                token.encode("utf-8", "replace"), server.token.encode()
            ):
                self._send(HTTPStatus.FORBIDDEN, b"open the address that spatial-duck printed")
                return
            try:
                body, kind = server.answer(rest, asked.query)
            except LookupError:
                self._send(HTTPStatus.NOT_FOUND, b"there is no such thing")
            except Exception as error:  # a damaged chunk, say: the page shows what is wrong
                sys.stderr.write(f"spatial-duck: {type(error).__name__}: {error}\n")
                text = f"{type(error).__name__}: {error}".encode()
                self._send(HTTPStatus.INTERNAL_SERVER_ERROR, text)
            else:
                self._send(HTTPStatus.OK if body else HTTPStatus.NO_CONTENT, body, kind)

        def _send(self, status: HTTPStatus, body: bytes, kind: str = "text/plain") -> None:
            try:
                self.send_response(status)
                for name, value in _HEADERS.items():
                    self.send_header(name, value)
                if status is not HTTPStatus.NO_CONTENT:
                    self.send_header("Content-Type", kind)
                    self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)
            except (BrokenPipeError, ConnectionResetError):
                self.close_connection = True  # the browser has closed the connection

        def send_error(self, code: int, *_: Any) -> None:
            """Answer a request that is not a valid GET, with the same headers as all answers."""
            self.close_connection = True
            self._send(HTTPStatus(code), HTTPStatus(code).phrase.encode())

        def log_message(self, *_: Any) -> None:
            """Log nothing: the address holds the token."""

    return Handler
