"""Clicks through the page of `runtime camera` in headless Chromium, and takes its pictures.

    click_through.py RUNTIME ARCHIVE PICTURES [FOLDER FOR SCREENSHOTS]

Needs chromium and chromedriver, and nothing else. Every width and colour scheme must show the same things
without an error in the browser's console; the mouse draws a region, which the program then looks at.
"""

from __future__ import annotations

import base64
import json
import re
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from pathlib import Path

TOKEN = "correct-horse"
VIEWS = {"phone": (390, 844, 2), "desktop": (1280, 900, 1)}
PATIENCE = 60


class Browser:
    """As much of the WebDriver protocol as is needed."""

    def __init__(self) -> None:
        self.driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )
        port = None
        while port is None:
            line = self.driver.stdout.readline()
            assert line, "chromedriver does not start"
            found = re.search(r"successfully on port (\d+)", line)
            port = found and found.group(1)
        self.at = f"http://127.0.0.1:{port}/session"
        options = {
            "goog:chromeOptions": {"args": ["--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]},
            "goog:loggingPrefs": {"browser": "ALL"},
        }
        self.at += "/" + self.ask("", {"capabilities": {"alwaysMatch": options}})["sessionId"]

    def ask(self, path: str, body: dict | None = None, method: str | None = None):
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.at + path, data, {"Content-Type": "application/json"}, method=method)
        try:
            with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
                return json.load(answer)["value"]
        except urllib.error.HTTPError as error:
            raise AssertionError(f"{path}: {error.read().decode()}") from error

    def devtools(self, command: str, **parameters):
        return self.ask("/goog/cdp/execute", {"cmd": command, "params": parameters})

    def run(self, script: str):
        return self.ask("/execute/sync", {"script": script, "args": []})

    def until(self, script: str, what: str):
        """Waits until the script returns something true, and returns it."""
        end = time.monotonic() + PATIENCE
        while time.monotonic() < end:
            value = self.run("return " + script)
            if value:
                return value
            time.sleep(0.1)
        raise AssertionError(f"never {what}: {script}; note: {self.run('return document.body.innerText')}")

    def errors(self) -> list[str]:
        return [entry["message"] for entry in self.ask("/se/log", {"type": "browser"}) if entry["level"] == "SEVERE"]

    def close(self) -> None:
        self.ask("", method="DELETE")
        self.driver.terminate()
        self.driver.wait()


def state(address: str) -> dict:
    request = urllib.request.Request(f"http://{address}/api/state", headers={"Authorization": f"Bearer {TOKEN}"})
    with urllib.request.urlopen(request, timeout=PATIENCE) as answer:
        return json.load(answer)


def show(browser: Browser, width: int, height: int, ratio: int, scheme: str) -> None:
    browser.devtools(
        "Emulation.setDeviceMetricsOverride", width=width, height=height, deviceScaleFactor=ratio, mobile=width < 600
    )
    browser.devtools("Emulation.setEmulatedMedia", features=[{"name": "prefers-color-scheme", "value": scheme}])


def drag(browser: Browser, start: tuple[float, float], end: tuple[float, float]) -> None:
    """Drags the mouse over shares of the live picture."""
    browser.run("document.getElementById('stage').scrollIntoView()")
    box = browser.run("const r = document.getElementById('stage').getBoundingClientRect(); return [r.x, r.y, r.width, r.height]")
    point = lambda share: {"x": round(box[0] + share[0] * box[2]), "y": round(box[1] + share[1] * box[3])}  # noqa: E731
    move = lambda share: {"type": "pointerMove", "duration": 50, **point(share)}  # noqa: E731
    actions = [move(start), {"type": "pointerDown", "button": 0}, move(end), {"type": "pointerUp", "button": 0}]
    browser.ask("/actions", {"actions": [{"type": "pointer", "id": "mouse", "actions": actions}]})


def look_at(browser: Browser, name: str, address: str) -> None:
    """What every view must show."""
    browser.until("document.getElementById('label').textContent.length > 1", "a label")
    browser.until("document.getElementById('live').naturalWidth > 0", "a live picture")
    browser.until("document.getElementById('seen').naturalWidth > 0", "what the network sees")
    browser.until("document.querySelectorAll('.bar').length === 5", "five bars")
    browser.until("document.querySelectorAll('#facts dd').length >= 8", "facts")
    wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"{name}: the page is {wide} pixels wider than the screen"
    drag(browser, (0.25, 0.25), (0.75, 0.75))
    browser.until("document.getElementById('all').disabled === false", "a region")
    roi = state(address)["roi"]
    assert all(abs(a - b) < 0.05 for a, b in zip(roi, [0.25, 0.25, 0.5, 0.5], strict=True)), roi
    box = browser.run("return document.getElementById('box').style.width")
    assert abs(float(box.rstrip("%")) - 50) < 5, box
    browser.run("document.getElementById('all').click()")
    browser.until("document.getElementById('all').disabled", "the whole picture again")
    assert state(address)["roi"] is None
    drawn = browser.run(
        "const c = document.getElementById('line'); "
        "return c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 0)"
    )
    assert drawn, f"{name}: nothing on the time line"


def main() -> None:
    runtime, archive, pictures = sys.argv[1:4]
    shots = Path(sys.argv[4]) if len(sys.argv) > 4 else Path(tempfile.mkdtemp())
    shots.mkdir(parents=True, exist_ok=True)
    command = [runtime, "camera", archive, "--input", pictures, "--fps", "0.5", "--smooth", "1"]
    program = subprocess.Popen(
        [*command, "--listen", "0.0.0.0:0", "--token", TOKEN], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    )
    browser = None
    try:
        address = None
        while address is None:
            line = program.stderr.readline()
            assert line, "the program does not start"
            found = re.search(r"page: http://0\.0\.0\.0:(\d+)", line)
            address = found and f"127.0.0.1:{found.group(1)}"
        browser = Browser()
        # Without the token there is nothing to see.
        browser.ask("/url", {"url": f"http://{address}/"})
        assert "token" in browser.run("return document.body.innerText")
        assert len(browser.errors()) <= 2
        for view, (width, height, ratio) in VIEWS.items():
            for scheme in ("light", "dark"):
                show(browser, width, height, ratio, scheme)
                browser.ask("/url", {"url": f"http://{address}/?token={TOKEN}"})
                look_at(browser, f"{view} {scheme}", address)
                # Some changes of label for the time line.
                browser.until("document.querySelectorAll('#times tr').length >= 4", "labels over time")
                browser.run("scrollTo(0, 0)")
                # The picture that belongs to the label arrives a moment after it.
                time.sleep(0.7)
                image = browser.devtools("Page.captureScreenshot", format="webp", quality=80)["data"]
                (shots / f"{view}-{scheme}.webp").write_bytes(base64.b64decode(image))
                errors = browser.errors()
                assert not errors, errors
                print(f"{view}, {scheme}: as it should be")
        assert state(address)["streams"] == 1, "a page that was left still counts"
    finally:
        if browser:
            browser.close()
        program.terminate()
        assert program.wait(PATIENCE) == 0, program.stderr.read()
    print(f"screenshots in {shots}")


if __name__ == "__main__":
    main()
