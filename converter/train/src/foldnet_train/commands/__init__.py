"""One file per subcommand. A module's first line is its help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any, Protocol

Say = Callable[[str], None]


class Command(Protocol):
    """The interface of a subcommand's module."""

    def add_flags(self, to: argparse.ArgumentParser) -> None:
        """Declares its flags."""

    def run(self, arguments: argparse.Namespace, say: Say) -> dict[str, Any]:
        """Runs the subcommand; returns the object that `--json` prints."""
