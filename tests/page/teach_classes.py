"""Teaches classes through the page of `runtime camera` in headless Chromium, and takes its screenshots.

    teach_classes.py RUNTIME ARCHIVE PICTURES [FOLDER FOR SCREENSHOTS]

The camera is this script, which writes raw frames of the pictures to the program. Classes are taught with the mouse, the
keyboard, a finger and by upload; they are recognized, survive a restart, and another image is unknown. Needs chromium
and chromedriver, and nothing else.
"""

from __future__ import annotations

import base64
import random
import re
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
import zlib
from pathlib import Path

from click_through import TOKEN, Browser, show, state

SIDE = 32
VIEWS = {"phone": (360, 780, 2), "desktop": (1280, 900, 1)}
ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def pixels(file: Path) -> list[bytes]:
    """The pixels of a PNG with 8 bits of red, green and blue, row by row."""
    data, at, packed = file.read_bytes(), 8, b""
    while at < len(data):
        length, kind = struct.unpack(">I4s", data[at : at + 8])
        body = data[at + 8 : at + 8 + length]
        if kind == b"IHDR":
            assert struct.unpack(">IIBBBBB", body) == (SIDE, SIDE, 8, 2, 0, 0, 0), file
        packed += body if kind == b"IDAT" else b""
        at += 12 + length
    raw, rows, above = zlib.decompress(packed), [], bytes(3 * SIDE)
    for y in range(SIDE):
        kind, *line = raw[y * (3 * SIDE + 1) : (y + 1) * (3 * SIDE + 1)]
        for x in range(3 * SIDE):
            left, corner = (line[x - 3], above[x - 3]) if x >= 3 else (0, 0)
            up = above[x]
            guess = left + up - corner
            nearest = min((left, up, corner), key=lambda v: abs(guess - v))
            line[x] = (line[x] + (0, left, up, (left + up) // 2, nearest)[kind]) % 256
        above = bytes(line)
        rows.append(above)
    return rows


class Camera(threading.Thread):
    """Ten frames a second of one of some pictures, each a little different, until its pipe closes."""

    def __init__(self, to) -> None:
        super().__init__(daemon=True)
        self.to, self.shown, self.still = to, [], False

    def frame(self) -> bytes:
        rows, light, dx, dy = self.shown[0], 0, 0, 0
        if not self.still:
            rows = random.choice(self.shown)
            light, dx, dy = random.randint(-12, 12), random.randint(-2, 2), random.randint(-2, 2)
        levels = bytes(min(255, max(0, level + light)) for level in range(256))
        place = lambda n, d: min(SIDE - 1, max(0, n + d))  # noqa: E731
        frame = b""
        for y in range(SIDE):
            row = rows[place(y, dy)].translate(levels)
            frame += b"".join(row[3 * place(x, dx) : 3 * place(x, dx) + 3] for x in range(SIDE))
        return frame

    def run(self) -> None:
        try:
            while True:
                if self.shown:
                    self.to.write(self.frame())
                    self.to.flush()
                time.sleep(0.1)
        except (BrokenPipeError, ValueError):
            pass


class Program:
    """The program, its camera, and its page's address."""

    def __init__(self, runtime: str, archive: str, teach: Path, url: str = "", port: str = "0", token: str = TOKEN) -> None:
        source = [url] if url else ["-", "--format", "rgb", "--size", f"{SIDE}x{SIDE}"]
        words = ["--input", *source, "--teach", str(teach), "--rules", str(teach.with_name("rules.json"))]
        self.process = subprocess.Popen(
            [runtime, "camera", archive, *words, "--listen", f"0.0.0.0:{port}", "--token", token],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        self.camera = Camera(self.process.stdin)
        self.camera.start()
        found = None
        while found is None:
            line = self.process.stderr.readline().decode()
            assert line, "the program does not start"
            found = re.search(r"page: http://0\.0\.0\.0:(\d+)", line)
        self.address = f"127.0.0.1:{found.group(1)}"

    def end(self) -> None:
        self.process.terminate()
        assert self.process.wait(60) == 0, self.process.stderr.read()


class Page:
    """What a person does with the page."""

    def __init__(self, browser: Browser, shots: Path) -> None:
        self.browser, self.shots = browser, shots

    def find(self, css: str) -> str:
        return self.browser.ask("/element", {"using": "css selector", "value": css})[ELEMENT]

    def click(self, css: str) -> None:
        try:
            self.browser.ask(f"/element/{self.find(css)}/click", {})
        except AssertionError as error:
            # A list that was written anew between the two requests has another element.
            if "stale element" not in str(error):
                raise
            self.browser.ask(f"/element/{self.find(css)}/click", {})

    def write(self, css: str, text: str) -> None:
        self.browser.run(f"document.querySelector({css!r}).value = ''")
        self.browser.ask(f"/element/{self.find(css)}/value", {"text": text})

    def text(self, css: str) -> str:
        return self.browser.run(f"return document.querySelector({css!r}).textContent.trim()")

    def press(self, kind: str, seconds: float) -> None:
        """Holds the button with the mouse or a finger."""
        self.browser.run("document.getElementById('hold').scrollIntoView({block: 'center'})")
        to = {"type": "pointerMove", "duration": 0, "origin": {ELEMENT: self.find("#hold")}, "x": 0, "y": 0}
        actions = [to, {"type": "pointerDown", "button": 0}, {"type": "pause", "duration": int(1000 * seconds)}]
        actions.append({"type": "pointerUp", "button": 0})
        parameters = {"pointerType": kind}
        self.browser.ask(
            "/actions", {"actions": [{"type": "pointer", "id": kind, "parameters": parameters, "actions": actions}]}
        )

    def space(self, seconds: float) -> None:
        """Holds the space bar on the button."""
        self.browser.run("document.getElementById('hold').focus()")
        actions = [{"type": "keyDown", "value": " "}, {"type": "pause", "duration": int(1000 * seconds)}]
        actions.append({"type": "keyUp", "value": " "})
        self.browser.ask("/actions", {"actions": [{"type": "key", "id": "keys", "actions": actions}]})

    def says(self, what: str, field: str = "said") -> None:
        self.browser.until(f"document.getElementById('{field}').textContent.includes({what!r})", f"{field} {what!r}")

    def label(self, name: str) -> None:
        self.browser.until(f"document.getElementById('label').textContent === {name!r}", f"the label {name}")

    def classes(self) -> list[str]:
        return self.browser.run("return [...document.querySelectorAll('#taught b')].map(b => b.textContent)")

    def lists(self, *names: str) -> None:
        script = f"[...document.querySelectorAll('#taught b')].map(b => b.textContent).join() === {','.join(names)!r}"
        self.browser.until(script, f"the classes {names}")

    def shoot(self, name: str) -> None:
        """Screenshots of the whole page in every width and colour scheme."""
        for view, (width, height, ratio) in VIEWS.items():
            for scheme in ("light", "dark"):
                show(self.browser, width, height, ratio, scheme)
                # The images come a moment later.
                time.sleep(1)
                wide = self.browser.run("return document.documentElement.scrollWidth - innerWidth")
                assert wide <= 0, f"{name} {view}: the page is {wide} pixels wider than the screen"
                shot = self.browser.devtools("Page.captureScreenshot", format="png", captureBeyondViewport=True)
                (self.shots / f"{name}-{view}-{scheme}.png").write_bytes(base64.b64decode(shot["data"]))
        show(self.browser, *VIEWS["desktop"], "light")


def log_in(page: Page, address: str) -> None:
    page.browser.ask("/url", {"url": f"http://{address}/"})
    page.write("#token", "battery-staple")
    page.click("button")
    page.browser.until("document.getElementById('why')?.textContent.includes('wrong')", "the token refused")
    page.shoot("login")
    page.write("#token", TOKEN)
    page.click("button")
    page.browser.until("document.getElementById('label')?.textContent.length > 1", "a label")
    assert page.browser.run("return location.search") == "", "the token stays in the address bar"
    page.browser.errors()


def teach(page: Page, camera: Camera, images: dict[str, list], pictures: Path) -> None:
    """A class with each of the ways to teach one."""
    camera.shown = images["cat"]
    time.sleep(1)
    page.press("mouse", 0.3)
    page.says("name first", "refused")
    page.write("#class", "my cat")
    camera.still = True
    time.sleep(11)
    page.press("mouse", 1)
    page.says("same content", "refused")
    camera.still = False
    page.press("mouse", 4)
    page.says("my cat: ")
    page.label("my cat")
    page.shoot("taught")
    camera.shown = images["ship"]
    page.write("#class", "boat")
    time.sleep(1)
    page.space(4)
    page.says("boat: ")
    page.label("boat")
    show(page.browser, *VIEWS["phone"], "light")
    page.browser.devtools("Emulation.setTouchEmulationEnabled", enabled=True, maxTouchPoints=1)
    camera.shown = images["frog"]
    page.write("#class", "frog")
    time.sleep(1)
    page.press("touch", 4)
    page.says("frog: ")
    page.label("frog")
    page.browser.devtools("Emulation.setTouchEmulationEnabled", enabled=False)
    show(page.browser, *VIEWS["desktop"], "light")
    page.write("#class", "red car")
    files = "\n".join(str(path) for path in sorted(pictures.glob("automobile_*.png")))
    page.browser.ask(f"/element/{page.find('#files')}/value", {"text": files})
    page.says("red car: 2 images")
    page.lists("my cat", "boat", "frog", "red car")
    camera.shown = images["cat"]
    page.label("my cat")
    warm(page)
    # The same images for another class, and a file that is no image.
    page.write("#class", "lorry")
    page.browser.ask(f"/element/{page.find('#files')}/value", {"text": files})
    page.says("both", "refused")
    with tempfile.NamedTemporaryFile(suffix=".png") as torn:
        page.browser.ask(f"/element/{page.find('#files')}/value", {"text": torn.name})
        page.says("empty", "refused")
    page.lists("my cat", "boat", "frog", "red car")


def change(page: Page, folder: Path) -> None:
    """Renames, removes, undoes, exports and imports."""
    page.click("button[aria-label='Rename boat']")
    page.write("#taught input", "ship")
    page.click("#taught form button")
    page.lists("my cat", "ship", "frog", "red car")
    page.click("button[aria-label='Rename ship']")
    page.write("#taught input", "frog")
    page.click("#taught form button")
    page.says("already is a class", "refused")
    page.click("button[aria-label='Remove red car']")
    page.lists("my cat", "ship", "frog")
    page.click("#undo")
    page.lists("my cat", "ship", "frog", "red car")
    exported = page.browser.run(
        "return fetch('api/teach/file').then(a => a.arrayBuffer()).then(b => btoa(String.fromCharCode(...new Uint8Array(b))))"
    )
    file = folder / "exported.teach"
    file.write_bytes(base64.b64decode(exported))
    page.click("button[aria-label='Remove red car']")
    page.lists("my cat", "ship", "frog")
    page.browser.ask(f"/element/{page.find('#file')}/value", {"text": str(file)})
    page.says("exported.teach is imported")
    page.lists("my cat", "ship", "frog", "red car")
    file.write_bytes(b"hello")
    page.browser.ask(f"/element/{page.find('#file')}/value", {"text": str(file)})
    page.says("not a teaching file", "refused")
    page.click("button[aria-label='Remove red car']")
    page.lists("my cat", "ship", "frog")


def recognize(page: Page, camera: Camera, images: dict[str, list]) -> None:
    for shown, label in (("cat", "my cat"), ("ship", "ship"), ("frog", "frog"), ("pattern", "unknown")):
        camera.shown = images[shown]
        page.label(label)
        assert page.browser.run("return document.getElementById('label').className") == ("other" * (label == "unknown"))


def warm(page: Page) -> None:
    """The heat map lies over the live image, and goes when it is not wanted."""
    page.click("#why")
    page.browser.until(
        "(c => c.width && c.getContext('2d').getImageData(0, 0, c.width, c.height).data.some(v => v > 100))"
        "(document.getElementById('heat'))",
        "a heat map",
    )
    page.shoot("heat")
    page.click("#why")
    page.browser.until("document.getElementById('heat').hidden", "no heat map")


class Network(threading.Thread):
    """A network camera that shows one JPEG until it is unplugged."""

    def __init__(self, jpeg: bytes) -> None:
        super().__init__(daemon=True)
        self.jpeg, self.plugged = jpeg, True
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.listener.getsockname()[1]}/"

    def run(self) -> None:
        head = b"HTTP/1.0 200 OK\r\nContent-Type: multipart/x-mixed-replace; boundary=f\r\n\r\n"
        while self.plugged:
            viewer = self.listener.accept()[0]
            with viewer:
                viewer.recv(4096)
                viewer.sendall(head)
                while self.plugged:
                    viewer.sendall(b"--f\r\nContent-Type: image/jpeg\r\n\r\n" + self.jpeg + b"\r\n")
                    time.sleep(0.1)
        self.listener.close()


def lose(page: Page, runtime: str, archive: str, teach: Path) -> None:
    """What was seen does not stay when the source is lost."""
    jpeg = page.browser.devtools("Page.captureScreenshot", format="jpeg", quality=60)["data"]
    network = Network(base64.b64decode(jpeg))
    network.start()
    program = Program(runtime, archive, teach, network.url)
    try:
        page.browser.ask("/url", {"url": f"http://{program.address}/?token={TOKEN}"})
        page.browser.until("document.getElementById('label')?.textContent.length > 1", "a label")
        network.plugged = False
        page.browser.until("document.getElementById('lost').textContent.includes('Lost')", "that no frames come")
        assert (page.text("#label"), page.text("#age"), page.text("#bars")) == ("–", "–", "")
        page.press("mouse", 0.5)
        page.says("name first", "refused")
        page.write("#class", "nothing")
        page.press("mouse", 1)
        page.says("No frame", "refused")
        page.shoot("lost")
    finally:
        program.end()


def folders() -> tuple[Path, Path]:
    """A new folder for what the program keeps, and the one for screenshots: the fourth word, or else the same."""
    folder = Path(tempfile.mkdtemp())
    shots = Path(sys.argv[4]) if len(sys.argv) > 4 else folder
    shots.mkdir(parents=True, exist_ok=True)
    return folder, shots


def scenes(pictures: Path) -> dict[str, list]:
    """What the camera may see: images of three classes, and a pattern of none."""
    images = {
        name: [pixels(file) for file in sorted(pictures.glob(f"{name}_*.png"))] for name in ("cat", "ship", "frog")
    }
    colours = (bytes((250, 20, 200)), bytes((20, 250, 30)))
    images["pattern"] = [[b"".join(colours[(x + y) % 2] for x in range(SIDE)) for y in range(SIDE)]]
    return images


def main() -> None:
    runtime, archive, pictures = sys.argv[1], sys.argv[2], Path(sys.argv[3]).resolve()
    folder, shots = folders()
    images = scenes(pictures)
    program, browser = Program(runtime, archive, folder / "page.teach"), None
    try:
        program.camera.shown = images["cat"]
        browser = Browser()
        page = Page(browser, shots)
        show(browser, *VIEWS["desktop"], "light")
        log_in(page, program.address)
        teach(page, program.camera, images, pictures)
        change(page, folder)
        recognize(page, program.camera, images)
        page.shoot("unknown")
        # Refusals are told in the console too.
        errors = [error for error in browser.errors() if "api/teach" not in error]
        assert not errors, errors
        program.end()
        browser.until("document.getElementById('lost').textContent.includes('No connection')", "no connection")
        program = Program(runtime, archive, folder / "page.teach")
        program.camera.shown = images["ship"]
        browser.errors()
        browser.ask("/url", {"url": f"http://{program.address}/?token={TOKEN}"})
        page.lists("my cat", "ship", "frog")
        recognize(page, program.camera, images)
        assert state(program.address)["streams"] == 1, "a page takes one connection"
        assert not browser.errors()
        lose(page, runtime, archive, folder / "page.teach")
    finally:
        if browser:
            browser.close()
        program.end()
    print(f"taught, recognized, unknown, and so after a restart; screenshots in {shots}")


if __name__ == "__main__":
    main()
