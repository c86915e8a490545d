"""Calls Foldnet's programs and reads their JSON."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path
from typing import Any

from foldnet_train.errors import BadInput, LimitMissed

TIMEOUT = 1800
"""Seconds; a large network's quantization takes minutes."""


def program(name: str) -> str:
    """Returns `FOLDNET_CONVERTER` (or `FOLDNET_RUNTIME`, `FOLDNET_BOARDS`), or else the program on the path."""
    variable = f"FOLDNET_{name.upper()}"
    named = os.environ.get(variable)
    found = shutil.which(named or name)
    if not found:
        raise BadInput(
            f"{named or name}: there is no such program. Build it with `cargo build --release`, and put target/release "
            f"on the path or name it in {variable}"
        )
    return found


def call(name: str, *words: str | Path) -> list[dict[str, Any]]:
    """Runs a program with `--json --quiet`; returns the objects that it prints. Exit code 2 raises `BadInput`, 3
    `LimitMissed`, with the program's message."""
    command = [program(name), *map(str, words), "--json", "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        raise OSError(f"{name} {words[0]} took more than {TIMEOUT} s") from None
    said = done.stderr.strip() or "without a word"
    if done.returncode == 3:
        raise LimitMissed(said)
    if done.returncode == 2:
        raise BadInput(f"{name} {words[0]}: {said}")
    if done.returncode != 0:
        raise OSError(f"{name} {words[0]} failed ({done.returncode}): {said}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def quantize(model: Path, archive: Path, images: Path | None, *words: str | Path) -> dict[str, Any]:
    """Runs `converter quantize`; without images on noise, which is enough to determine sizes and speed."""
    pictures: list[str | Path] = ["--images", images] if images else ["--synthetic"]
    return call("converter", "quantize", model, *pictures, "-o", archive, *words)[0]


def accuracy(archive: Path, images: Path) -> dict[str, Any]:
    """Runs `converter eval` on an archive or a model."""
    return call("converter", "eval", archive, "--images", images)[0]
