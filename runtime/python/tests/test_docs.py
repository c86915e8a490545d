"""Every block of Python in the documentation of the package runs as printed."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import PIL.Image
import pytest

from conftest import PICTURES, ROOT, pictures

PAGES = [ROOT / "docs" / "src" / "embedding.md", ROOT / "runtime" / "python" / "README.md"]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_blocks_run_in_their_order(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    blocks = re.findall(r"^```python\n(.*?)^```", page.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert blocks
    (tmp_path / "model.onnx").symlink_to(ROOT / "converter" / "assets" / "resnet20-v1-cifar10.onnx")
    (tmp_path / "photos").symlink_to(PICTURES, target_is_directory=True)
    PIL.Image.open(pictures()[0]).convert("RGB").resize((64, 48)).save(tmp_path / "cat.jpg")
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    for block in blocks:
        exec(block, names)
