"""One file per subcommand. A module's first line is its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Protocol

Say = Callable[[str], None]


class Command(Protocol):
    """What a subcommand's module has."""

    def add_flags(self, to: argparse.ArgumentParser) -> None:
        """Declares its flags."""

    def run(self, arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
        """Does it; returns what `--json` prints."""
