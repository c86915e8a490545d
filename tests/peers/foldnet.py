"""Our own programs, as the comparison scripts run them."""

from __future__ import annotations

import argparse
import json
import subprocess
from pathlib import Path

REPOSITORY = Path(__file__).resolve().parents[2]


def program(name: str) -> Path:
    """Where `cargo build --release` puts one of our programs."""
    return REPOSITORY / "target" / "release" / name


def require(path: Path | None, what: str, remedy: str) -> Path:
    """The path, or the end with a clear message."""
    if path is None or not path.exists():
        raise SystemExit(f"{what} is missing{f': {path}' if path else ''}. {remedy}")
    return path


def name(model: Path) -> str:
    """What a table calls a model: its file's name, or its folder's for the `model.onnx` of `foldnet-train`."""
    own = model.name.split(".")[0]
    return model.resolve().parent.name if own == "model" else own


def lost_lead(row: dict) -> str:
    """The greatest lead of our top-1 over the other side's, where they differ."""
    return "–" if row["lost_lead"] is None else f"{row['lost_lead']:.2%}"


def quantize(converter: Path, model: Path, images: Path, archive: Path, extra: list[str]) -> Path:
    """Runs our converter; returns the archive."""
    run([converter, "quantize", model, "--images", images, "-o", archive, "--json", *extra])
    return archive


def run(command: list) -> dict:
    """Runs one of our programs and reads the JSON object it prints; ends with its own words when it fails."""
    words = [str(word) for word in command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"`{' '.join(words)}` ended with code {done.returncode}:\n{done.stderr.strip()}")
    lines = done.stdout.strip().splitlines()
    return json.loads(lines[-1]) if lines and "--json" in words else {}


def export(converter: Path, option: list, archive: Path, output: Path, arguments: argparse.Namespace) -> dict:
    """Exports for an NPU, whatever the agreement is; what the comparison found."""
    words = [converter, "export", *option, archive, "--images", arguments.test, "--json"]
    words += ["--calibrate", arguments.calibrate, "-o", output]
    words += ["--check-images", arguments.images, "--min-agreement", 0]
    if arguments.toolkit:
        words += ["--toolkit", arguments.toolkit]
    return run(words)


class Server:
    """`runtime bench ARCHIVE --serve-stdin`: loads once, then runs as many inferences as each line asks for."""

    def __init__(self, runtime: Path, archive: Path, threads: int, extra: list[str]) -> None:
        words = [runtime, "bench", archive, "--threads", threads, "--serve-stdin", "--json", *extra]
        self.process = subprocess.Popen(
            [str(word) for word in words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, bufsize=1
        )

    def run(self, count: int) -> list[float]:
        """The milliseconds of each of `count` inferences."""
        assert self.process.stdin and self.process.stdout
        try:
            self.process.stdin.write(f"run {count}\n")
            self.process.stdin.flush()
            line = self.process.stdout.readline()
        except BrokenPipeError:
            line = ""
        if not line:
            raise RuntimeError(f"`runtime bench --serve-stdin` ended with code {self.process.wait()}")
        return json.loads(line)["ms"]

    def close(self) -> None:
        assert self.process.stdin
        self.process.stdin.close()
        self.process.wait(timeout=10)
