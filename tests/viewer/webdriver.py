"""Headless Chromium, driven by ChromeDriver over the WebDriver protocol (W3C), by urllib alone."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import subprocess
import time
import urllib.error
import urllib.request
from typing import TYPE_CHECKING, Any, Self

if TYPE_CHECKING:
    from pathlib import Path

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
DRIVER = shutil.which("chromedriver")

#: Nothing but the page: no look-ups, updates or first-run pages.
FLAGS = (
    "--headless",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--force-device-scale-factor=1",
)
#: Names of buttons as WebDriver numbers them.
LEFT, MIDDLE, RIGHT = 0, 1, 2


class Browser:
    """One window, closed at the end; a context manager."""

    def __init__(self, folder: Path, size: tuple[int, int] = (1280, 800)) -> None:
        assert CHROMIUM
        assert DRIVER
        self._driver = subprocess.Popen(
            [DRIVER, "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        assert self._driver.stdout
        for line in self._driver.stdout:
            if "started successfully on port" in line:
                port = int(line.split("port")[1].strip(" .\n"))
                break
        else:
            raise RuntimeError("ChromeDriver did not start")
        self._base = f"http://127.0.0.1:{port}"
        args = [*FLAGS, f"--window-size={size[0]},{size[1]}", f"--user-data-dir={folder}"]
        if hasattr(os, "geteuid") and os.geteuid() == 0:
            args.append("--no-sandbox")  # Chromium's sandbox does not run as root
        options = {"binary": CHROMIUM, "args": args}
        session = self._ask("POST", "/session", {
            "capabilities": {"alwaysMatch": {
                "goog:chromeOptions": options, "goog:loggingPrefs": {"browser": "ALL"},
            }}
        })  # fmt: skip
        self._base += f"/session/{session['sessionId']}"

    def _ask(self, method: str, path: str, body: Any = None) -> Any:
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self._base + path, data, method=method)
        try:
            with urllib.request.urlopen(request, timeout=180) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            with error:
                raise RuntimeError(error.read().decode()) from None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        with contextlib.suppress(Exception):
            self._ask("DELETE", "")
        self._driver.terminate()
        self._driver.wait(timeout=60)
        if self._driver.stdout:
            self._driver.stdout.close()

    def open(self, url: str) -> None:
        """Go to an address and wait until it is drawn."""
        self._ask("POST", "/url", {"url": url})
        self.settle()

    def resize(self, width: int, height: int) -> None:
        """Give the page a size in pixels, whatever the window's frame takes."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        command = {"cmd": "Emulation.setDeviceMetricsOverride", "params": size}
        self._ask("POST", "/goog/cdp/execute", command)

    def prefer(self, scheme: str) -> None:
        """Say that the user prefers "light" or "dark" pages."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        command = {"cmd": "Emulation.setEmulatedMedia", "params": {"features": features}}
        self._ask("POST", "/goog/cdp/execute", command)

    def run(self, script: str, *args: Any) -> Any:
        """Run JavaScript; what it returns."""
        return self._ask("POST", "/execute/sync", {"script": script, "args": list(args)})

    def settle(self, timeout: float = 90) -> None:
        """Wait until no tile is on its way and the next frame is drawn."""
        end = time.monotonic() + timeout
        quiet = 0
        while quiet < 3:
            waiting = self.run("return document.body.dataset.waiting")
            quiet = quiet + 1 if waiting == "0" else 0
            if time.monotonic() > end:
                raise TimeoutError(f"tiles are still on their way: {waiting}")
            time.sleep(0.04)

    def mouse(
        self, *points: tuple[float, float], button: int = LEFT, key: str | None = None
    ) -> None:
        """Press at the first point, drag through the others, let go; `key` is held down."""
        moves: list[dict[str, Any]] = []
        for k, (x, y) in enumerate(points):
            moves.append({"type": "pointerMove", "x": round(x), "y": round(y), "duration": 20})
            if k == 0:
                moves.append({"type": "pointerDown", "button": button})
        moves.append({"type": "pointerUp", "button": button})
        self._act([{"type": "pointer", "id": "mouse", "actions": moves}], key)

    def wheel(self, x: float, y: float, delta: int, key: str | None = None) -> None:
        """Turn the wheel over a point."""
        act = {"type": "scroll", "x": round(x), "y": round(y), "deltaX": 0, "deltaY": delta}
        self._act([{"type": "wheel", "id": "wheel", "actions": [act]}], key)

    def press(self, key: str) -> None:
        """Press a key."""
        self._act([], key)

    def _act(self, sources: list[dict[str, Any]], key: str | None) -> None:
        if key:
            longest = max([len(s["actions"]) for s in sources], default=1)
            pause = [{"type": "pause"}] * longest
            keys = [{"type": "keyDown", "value": key}, *pause, {"type": "keyUp", "value": key}]
            for source in sources:
                source["actions"].insert(0, {"type": "pause"})
            sources = [{"type": "key", "id": "keys", "actions": keys}, *sources]
        self._ask("POST", "/actions", {"actions": sources})
        self.settle()

    def picture(self, path: Path) -> Path:
        """Write a screenshot."""
        path.write_bytes(base64.b64decode(self._ask("GET", "/screenshot")))
        return path

    def complaints(self) -> list[str]:
        """Return what the browser's console says of errors."""
        return [
            entry["message"]
            for entry in self._ask("POST", "/se/log", {"type": "browser"})
            if entry["level"] == "SEVERE"
        ]
