"""Three browser tabs on the page of a camera: `tabs.py RUNTIME ARCHIVE PICTURES SCREENSHOTS`.

The camera plays a recording of the images over and over. Each tab must show a label, the live image and what the
network sees, and the label must change with the recording; also the first tab again, after the others. Tabs that are
closed take their image streams with them, and the camera goes on. Writes a screenshot of each tab. Needs chromium and
chromedriver.
"""

import base64
import json
import re
import subprocess
import sys
import threading
import time
import urllib.request
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1] / "page"))
import click_through  # noqa: E402
from click_through import Browser, show  # noqa: E402

# Three tabs on a busy machine.
PATIENCE = click_through.PATIENCE = 240
TABS = ((1280, 900, "light"), (1280, 900, "dark"), (390, 844, "dark"))
LABEL = "document.getElementById('label').innerText.trim()"


def record(pictures: Path) -> list[bytes]:
    """The header of a Y4M video, and a second of frames for each image."""
    side = 320
    video = [f"YUV4MPEG2 W{side} H{side} F10:1 Ip A1:1 C444 XCOLORRANGE=FULL\n".encode()]
    for file in sorted(pictures.glob("*.png")):
        image = Image.open(file).convert("YCbCr").resize((side, side))
        video += [b"FRAME\n" + b"".join(plane.tobytes() for plane in image.split())] * 10
    return video


def play(video: list[bytes], to) -> None:
    """Ten frames a second without end, until the camera closes its input."""
    try:
        to.write(video[0])
        while True:
            for frame in video[1:]:
                to.write(frame)
                to.flush()
                time.sleep(0.1)
    except (BrokenPipeError, ValueError):
        pass


def state(page: str) -> dict:
    with urllib.request.urlopen(f"{page}/api/state", timeout=PATIENCE) as answer:
        return json.load(answer)


def look(browser: Browser, classes: set[str]) -> None:
    """What a viewer sees in the tab in front."""
    first = browser.until(LABEL, "a label")
    for image in ("live", "seen"):
        browser.until(f"document.getElementById('{image}').naturalWidth > 0", f"the image {image}")
    browser.until(f"{LABEL} !== {json.dumps(first)}", "another label")
    seen = browser.run(f"return {LABEL}")
    assert any(name in seen for name in classes), f"{seen!r} names no class"
    wide = browser.run("return document.documentElement.scrollWidth - document.documentElement.clientWidth")
    assert wide <= 0, f"the page is {wide} pixels wider than its window"
    assert not (errors := browser.errors()), errors


def browse(browser: Browser, page: str, classes: set[str], shots: Path) -> None:
    handles = []
    for number, (width, height, scheme) in enumerate(TABS):
        handle = browser.ask("/window/new", {"type": "tab"})["handle"]
        handles.append(handle)
        browser.ask("/window", {"handle": handle})
        show(browser, width, height, 1, scheme)
        browser.ask("/url", {"url": f"{page}/"})
        look(browser, classes)
        shot = browser.devtools("Page.captureScreenshot", format="png")["data"]
        (shots / f"tab-{number}.png").write_bytes(base64.b64decode(shot))
    browser.ask("/window", {"handle": handles[0]})
    look(browser, classes)
    streams = state(page)["streams"]
    assert streams >= 1, f"{streams} image streams, with a tab in front"
    for handle in handles:
        browser.ask("/window", {"handle": handle})
        browser.ask("/window", method="DELETE")
    end = time.monotonic() + PATIENCE
    while state(page)["streams"] and time.monotonic() < end:
        time.sleep(0.2)
    before = state(page)
    assert before["streams"] == 0, f"{before['streams']} image streams without a tab"
    time.sleep(2)
    assert state(page)["classified"] > before["classified"], "the camera stands still without viewers"


def main(runtime: str, archive: str, pictures: Path, shots: Path) -> None:
    shots.mkdir(parents=True, exist_ok=True)
    camera = subprocess.Popen(
        [runtime, "camera", archive, "--input", "-", "--listen", "127.0.0.1:0"],
        stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE,
    )
    threading.Thread(target=play, args=(record(pictures), camera.stdin), daemon=True).start()
    browser = None
    try:
        page = None
        while page is None:
            line = camera.stderr.readline().decode()
            assert line, "the program does not start"
            found = re.search(r"page: (http://[^/\s]+)", line)
            page = found and found[1]
        browser = Browser()
        browse(browser, page, {file.stem.rsplit("_", 1)[0] for file in pictures.glob("*.png")}, shots)
    finally:
        if browser:
            browser.close()
        camera.terminate()
        code = camera.wait(PATIENCE)
    assert code == 0, f"the camera ended with {code}"
    print("three tabs: labels, images and streams are as they should be")


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], Path(sys.argv[3]), Path(sys.argv[4]))
