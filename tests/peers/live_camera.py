"""How old frames are when they are labelled, and what viewers cost.

    live_camera.py RUNTIME ARCHIVE [--seconds 20]

Plays images of 640×480 (YUYV; the repository's own enlarged, with a sensor's noise) at 30 frames a second into
`runtime camera --input - --threads 1`, without and with fifty viewers and one who does not read, in a process of
their own. Then the same with as many frames as the program takes, for the rate. Needs numpy and Pillow. Prints a
table. A frame's age when its classification begins may be one frame interval and one inference at most.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import re
import socket
import statistics
import subprocess
import threading
import time
import urllib.request
from pathlib import Path

import numpy as np
from PIL import Image

PICTURES = Path(__file__).resolve().parents[1] / "pictures"
WIDTH, HEIGHT, FPS = 640, 480, 30
VIEWERS = 50


def scenes() -> list[bytes]:
    """What a camera might see, as YUYV: its live images are JPEGs of some 50 kB, as a real scene's."""
    rng = np.random.default_rng(1)
    frames = []
    for path in sorted(PICTURES.glob("*.png"))[:8]:
        large = Image.open(path).convert("YCbCr").resize((WIDTH, HEIGHT), Image.Resampling.BICUBIC)
        noisy = np.asarray(large, np.float32) + rng.normal(0, 3, (HEIGHT, WIDTH, 3))
        samples = np.clip(noisy, 0, 255).astype(np.uint8)
        yuyv = np.empty((HEIGHT, WIDTH, 2), np.uint8)
        yuyv[..., 0] = samples[..., 0]
        yuyv[:, ::2, 1], yuyv[:, 1::2, 1] = samples[:, ::2, 1], samples[:, ::2, 2]
        frames.append(yuyv.tobytes())
    return frames


def play(pipe, frames: list[bytes], seconds: float, paced: bool) -> None:
    """Writes frames until the time is over."""
    start, n = time.monotonic(), 0
    try:
        while time.monotonic() - start < seconds:
            if paced:
                time.sleep(max(0.0, start + n / FPS - time.monotonic()))
            pipe.write(frames[n % len(frames)])
            pipe.flush()
            n += 1
    except BrokenPipeError:
        pass
    pipe.close()


def view(address: tuple[str, int], read: bool, end: multiprocessing.Event) -> None:
    """Looks at the live image, or does not."""
    with socket.create_connection(address) as stream:
        stream.sendall(b"GET /live.mjpg HTTP/1.1\r\nHost: localhost\r\n\r\n")
        stream.settimeout(1)
        while not end.is_set():
            try:
                if read and not stream.recv(1 << 20):
                    return
                if not read:
                    end.wait(1)
            except TimeoutError:
                pass


def look(port: int, end: multiprocessing.Event) -> None:
    """All viewers, and one who does not read. They stand for other machines: what they cost here goes last."""
    os.nice(15)
    viewers = [threading.Thread(target=view, args=(("127.0.0.1", port), n > 0, end)) for n in range(VIEWERS + 1)]
    for viewer in viewers:
        viewer.start()
    for viewer in viewers:
        viewer.join()


def watch(port: int, fits: list[float], end: multiprocessing.Event) -> None:
    """Reads what the conversion and resizing of a frame takes."""
    while not end.wait(0.5):
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/api/state", timeout=10) as answer:
            fits.append(json.load(answer)["fit_ms"])


def measure(arguments: argparse.Namespace, frames: list[bytes], paced: bool, viewers: bool) -> dict:
    command = [arguments.runtime, "camera", arguments.archive, "--input", "-", "--format", "yuyv"]
    command += ["--size", f"{WIDTH}x{HEIGHT}", "--threads", "1", "--json", "--listen", "0"]
    program = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    lines, end, start = [], multiprocessing.Event(), time.monotonic()
    player = threading.Thread(target=play, args=(program.stdin, frames, arguments.seconds, paced))
    player.start()
    port = None
    while port is None:
        found = re.search(rb"page: http://127.0.0.1:(\d+)", program.stderr.readline())
        port = found and int(found.group(1))
    others = []
    if viewers:
        others = [multiprocessing.Process(target=look, args=(port, end))]
        others[0].start()
    fits = []
    watcher = threading.Thread(target=watch, args=(port, fits, end))
    watcher.start()
    for line in program.stdout:
        lines.append(json.loads(line))
        if time.monotonic() - start > arguments.seconds - 1:
            end.set()
    end.set()
    watcher.join()
    program.wait()
    for one in [player, *others]:
        one.join()
    settled = lines[len(lines) // 5 :]
    span = len(settled) / (arguments.seconds * 0.8)
    ages = sorted(line["latency_ms"] for line in settled)
    waits = sorted(line["latency_ms"] - line["ms"] for line in settled)
    longest = max(line["ms"] for line in settled)
    return {
        "fps": span,
        "network": statistics.median(line["ms"] for line in settled),
        "fit": statistics.median(fits),
        "p50": ages[len(ages) // 2],
        "p99": ages[int(len(ages) * 0.99)],
        "oldest": waits[-1],
        "bound": longest + 1000 / FPS,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runtime")
    parser.add_argument("archive")
    parser.add_argument("--seconds", type=float, default=20)
    arguments = parser.parse_args()
    print("| source | viewers | frames/s | fitting ms | network ms | age at the label p50 ms | p99 ms | oldest at its start ms | bound ms |")
    print("|---|---|---|---|---|---|---|---|---|")
    frames = scenes()
    for paced in (True, False):
        for viewers in (False, True):
            m = measure(arguments, frames, paced, viewers)
            print(
                f"| {'30 a second' if paced else 'as fast as it goes'} | {VIEWERS if viewers else 0} | {m['fps']:.2f} "
                f"| {m['fit']:.2f} | {m['network']:.2f} | {m['p50']:.2f} | {m['p99']:.2f} | {m['oldest']:.2f} | {m['bound']:.2f} |",
                flush=True,
            )


if __name__ == "__main__":
    main()
