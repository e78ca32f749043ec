"""A headless Chromium that tests talk to over a pipe: clicks, keys and drags as a person makes them."""

from __future__ import annotations

import base64
import itertools
import json
import os
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
_PATIENCE = 60  # seconds


def chromium() -> str:
    """The browser's path; skips the test where there is none."""
    found = next((path for name in _NAMES if (path := shutil.which(name)) is not None), None)
    if found is None:
        pytest.skip(f"no headless browser: none of {', '.join(_NAMES)} is installed (Debian: apt install chromium)")
    return found


class Page:
    """One page of a browser started with ``--remote-debugging-pipe``: JSON messages that end in a zero byte."""

    def __init__(self, write_to: int, read_from: int) -> None:
        self._write_to, self._read_from = write_to, read_from
        self._numbers = itertools.count(1)
        self._received = b""
        self._session: str | None = None
        self.complaints: list[str] = []
        target = self.ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log"):
            self.ask(f"{domain}.enable")

    def ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command of the DevTools protocol and wait for its answer."""
        number = next(self._numbers)
        message = {"id": number, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write_to, json.dumps(message).encode() + b"\0")
        while (answer := self._next()).get("id") != number:
            pass
        assert "error" not in answer, f"{method}: {answer.get('error')}"
        result: dict[str, Any] = answer["result"]
        return result

    def open(self, file: Path) -> None:
        """Load a page and wait until it has loaded."""
        self.ask("Page.navigate", url=file.resolve().as_uri())
        self.until("document.readyState === 'complete' && location.protocol === 'file:'")

    def value(self, expression: str) -> Any:
        """What an expression of JavaScript gives."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, f"{expression}: {answer.get('exceptionDetails')}"
        return answer["result"].get("value")

    def until(self, expression: str) -> None:
        """Wait until an expression is true."""
        deadline = time.monotonic() + _PATIENCE
        while not self.value(expression):
            assert time.monotonic() < deadline, f"not true within {_PATIENCE} s: {expression}"
            time.sleep(0.05)

    def press(self, selector: str, *, at: float = 0.5, drag_to: float | None = None) -> None:
        """Press the mouse on an element, at a share of its width, and let it go there or at another share."""
        found = f"document.querySelector({json.dumps(selector)})"
        self.value(f"{found}.scrollIntoView({{block: 'center', behavior: 'instant'}})")
        x, y, width, height = self.value(f"(b => [b.x, b.y, b.width, b.height])({found}.getBoundingClientRect())")
        places = [x + width * at, x + width * (at if drag_to is None else drag_to)]
        y += height / 2
        button = {"button": "left", "clickCount": 1}
        self.ask("Input.dispatchMouseEvent", type="mousePressed", x=places[0], y=y, **button)
        self.ask("Input.dispatchMouseEvent", type="mouseMoved", x=places[1], y=y, button="left", buttons=1)
        self.ask("Input.dispatchMouseEvent", type="mouseReleased", x=places[1], y=y, **button)

    def key(self, name: str, code: int) -> None:
        """Press a key of the keyboard where the focus is."""
        text = {"text": "\r"} if name == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.ask("Input.dispatchKeyEvent", type=kind, key=name, code=name, windowsVirtualKeyCode=code, **text)

    def look(self, *, width: int, height: int = 900, dark: bool = False, phone: bool = False) -> None:
        """Set the size of the window and whether the person likes it dark."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=1, mobile=phone)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])

    def screenshot(self, file: Path, *, whole: bool = True) -> None:
        """Write a PNG of the page."""
        picture = self.ask("Page.captureScreenshot", format="png", captureBeyondViewport=whole)
        file.write_bytes(base64.b64decode(picture["data"]))

    def _next(self) -> dict[str, Any]:
        deadline = time.monotonic() + _PATIENCE
        while b"\0" not in self._received:
            ready, _, _ = select.select([self._read_from], [], [], max(deadline - time.monotonic(), 0))
            assert ready, f"the browser did not answer within {_PATIENCE} s"
            block = os.read(self._read_from, 1 << 20)
            assert block, "the browser ended"
            self._received += block
        first, _, self._received = self._received.partition(b"\0")
        message: dict[str, Any] = json.loads(first)
        self._listen(message.get("method", ""), message.get("params", {}))
        return message

    def _listen(self, method: str, parameters: dict[str, Any]) -> None:
        """Keep what a person would find in the console."""
        if method == "Runtime.exceptionThrown":
            self.complaints.append(str(parameters["exceptionDetails"]))
        elif method == "Runtime.consoleAPICalled" and parameters["type"] in ("error", "warning", "assert"):
            self.complaints.append(str(parameters["args"]))
        elif method == "Log.entryAdded" and parameters["entry"]["level"] in ("error", "warning"):
            self.complaints.append(parameters["entry"]["text"])


@contextmanager
def browser(profile: Path) -> Iterator[Page]:
    """Start a browser without a network and end it again."""
    program = chromium()
    to_browser, from_here = os.pipe()
    to_here, from_browser = os.pipe()
    flags = ["--headless=new", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage", "--no-first-run"]
    flags += ["--remote-debugging-pipe", "--hide-scrollbars", f"--user-data-dir={profile}"]
    flags += ["--disable-background-networking", "--proxy-server=127.0.0.1:9", "about:blank"]

    # The browser reads commands from descriptor 3 and answers on 4: a small program puts the pipes there.
    start = f"import os, sys; os.dup2({to_browser}, 3); os.dup2({from_browser}, 4); os.execv(sys.argv[1], sys.argv[1:])"
    with (profile.parent / "browser.log").open("wb") as log:
        command = [sys.executable, "-c", start, program, *flags]
        process = subprocess.Popen(command, stdout=log, stderr=log, pass_fds=(to_browser, from_browser))
    os.close(to_browser)
    os.close(from_browser)
    try:
        yield Page(from_here, to_here)
    finally:
        process.terminate()
        process.wait(timeout=30)
        os.close(from_here)
        os.close(to_here)
