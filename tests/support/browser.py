"""A running viewer and a headless Chromium that looks at it."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[2]
SECONDS = 120
_DEEP = """
const find = (root, selector) => {
  const here = root.querySelector(selector);
  if (here) return here;
  for (const one of root.querySelectorAll('*')) {
    const found = one.shadowRoot && find(one.shadowRoot, selector);
    if (found) return found;
  }
  return null;
};
const found = find(document, arguments[0]);
"""
_START = "from monai_cxr.cli import main; main()"


class Viewer:
    """``monai-cxr view`` in a process of its own, which ends with the block."""

    def __init__(self, arguments: Sequence[str], folder: Path, port: int = 0) -> None:
        self.log = folder / "viewer.log"
        command = [sys.executable, "-c", _START, "view", *arguments]
        command += ["--store", str(folder / "reviews.sqlite"), "--port", str(port), "--headless"]
        with self.log.open("wb") as log:
            self.process = subprocess.Popen(
                command, stdout=log, stderr=log, cwd=folder,
                env={**os.environ, "PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"},
            )  # fmt: skip
        try:
            self.url = self._wait()
        except BaseException:
            self.stop()
            raise

    def _wait(self) -> str:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            text = self.log.read_text(errors="replace")
            lines = [line for line in text.splitlines() if line.startswith("Viewer: ")]
            if self.process.poll() is not None:
                raise AssertionError(f"The viewer stopped: {text}")
            if lines:
                url = lines[0].split()[1]
                try:
                    with urllib.request.urlopen(f"{url}/cxr/health", timeout=5) as answer:
                        if json.load(answer)["status"] == "ok":
                            return url
                except OSError:
                    pass
            time.sleep(0.2)
        raise AssertionError(f"The viewer did not answer: {self.log.read_text(errors='replace')}")

    def __enter__(self) -> Viewer:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    def stop(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()


class Browser:
    """A page in Chromium, closed with the block; it sees shadow roots and waits for what comes."""

    def __init__(
        self, url: str, size: tuple[int, int] = (1500, 1000), *, log: bool = False
    ) -> None:
        from selenium import webdriver
        from selenium.webdriver.chrome.service import Service

        options = webdriver.ChromeOptions()
        options.binary_location = str(chromium())
        for flag in ("--headless", "--no-sandbox", "--disable-gpu", "--disable-dev-shm-usage",
                     "--disable-background-networking", f"--window-size={size[0]},{size[1]}",
                     "--force-device-scale-factor=1", "--force-color-profile=srgb"):  # fmt: skip
            options.add_argument(flag)
        if log:
            options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
        service = Service(shutil.which("chromedriver"))
        self.driver = webdriver.Chrome(options=options, service=service)
        self.driver.set_page_load_timeout(SECONDS)
        self.driver.set_script_timeout(SECONDS)
        self.url = url

    def __enter__(self) -> Browser:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def open(self, path: str = "/") -> None:
        self.driver.get(self.url + path)

    def run(self, script: str, selector: str, *values: Any) -> Any:
        """Run a script that sees the element as ``found``."""
        return self.driver.execute_script(_DEEP + script, selector, *values)

    def attribute(self, selector: str, name: str) -> str | None:
        return self.run("return found && found.getAttribute(arguments[1]);", selector, name)

    def text(self, selector: str) -> str:
        return self.run("return found ? found.textContent : '';", selector)

    def rect(self, selector: str) -> dict[str, float]:
        """Place and size of an element in pixels; of one that is not there, a height of 0."""
        return self.run(
            "return found ? found.getBoundingClientRect().toJSON() : {height: 0};", selector
        )

    def n_of_color(self, selector: str, color: int) -> int:
        """Pixels of a canvas that have a colour, 0xRRGGBB."""
        return self.run(
            "const d = found.getContext('2d').getImageData(0, 0, found.width, found.height).data;"
            "let n = 0; for (let i = 0; i < d.length; i += 4)"
            " n += d[i] * 65536 + d[i + 1] * 256 + d[i + 2] === arguments[1]; return n;",
            selector,
            color,
        )

    def keys(self, *keys: str) -> None:
        from selenium.webdriver.common.action_chains import ActionChains

        ActionChains(self.driver).send_keys(*keys).perform()

    def until(self, condition: Callable[[], Any], what: str) -> Any:
        deadline = time.monotonic() + SECONDS
        while time.monotonic() < deadline:
            value = condition()
            if value:
                return value
            time.sleep(0.1)
        page = self.driver.execute_script("return document.body.innerText")[:600]
        raise AssertionError(f"Waited for {what}; the page says: {page}")

    def until_rows(self, n: int) -> None:
        self.until(lambda: int(self.attribute(".worklist", "data-rows") or -1) >= n, f"{n} studies")

    def until_analysed(self, n: int) -> None:
        """Wait for studies, and until none waits for the model."""
        self.until_rows(n)
        self.until(lambda: self.text(".chip:nth-child(4) b") == "0", "the analysis")

    def until_painted(self) -> str:
        return self.until(lambda: self.attribute(".pane", "data-painted"), "a film")

    def case(self) -> str | None:
        return self.attribute(".desk", "data-case")

    def canvas(self) -> dict[str, Any]:
        """Size of the film's canvas and its gray values, row by row."""
        return self.run(
            "const c = found; const d = c.getContext('2d').getImageData(0,0,c.width,c.height).data;"
            "const g = new Array(c.width * c.height);"
            "for (let i = 0; i < g.length; i += 1) g[i] = d[4 * i];"
            "return {width: c.width, height: c.height, gray: g};",
            ".pane canvas.film",
        )

    def received(self) -> str:
        """What the network brought since the last call, by Chromium's own log (``log=True``).

        Bodies of responses and frames of web sockets, those that are binary as Latin-1. Ask before
        the page is left: Chromium forgets what it brought.
        """
        from selenium.common.exceptions import WebDriverException

        parts = []
        for line in self.driver.get_log("performance"):
            event = json.loads(line["message"])["message"]
            if event["method"] == "Network.webSocketFrameReceived":
                frame = event["params"]["response"]
                is_text = frame["opcode"] == 1
                data = frame["payloadData"]
                parts.append(data if is_text else base64.b64decode(data).decode("latin-1"))
            elif event["method"] == "Network.loadingFinished":
                wanted = {"requestId": event["params"]["requestId"]}
                try:
                    body = self.driver.execute_cdp_cmd("Network.getResponseBody", wanted)
                except WebDriverException:
                    continue  # an answer without a body
                data = body["body"]
                is_binary = body["base64Encoded"]
                parts.append(base64.b64decode(data).decode("latin-1") if is_binary else data)
        return "\n".join(parts)

    def prefer(self, scheme: str) -> None:
        """Let the reader's system be ``"dark"`` or ``"light"``."""
        feature = {"name": "prefers-color-scheme", "value": scheme}
        self.driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [feature]})

    def resize(self, width: int, height: int) -> None:
        """Let the screen have this size in pixels."""
        size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self.driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)

    def close(self) -> None:
        self.driver.quit()


