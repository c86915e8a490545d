"""Learning curves."""

from __future__ import annotations

from pathlib import Path

History = list[dict[str, float]]


def draw(runs: dict[str, History], path: Path, *, over: str = "epoch") -> None:
    """Draws loss and accuracy of one or more trainings, as PNG or SVG depending on the path's extension; `over` is
    `epoch`, `seconds` or `processor_seconds` (of training, summed)."""
    import matplotlib

    matplotlib.use("Agg")
    matplotlib.rcParams["svg.hashsalt"] = "foldnet"
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
    for number, (name, history) in enumerate(runs.items()):
        x = [row["epoch"] for row in history]
        if over != "epoch":
            x = [sum(row[over] for row in history[: i + 1]) for i in range(len(history))]
        for axis, what in zip(axes, ("loss", "accuracy"), strict=True):
            color = f"C{number}"
            axis.plot(x, [row[what] for row in history], "--", color=color, label=f"{name}, training", alpha=0.6)
            axis.plot(x, [row[f"val_{what}"] for row in history], color=color, label=f"{name}, held out")
    for axis, what in zip(axes, ("loss", "accuracy"), strict=True):
        axis.set_xlabel(over.replace("_", " "))
        axis.set_title(what)
        axis.grid(alpha=0.3)
    axes[1].legend(fontsize=8)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)
    pyplot.close(figure)
