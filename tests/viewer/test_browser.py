"""The page itself, in headless Chromium: what it shows, what it asks for, and its pictures.

Screenshots are left in the folder that ``$SPATIAL_DUCK_SCREENSHOTS`` names, if it is set.
"""

from __future__ import annotations

import contextlib
import http.server
import os
import socket
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import spatial_duck as sd
from spatial_duck.viewer import Scene, Server, open_levels
from tests.viewer import webdriver
from tests.viewer.test_scene import OBLIQUE, huge

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.skipif(
    not (webdriver.CHROMIUM and webdriver.DRIVER), reason="needs chromium and chromedriver"
)

CONTROL, SHIFT, PAGE_DOWN, LEFT = "\ue009", "\ue008", "\ue00f", "\ue012"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[webdriver.Browser]:
    with webdriver.Browser(tmp_path_factory.mktemp("chromium")) as found:
        yield found


@pytest.fixture
def shown(
    browser: webdriver.Browser, tmp_path: Path, request: pytest.FixtureRequest
) -> Iterator[Callable[[Scene], Server]]:
    """Show a scene; at the end a picture is taken, and the console must have nothing to say."""
    servers = []

    def show(scene: Scene) -> Server:
        server = Server(scene).__enter__()
        servers.append(server)
        browser.resize(1280, 800)
        browser.prefer("dark")
        browser.open(server.url)
        return server

    yield show
    if not servers:
        return
    folder = Path(os.environ.get("SPATIAL_DUCK_SCREENSHOTS", tmp_path))
    picture = browser.picture(folder / f"{request.node.name}.png")
    complaints = browser.complaints()
    for server in servers:
        server.close()
    assert picture.stat().st_size > 10_000
    assert not complaints


def ball() -> sd.SpatialArray:
    """Return an oblique volume: a bright ball of 20 mm about (10, 20, 30), in a ramp along x."""
    geometry = sd.Geometry(
        (50, 80, 90), spacing=(2, 1, 1), direction=OBLIQUE, frame="LPS", unit="mm"
    )
    middle = geometry.index_to_physical((np.array(geometry.shape) - 1) / 2)
    geometry = geometry.replace(origin=np.array([30, 20, 10]) - middle)
    z, y, x = np.moveaxis(
        geometry.index_to_physical(np.moveaxis(np.indices(geometry.shape), 0, -1)), -1, 0
    )
    inside = (x - 10) ** 2 + (y - 20) ** 2 + (z - 30) ** 2 < 20**2
    return sd.SpatialArray(np.where(inside, 200, x + 60).astype(np.float32), geometry)


def pixels(browser: webdriver.Browser, plane: int, *points: tuple[float, float]) -> list[Any]:
    """Return RGBA at fractions of a plane's canvas."""
    return browser.run(
        "const canvas = panes[arguments[0]].canvas, context = canvas.getContext('2d');"
        "return arguments[1].map(([x, y]) => [...context.getImageData("
        "Math.round(x * canvas.width), Math.round(y * canvas.height), 1, 1).data]);",
        plane,
        points,
    )


def centre(browser: webdriver.Browser, plane: int) -> tuple[float, float]:
    box = browser.run(
        "const b = panes[arguments[0]].node.getBoundingClientRect();"
        "return [b.x + b.width / 2, b.y + b.height / 2]",
        plane,
    )
    return box[0], box[1]


def position(browser: webdriver.Browser) -> list[float]:
    return browser.run("return toWorld(state.cross3)")


