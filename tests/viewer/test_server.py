"""What the viewer's server hands out, to whom, and that it hands out nothing else."""

from __future__ import annotations

import http.client
import json
import socket
from typing import TYPE_CHECKING

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.viewer import Scene, Server

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    data = np.arange(2 * 30 * 40 * 50, dtype=np.int32).reshape(2, 30, 40, 50)
    image = sd.SpatialArray(data, dims=("t", "z", "y", "x"), frame="LPS", unit="mm")
    with Server(Scene([image], names=("a </script> name",))) as running:
        yield running


def get(
    server: Server, path: str, *, host: str | None = None, method: str = "GET"
) -> tuple[int, bytes, http.client.HTTPMessage]:
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=60)
    try:
        connection.putrequest(method, path, skip_host=True)
        connection.putheader("Host", host or f"127.0.0.1:{server.port}")
        connection.endheaders()
        answer = connection.getresponse()
        return answer.status, answer.read(), answer.headers
    finally:
        connection.close()


def test_the_page_and_the_scene(server: Server) -> None:
    for name in ("", "index.html", "viewer.js", "viewer.css", "scene.json"):
        status, body, headers = get(server, f"/{server.token}/{name}")
        assert status == 200
        assert len(body) == int(headers["Content-Length"]) > 500
        assert "default-src 'self'" in headers["Content-Security-Policy"]
        assert headers["Cache-Control"] == "no-store"
        assert headers["X-Content-Type-Options"] == "nosniff"
    scene = json.loads(get(server, f"/{server.token}/scene.json")[1])
    assert scene["layers"][0]["shape"] == [2, 30, 40, 50]
    assert scene["layers"][0]["sliders"][0]["name"] == "t"
    assert scene["letters"] == [["R", "L"], ["A", "P"], ["S", "I"]]


def test_the_page_loads_nothing_from_elsewhere(server: Server) -> None:
    for name in ("index.html", "viewer.js", "viewer.css"):
        body = get(server, f"/{server.token}/{name}")[1]
        assert b"http:" not in body
        assert b"https:" not in body
        assert b"innerHTML" not in body  # names of files are text, never markup


def test_tiles_are_the_voxels(server: Server) -> None:
    path = f"/{server.token}/tile/0/0/0/0/0/3?fixed=0:1"
    status, body, _ = get(server, path)
    assert status == 200
    found = np.frombuffer(body, "<f4").reshape(256, 256)
    image = server.scene.layers[0].levels[0].image.data
    np.testing.assert_array_equal(found[:40, :50], image[1, 26])  # depth runs to inferior
    assert np.isnan(found[40:]).all()


def test_a_tile_outside_is_empty(server: Server) -> None:
    status, body, _ = get(server, f"/{server.token}/tile/0/0/0/5/5/3")
    assert (status, body) == (204, b"")


@pytest.mark.parametrize(
    "rest",
    [
        "nothing",
        "../server.py",
        "page/index.html",
        "..%2f..%2fetc%2fpasswd",
        "%2e%2e/scene.py",
        "//etc/passwd",
        "tile/0/0/0/0/0",
        "tile/0/0/0/0/0/0/0",
        "tile/1/0/0/0/0/0",
        "tile/-1/0/0/0/0/0",
        "tile/0/3/0/0/0/0",
        "tile/0/0/-1/0/0/0",
        "tile/0/0/99/0/0/0",
        "tile/0/0/0/x/0/0",
        "tile/0/0/0/99999999999999999999/0/0",
        "tile/0/0/0/0/0/0?fixed=1:0",
        "tile/0/0/0/0/0/0?fixed=0:2",
        "tile/0/0/0/0/0/0?fixed=0:-1",
        "tile/0/0/0/0/0/0?fixed=nonsense",
    ],
)
def test_nothing_else_is_there(server: Server, rest: str) -> None:
    status, body, _ = get(server, f"/{server.token}/{rest}")
    assert status == 404
    assert len(body) < 100


@pytest.mark.parametrize("path", ["/", "/scene.json", "//", "/wrong-token/", "/%C3%A9/"])
def test_without_the_token_there_is_nothing(server: Server, path: str) -> None:
    status, body, _ = get(server, path)
    assert status == 403
    assert server.token.encode() not in body


def test_an_address_that_cannot_be_split_gets_an_answer(server: Server) -> None:
    import socket

    with socket.create_connection(("127.0.0.1", server.port), timeout=10) as connection:
        head = f"GET http://[ HTTP/1.1\r\nHost: 127.0.0.1:{server.port}\r\n"
        connection.sendall(f"{head}Connection: close\r\n\r\n".encode())
        assert connection.recv(4096).split()[1] == b"400"


def test_tokens_are_long_and_differ() -> None:
    scene = Scene([sd.SpatialArray(np.zeros((2, 2)))])
    servers = [Server(scene) for _ in range(3)]
    assert len({s.token for s in servers}) == 3
    assert all(len(s.token) >= 32 for s in servers)
    for each in servers:
        each.close()


