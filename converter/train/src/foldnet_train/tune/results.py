"""The trials as a table and as a plot."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

METRICS = ("int8_accuracy", "float_accuracy", "archive_bytes", "ram", "flash", "ms")


def rows(tuner: Any) -> list[dict[str, Any]]:
    """Returns trials with their values and results, the best first, and of equals the smaller; failed trials come
    last."""
    table = []
    for trial in tuner.oracle.trials.values():
        metrics = {name: trial.metrics.get_best_value(name) for name in METRICS if trial.metrics.exists(name)}
        table.append(
            {"trial": trial.trial_id, "status": trial.status.lower(), **metrics, **trial.hyperparameters.values}
        )

    # The order of trials changes when a search is resumed.
    def rank(row: dict[str, Any]) -> tuple[float, float, str]:
        return (-row.get("int8_accuracy", -1.0), row.get("archive_bytes", 0.0), str(row["trial"]))

    return sorted(table, key=rank)


def write(table: list[dict[str, Any]], folder: Path) -> None:
    """Writes `trials.csv` and `trials.png` (size against accuracy)."""
    columns = list(dict.fromkeys(name for row in table for name in row))
    text = io.StringIO()
    writer = csv.DictWriter(text, columns)
    writer.writeheader()
    writer.writerows(table)
    (folder / "trials.csv").write_text(text.getvalue())

    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    done = [row for row in table if "int8_accuracy" in row]
    figure, axis = pyplot.subplots(figsize=(6, 3.5), layout="constrained")
    axis.plot([r["archive_bytes"] / 1000 for r in done], [r["float_accuracy"] for r in done], "x", label="float")
    axis.plot([r["archive_bytes"] / 1000 for r in done], [r["int8_accuracy"] for r in done], "o", label="int8")
    axis.set_xlabel("archive, kB")
    axis.set_ylabel("accuracy on held-out images")
    axis.grid(alpha=0.3)
    axis.legend()
    figure.savefig(folder / "trials.png")
    pyplot.close(figure)