def chromium() -> str | None:
    return shutil.which("chromium") or shutil.which("chromium-browser")


def require_chromium() -> None:
    pytest.importorskip("selenium")
    if chromium() is None or shutil.which("chromedriver") is None:
        pytest.skip("The browser tests need Debian's packages chromium and chromium-driver.")


_BLACK = "const c = found.querySelector('canvas.film'); const d = c.getContext('2d')"
_BLACK += ".getImageData(0, 0, c.width, c.height).data; for (let i = 0; i < d.length; i += 4)"
_BLACK += " if (d[i] > 0) return false; return true;"


def open_new(browser: Browser) -> str | None:
    """Open the first study of the list, and look at it for a second."""
    browser.keys("\ue007")
    browser.until_painted()
    time.sleep(1.1)
    return browser.case()


def is_black(browser: Browser) -> bool:
    """Whether nothing is on the pane's canvas."""
    return browser.run(_BLACK, ".pane")


@contextlib.contextmanager
def looking_at_ledger(url: str, bundle: Path, folder: Path) -> Iterator[Browser]:
    """A browser on the viewer of a screening service's own settings."""
    settings = folder / "screening.toml"
    settings.write_text(f"[ledger]\nurl = '{url}'\n[model]\nbundle = '{bundle}'\n")
    with Viewer(["--settings", str(settings)], folder) as viewer, Browser(viewer.url) as page:
        yield page