@pytest.mark.parametrize("host", ["evil.example", "evil.example:80", "127.0.0.1", ""])
def test_other_host_names_are_refused(server: Server, host: str) -> None:
    """A page of another site whose name was made to lead here (DNS rebinding)."""
    assert get(server, f"/{server.token}/", host=host or "x")[0] == 403
    assert get(server, f"/{server.token}/", host=f"localhost:{server.port}")[0] == 200


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "HEAD"])
def test_reading_is_all_that_there_is(server: Server, method: str) -> None:
    assert get(server, f"/{server.token}/", method=method)[0] == 501


def test_it_listens_on_the_loopback_alone(server: Server) -> None:
    assert server._http.server_address[0] == "127.0.0.1"
    outside = {
        info[4][0] for info in socket.getaddrinfo(socket.gethostname(), None, socket.AF_INET)
    } - {"127.0.0.1", "127.0.1.1"}
    for address in outside:
        with pytest.raises(OSError):
            socket.create_connection((str(address), server.port), timeout=2).close()


def test_a_damaged_chunk_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    zarr = pytest.importorskip("zarr", reason="needs zarr")

    class Broken(zarr.storage.MemoryStore):  # type: ignore[misc,name-defined]
        async def get(self, key: str, *args: object, **kwargs: object) -> object:
            if "/c/" in f"/{key}":
                raise OSError("the disk is gone")
            return await super().get(key, *args, **kwargs)

        _supports_sync_io = False

    store = Broken()
    array = zarr.create_array(store, shape=(20, 20), chunks=(5, 5), dtype="u1")
    scene = Scene([sd.SpatialArray(array)], limits=(0, 1))
    with Server(scene) as running:
        status, body, _ = get(running, f"/{running.token}/tile/0/0/0/0/0/0")
        assert status == 500
        assert b"the disk is gone" in body
        assert get(running, f"/{running.token}/")[0] == 200  # and it goes on
    assert "the disk is gone" in capsys.readouterr().err


def test_it_ends() -> None:
    scene = Scene([sd.SpatialArray(np.zeros((2, 2)))])
    with Server(scene) as running:
        port = running.port
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.1", port), timeout=2)


def test_behind_a_proxy_the_frame_is_where_the_proxy_is(monkeypatch: pytest.MonkeyPatch) -> None:
    scene = Scene([sd.SpatialArray(np.zeros((2, 2)))])
    with Server(scene) as server:
        assert f'src="{server.url}"' in server._repr_html_()
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    for given, base in ((None, "/user/me/proxy"), ("/elsewhere/proxy/", "/elsewhere/proxy")):
        with Server(scene, given) as server:
            html = server._repr_html_()
            assert f'src="{base}/{server.port}/{server.token}/"' in html
            # Under the hub's name, and still with the token alone.
            assert get(server, f"/{server.token}/", host="hub.example")[0] == 200
            assert get(server, "/wrong/", host="hub.example")[0] == 403


def test_the_address_is_in_a_file_of_this_user_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    import stat
    import webbrowser
    from pathlib import Path
    from urllib.parse import unquote, urlsplit

    opened: list[str] = []
    monkeypatch.setattr(webbrowser, "open", opened.append)
    server = sd.show(sd.SpatialArray(np.zeros((3, 4))))
    assert server.token not in opened[0]
    page = Path(unquote(urlsplit(opened[0]).path))
    if hasattr(__import__("os"), "geteuid"):
        assert stat.S_IMODE(page.stat().st_mode) == 0o600
    assert server.url in page.read_text()
    server.close()


def test_a_notebook_opens_no_browser(monkeypatch: pytest.MonkeyPatch) -> None:
    import sys
    import types
    import webbrowser

    shell = types.SimpleNamespace(kernel=object())
    fake = types.SimpleNamespace(get_ipython=lambda: shell)
    monkeypatch.setitem(sys.modules, "IPython", fake)
    monkeypatch.setattr(webbrowser, "open", lambda _: pytest.fail("a browser was opened"))
    sd.show(sd.SpatialArray(np.zeros((3, 4)))).close()


def test_a_stack_of_segments_is_one_layer_of_labels() -> None:
    masks = np.zeros((2, 8, 9), np.uint8)
    masks[0, 2:6, 1:4], masks[1, 2:6, 5:8] = 1, 1
    coords = {"segment_number": ("c", [2, 700]), "segment_label": ("c", ["liver", "spleen"]),
              "color": ("c", ["dd8265", ""])}  # fmt: skip
    seg = sd.SpatialArray(masks, dims=("c", "y", "x"), coords=coords)
    server = sd.show(sd.SpatialArray(np.ones((8, 9))), seg, browser=False)
    layer = server.scene.describe()["layers"][1]
    assert (layer["labels"], layer["sliders"]) == (True, [])
    assert layer["names"] == {"2": "liver", "700": "spleen"}
    assert layer["colors"] == {"2": [0xDD, 0x82, 0x65]}
    server.close()
    with pytest.raises(ValueError, match="opacity must be from 0 to 1"):
        sd.show(seg, seg, opacity=2, browser=False)