def test_three_planes_of_an_oblique_volume(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    shown(Scene([ball()], names=("ball.nrrd",)))
    assert browser.run("return document.title") == "ball.nrrd"
    names = browser.run("return [...document.querySelectorAll('.name')].map((n) => n.textContent)")
    assert names == ["Axial", "Coronal", "Sagittal"]
    # A ball is a disc in every plane, though the volume is oblique: bright at 15 mm, dark at 25.
    browser.run("state.cross = false; redraw();")
    browser.settle()
    for plane in range(3):
        step = browser.run(
            "const p = panes[arguments[0]]; return [1 / worldPerDot() / p.canvas.width,"
            " 1 / worldPerDot() / p.canvas.height]",
            plane,
        )
        around = [(np.cos(a), np.sin(a)) for a in np.linspace(0, 2 * np.pi, 8, endpoint=False)]
        near, far = ([(0.5 + r * c * step[0], 0.5 + r * s * step[1]) for c, s in around]
                     for r in (17, 24))  # fmt: skip
        assert all(p[0] == 255 for p in pixels(browser, plane, *near))
        assert all(p[0] < 200 for p in pixels(browser, plane, *far))
    browser.run("state.cross = true; redraw();")


def test_crosshair_wheel_and_keys_move_all_planes(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    shown(Scene([ball()]))
    start = position(browser)
    np.testing.assert_allclose(start, [30, 20, 10])  # z, y, x as the image's world has them
    x, y = centre(browser, 0)
    per_dot = browser.run("return state.size")
    browser.mouse((x + 40, y - 25))
    moved = position(browser)
    # To the right of the axial plane is left in the body, up is anterior; x and y of LPS.
    np.testing.assert_allclose(
        np.subtract(moved, start), [0, -25 * per_dot, 40 * per_dot], atol=per_dot
    )
    shown_text = browser.run("return document.getElementById('position').textContent")
    assert f"{moved[2]:.1f} mm" in shown_text
    browser.wheel(x, y, 100)
    assert position(browser)[0] < moved[0]  # down through the axial planes is to inferior
    np.testing.assert_allclose(position(browser)[1:], moved[1:])
    before = position(browser)
    browser.press(PAGE_DOWN)
    assert position(browser)[0] < before[0]
    browser.press(LEFT)
    assert position(browser)[2] < before[2]
    # The crosshair stays in the image.
    browser.mouse((x, y), (x + 300, y))
    assert browser.run(
        "return state.cross3.every((v, k) => scene.low[k] <= v && v < scene.high[k])"
    )


def test_zoom_pan_and_window(browser: webdriver.Browser, shown: Callable[[Scene], Server]) -> None:
    shown(Scene([ball()]))
    x, y = centre(browser, 0)
    size = browser.run("return state.size")
    under = browser.run("return toView(panes[0], [50, 60])")
    box = browser.run("const b = panes[0].node.getBoundingClientRect(); return [b.x, b.y]")
    browser.wheel(box[0] + 50, box[1] + 60, -150, CONTROL)
    assert browser.run("return state.size") < size / 1.4
    # What is under the pointer stays there.
    np.testing.assert_allclose(browser.run("return toView(panes[0], [50, 60])"), under, atol=1e-6)
    middle = browser.run("return state.center")
    browser.mouse((x, y), (x + 30, y + 10), key=SHIFT)
    per_dot = browser.run("return state.size")
    np.testing.assert_allclose(
        browser.run("return state.center"),
        np.subtract(middle, [30 * per_dot, 10 * per_dot, 0]),
        atol=per_dot / 2,
    )
    browser.press("r")
    np.testing.assert_allclose(browser.run("return state.size"), size)
    look = browser.run("return scene.layers[0].look")
    browser.mouse((x, y), (x + 60, y), button=webdriver.RIGHT)
    wider = browser.run("return scene.layers[0].look")
    assert wider["high"] - wider["low"] > 1.1 * (look["high"] - look["low"])
    asked = browser.run("return performance.getEntriesByType('resource').length")
    browser.run("document.querySelector('#layers button').click()")
    browser.settle()
    back = browser.run("return scene.layers[0].look")
    assert (back["low"], back["high"]) == (look["low"], look["high"])
    # Window and level change what is drawn, and ask for nothing.
    assert browser.run("return performance.getEntriesByType('resource').length") == asked


def test_overlay_and_sliders(browser: webdriver.Browser, shown: Callable[[Scene], Server]) -> None:
    one = ball()
    data = np.stack([one.data, one.data[::-1], one.data * 0])
    image = sd.SpatialArray(data, sd.Geometry(
        data.shape, spacing=(3, *one.spacing), origin=(0, *one.origin), dims=("t", "z", "y", "x"),
        world=sd.World(("t", "z", "y", "x"), ("s", "mm", "mm", "mm"), "LPS"),
        direction=np.block([[np.eye(1), np.zeros((1, 3))], [np.zeros((3, 1)), np.array(OBLIQUE)]]),
    ))  # fmt: skip
    labels = sd.SpatialArray(
        (np.indices((8, 8, 8)) // 4).sum(0).astype(np.uint8), spacing=5, origin=(12.5, 2.5, -7.5),
        frame="LPS", unit="mm",
    )  # fmt: skip
    shown(Scene([image], [labels], names=("fmri.nii.gz", "labels.nrrd")))
    assert browser.run("return scene.layers[1].look.map") == "labels"
    row = browser.run("return document.querySelector('[aria-label=t]').closest('p').textContent")
    assert row == "t▶3 s"
    browser.run("const t = document.querySelector('[aria-label=t]'); t.value = 2;"
                "t.dispatchEvent(new Event('input'));")  # fmt: skip
    browser.settle()
    assert browser.run("return scene.layers[0].node.value.textContent") == "0"
    # The overlay's colours are there where the image is black, and not outside of the overlay.
    inside, outside = pixels(browser, 0, (0.48, 0.48), (0.53, 0.1))
    assert max(inside[:3]) - min(inside[:3]) > 30
    assert max(outside[:3]) - min(outside[:3]) <= 5
    browser.run("const t = document.querySelector('[aria-label=t]'); t.value = 0;"
                "t.dispatchEvent(new Event('input'));")  # fmt: skip
    browser.settle()


def test_a_huge_pyramid_is_read_tile_by_tile(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    levels, store = huge()
    shown(Scene(levels, names=("10¹² voxels",)))
    overview = len(store.chunks_read)
    assert overview < 200
    assert not [key for key in store.chunks_read if key.startswith(("0/", "1/"))]
    store.chunks_read.clear()
    browser.run("state.size = scene.pixel; redraw();")  # one voxel, one pixel
    browser.settle()
    finest = [key for key in store.chunks_read if key.startswith("0/")]
    dots = browser.run("return panes.reduce((n, p) => n + p.canvas.width * p.canvas.height, 0)")
    # Planes of 64 × 64 chunks with a border of one tile of 256 × 256 around each.
    assert 0 < len(finest) < 3 * dots / 64**2
    browser.run("fit()")
    browser.settle()


def test_a_picture_in_two_dimensions(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    y, x = np.indices((300, 500))
    image = sd.SpatialArray(np.hypot(y - 150, x - 250) % 40, spacing=0.5, unit="um")
    shown(Scene([image], names=("rings.tif",)))
    assert browser.run("return panes.length") == 1
    x0, y0 = centre(browser, 0)
    size = browser.run("return state.size")
    browser.wheel(x0, y0, -100)  # there is no depth: the wheel zooms
    assert browser.run("return state.size") < size
    browser.run("fit()")
    browser.settle()


def test_real_images(
    browser: webdriver.Browser,
    shown: Callable[[Scene], Server],
    data_file: Callable[[str], Path],
) -> None:
    scan = open_levels(data_file("metaimage/3DCT_lung_baseline_small.mha"))
    mask = open_levels(data_file("metaimage/3DCT_lung_baseline_mask.mha"))
    shown(Scene(scan, mask, names=("lung.mha", "mask.mha")))
    assert browser.run("return scene.layers[1].node.value.textContent") == "1"


def layered() -> Scene:
    image = ball()
    blobs = np.zeros(image.shape, np.int32)
    blobs[10:40, 20:60, 20:45], blobs[10:40, 20:60, 45:70] = 3, 70000
    table = [
        {"label": 3, "name": "left lobe", "color": "10e020"},
        {"label": 70000, "name": "right"},
    ]
    labels = image.replace(blobs, attrs={"segments": table})
    heat = image.replace(np.exp(-((image.data - 100) ** 2) / 2000))
    return Scene([image], [labels], [heat], names=("scan", "labels", "heat"), opacity=[1, 0.3])


def test_layers_are_shown_hidden_and_moved(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    shown(layered())
    spots = [(0.42, 0.45), (0.58, 0.45)]
    heading = "return [...document.querySelectorAll('#layers h2 label')].map((n) => n.textContent)"
    assert [h.strip() for h in browser.run(heading)] == ["heat", "labels", "scan"]
    browser.run("document.querySelector('[aria-label=\"show heat\"]').click()")
    browser.settle()
    (red, green, blue, _), other = pixels(browser, 0, *spots)
    assert {(red, green, blue), tuple(other[:3])} & {(0x10, 0xE0, 0x20)}
    assert browser.run("return scene.layers[1].names[3]") == "left lobe"
    value = browser.run("return scene.layers[1].node.value.textContent")
    assert value in ("3 left lobe", "70000 right")
    # Under the image, which hides it.
    browser.run("document.querySelector('[aria-label=\"move labels down\"]').click()")
    browser.settle()
    assert [h.strip() for h in browser.run(heading)] == ["heat", "scan", "labels"]
    for red, green, blue, _ in pixels(browser, 0, *spots):
        assert max(red, green, blue) - min(red, green, blue) <= 5 or red >= green >= blue
    browser.run("document.querySelector('[aria-label=\"move labels up\"]').click()")
    browser.press("s")
    assert browser.run("return state.order.map((l) => l.look.visible)") == [True, False, True]
    browser.press("s")
    browser.press("a")
    assert browser.run("return scene.layers[1].look.opacity") == pytest.approx(0.9)


def test_keys_as_other_viewers_have_them(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    shown(Scene([ball()]))
    x, y = centre(browser, 0)
    browser.mouse((x + 30, y))
    browser.press("c")
    np.testing.assert_allclose(*browser.run("return [state.center, state.cross3]"))
    browser.press("x")
    assert browser.run("return state.cross") is False
    browser.press("x")
    browser.press("i")
    assert browser.run("return state.smooth") is True
    browser.press("i")
    browser.press("v")
    assert browser.run("return panes.map((p) => p.node.hidden)") == [False, True, True]
    browser.press("v")
    assert browser.run("return panes.map((p) => p.node.hidden)") == [False, False, False]
    browser.press("?")
    assert browser.run("return document.getElementById('help').open") is True
    # A number that is typed is not taken for keys.
    browser.run("document.querySelector('[aria-label=black]').focus()")
    browser.press("x")
    assert browser.run("return state.cross") is True
    browser.run("document.activeElement.blur()")


def test_time_is_played(browser: webdriver.Browser, shown: Callable[[Scene], Server]) -> None:
    one = ball()
    data = np.stack([np.roll(one.data, 4 * k, 1) for k in range(5)])
    g = one.geometry
    image = sd.SpatialArray(
        data, dims=("t", "z", "y", "x"), spacing={"t": 2.5, "z": 2, "y": 1, "x": 1},
        frame="LPS", unit={"t": "s", "z": "mm", "y": "mm", "x": "mm"},
    )  # fmt: skip
    assert g.ndim == 3
    shown(Scene([image]))
    at = "return scene.layers[0].sliders[0].at"
    assert browser.run(at) == 2
    browser.press(".")
    assert browser.run(at) == 3
    browser.press(",")
    browser.run("play()")
    seen: set[int] = set()
    end = time.monotonic() + 30  # a busy machine may miss a time, which comes again
    while len(seen) < 5 and time.monotonic() < end:
        seen.add(browser.run(at))
    browser.run("play()")
    browser.settle()
    assert len(seen) == 5
    assert browser.run("return document.querySelector('.play').textContent") == "▶"


def test_a_picture_of_all_planes_is_saved(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    shown(Scene([ball()], names=("../a <b>.nii",)))
    size, colors = browser.run(
        "const sheet = screenshot(), box = document.getElementById('planes')"
        ".getBoundingClientRect(), c = sheet.getContext('2d');"
        "const seen = c.getImageData(0, 0, sheet.width, sheet.height).data;"
        "return [[sheet.width, sheet.height, Math.round(box.width), Math.round(box.height)],"
        "new Set(seen).size]"
    )
    assert size[:2] == size[2:]
    assert colors > 50
    name = browser.run(
        "let name; HTMLAnchorElement.prototype.click = function () { name = this.download; };"
        "return new Promise((done) => { saveScreenshot(); setTimeout(() => done(name), 800); })"
    )
    assert name == ".._a_b_.nii.png"


@pytest.mark.parametrize("size", [(1280, 720), (1920, 1080), (500, 900)], ids=lambda s: f"{s[0]}")
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_page_fits_windows_of_every_size(
    browser: webdriver.Browser,
    shown: Callable[[Scene], Server],
    size: tuple[int, int],
    scheme: str,
) -> None:
    shown(layered())
    browser.prefer(scheme)
    browser.resize(*size)
    browser.run("fit()")
    browser.settle()
    wide, boxes, dark = browser.run(
        "return [document.documentElement.scrollWidth, panes.map((p) => {"
        "const b = p.node.getBoundingClientRect(); return [b.width, b.height]; }),"
        "getComputedStyle(document.body).colorScheme]"
    )
    assert wide <= size[0]
    assert np.min(boxes) > 120
    assert dark == scheme


def test_numbers_fit_their_fields(
    browser: webdriver.Browser, shown: Callable[[Scene], Server]
) -> None:
    shown(layered())
    browser.resize(1280, 720)
    fields = browser.run(
        "return [...document.querySelectorAll('input[type=number]')].filter((f) => f.offsetWidth)"
        ".map((f) => [f.scrollWidth, f.clientWidth, f.value])"
    )
    assert fields
    assert all(needed <= given for needed, given, _ in fields), fields


class Proxied(http.server.BaseHTTPRequestHandler):
    """A hub on another name, which forwards what comes under ``/user/me/proxy/PORT/``."""

    page = b""

    def do_GET(self) -> None:
        body, headers, status = self.page, {"Content-Type": "text/html; charset=utf-8"}, 200
        if self.path.startswith("/user/me/proxy/"):
            address = self.path.removeprefix("/user/me/proxy/")
            try:
                with urllib.request.urlopen(f"http://127.0.0.1:{address}") as answer:
                    body, headers, status = answer.read(), dict(answer.headers), answer.status
            except urllib.error.HTTPError as error:
                with error:
                    body, headers, status = error.read(), {}, error.code
        self.send_response(status)
        for name, value in headers.items():
            if name not in ("Server", "Date", "Connection"):
                self.send_header(name, value)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        """Say nothing."""


@contextlib.contextmanager
def prefixed_hub(page: bytes) -> Iterator[str]:
    handler = type("Handler", (Proxied,), {"page": page})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as hub:
        threading.Thread(target=hub.serve_forever, daemon=True).start()
        yield f"http://localhost:{hub.server_address[1]}/user/me/lab"
        hub.shutdown()


@contextlib.contextmanager
def jupyter_server(page: bytes) -> Iterator[str]:
    """Run jupyter-server with jupyter-server-proxy under a prefix, as JupyterHub does."""
    pytest.importorskip("jupyter_server_proxy", reason="needs jupyter-server-proxy")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [
        sys.executable, "-m", "jupyter_server", f"--ServerApp.port={port}",
        "--ServerApp.base_url=/user/me/", "--IdentityProvider.token=", "--ServerApp.ip=127.0.0.1",
        "--ServerApp.open_browser=False", "--ServerApp.allow_root=True",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        url = f"http://localhost:{port}/user/me/"
        for _ in range(300):
            with contextlib.suppress(OSError):
                urllib.request.urlopen(url + "api/status").close()
                break
            time.sleep(0.2)
        yield url + "no-such-page"  # a page of its own, with its own headers
    finally:
        process.terminate()
        process.wait()


@pytest.mark.slow
@pytest.mark.parametrize("hub", [prefixed_hub, jupyter_server], ids=lambda h: h.__name__)
def test_a_hub_shows_the_page_in_a_frame(
    browser: webdriver.Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, hub: Any
) -> None:
    """Through its proxy alone: the address of the frame holds no other host."""
    monkeypatch.setenv("JUPYTERHUB_SERVICE_PREFIX", "/user/me/")
    with Server(Scene([ball()])) as server:
        html = server._repr_html_()
        assert "127.0.0.1" not in html
        with hub(f"<!DOCTYPE html><body>{html}".encode()) as url:
            browser._ask("POST", "/url", {"url": url})
            browser.run("document.body.innerHTML = arguments[0]", html)
            frame = browser._ask("POST", "/element", {"using": "css selector", "value": "iframe"})
            browser._ask("POST", "/frame", {"id": frame})
            browser.settle()
            assert browser.run("return panes.length") == 3
            assert browser.run("return location.pathname").startswith("/user/me/proxy/")
            browser._ask("POST", "/frame", {"id": None})
            folder = Path(os.environ.get("SPATIAL_DUCK_SCREENSHOTS", tmp_path))
            browser.picture(folder / f"{hub.__name__}.png")
            browser._ask("POST", "/url", {"url": "about:blank"})
    browser.complaints()  # those of the hub's own page are the hub's


def test_a_notebook_shows_the_page_in_a_frame(
    browser: webdriver.Browser, shown: Callable[[Scene], Server], tmp_path: Path
) -> None:
    """As a page of another server on this machine holds it."""
    with Server(Scene([ball()])) as server:
        page = f"<!DOCTYPE html><body>{server._repr_html_()}".encode()

        class Notebook(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                self.send_response(200)
                self.send_header("Content-Type", "text/html; charset=utf-8")
                self.end_headers()
                self.wfile.write(page)

            def log_message(self, *_: Any) -> None:
                """Say nothing."""

        with http.server.HTTPServer(("127.0.0.1", 0), Notebook) as notebook:
            threading.Thread(target=notebook.serve_forever, daemon=True).start()
            browser._ask("POST", "/url", {"url": f"http://127.0.0.1:{notebook.server_address[1]}/"})
            frame = browser._ask("POST", "/element", {"using": "css selector", "value": "iframe"})
            browser._ask("POST", "/frame", {"id": frame})
            browser.settle()
            assert browser.run("return panes.length") == 3
            browser._ask("POST", "/frame", {"id": None})
            folder = Path(os.environ.get("SPATIAL_DUCK_SCREENSHOTS", tmp_path))
            browser.picture(folder / "notebook.png")
            notebook.shutdown()
