"""The search: by int8 accuracy, within a board's limits."""

import csv
import json
import os
import socket
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml
from conftest import SMALL

from foldnet_train.errors import BadInput, LimitMissed
from foldnet_train.settings import Settings
from foldnet_train.tune import budget, converter, space

Call = Callable[..., tuple[int, str, str]]


def test_a_search_picks_by_int8_accuracy_and_its_best_settings_train(photos: Path, tmp_path: Path, call: Call) -> None:
    run = tmp_path / "tuned"
    words = [photos, "-o", run, *SMALL, "--over", "learning-rate,activation", "--trials", "3"]
    code, text, _ = call("tune", *words, "--json", "--board", "emulated-m4")
    assert code == 0
    told = json.loads(text)
    rows = list(csv.DictReader((run / "trials.csv").open()))
    assert len(rows) == 3 and all(row["status"] == "completed" for row in rows)
    assert told["best"]["int8_accuracy"] == max(float(row["int8_accuracy"]) for row in rows)
    assert float(rows[0]["ram"]) < 64 * 1024 and (run / "trials.png").stat().st_size > 1000
    best = Settings(
        **{
            k: tuple(v) if isinstance(v, list) else v
            for k, v in yaml.safe_load((run / "best.yaml").read_text()).items()
        }
    )
    assert best.activation == told["best"]["activation"] and best.filters == 4
    # Called again it has nothing left to do and says the same.
    code, text, _ = call("tune", *words, "--json", "--board", "emulated-m4")
    assert code == 0 and json.loads(text)["best"] == told["best"]
    assert call("fit", photos, "-o", tmp_path / "run", "--settings", run / "best.yaml", "--epochs", "1")[0] == 0


@pytest.mark.parametrize("method", ["bayesian", "hyperband"])
def test_other_methods_search_too(method: str, photos: Path, tmp_path: Path, call: Call) -> None:
    words = ["tune", photos, "-o", tmp_path / "t", *SMALL, "--over", "learning_rate", "--trials", "2"]
    code, text, _ = call(*words, "--method", method, "--json", "--quiet")
    assert code == 0 and 0 < json.loads(text)["best"]["int8_accuracy"] <= 1


def test_networks_beyond_the_limits_are_not_trained(photos: Path, tmp_path: Path, call: Call) -> None:
    words = ["tune", photos, "-o", tmp_path / "t", *SMALL, "--over", "learning_rate", "--trials", "2"]
    code, _, said = call(*words, "--bytes", "100")
    assert code == 3 and "100 are allowed" in said and "no trial counted" in said
    code, _, said = call(*words, "--cpu", "cortex-m4", "--ram-kb", "1", "-o", tmp_path / "u")
    assert code == 3 and "RAM" in said


def test_time_is_measured_by_the_runtime(trained: Path, photos: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.nnef.tgz"
    converter.quantize(trained / "model.onnx", archive, photos, "--effort", "low")
    assert budget.cost(archive, budget.Budget(ms=1000.0))["ms"] > 0
    with pytest.raises(LimitMissed, match="ms, 1e-09 are allowed"):
        budget.cost(archive, budget.Budget(ms=1e-9))


def test_time_on_a_board_is_what_boards_fit_expects(trained: Path, photos: Path, tmp_path: Path) -> None:
    archive = tmp_path / "a.nnef.tgz"
    converter.quantize(trained / "model.onnx", archive, photos, "--effort", "low")
    limits = budget.budget("raspberry-pi-4", {"ms": 1000.0})
    fit = converter.call("boards", "fit", archive, "raspberry-pi-4")[0]
    assert budget.cost(archive, limits) == {"ms": fit["expected"]["ms"]}
    with pytest.raises(LimitMissed, match="ms, 1e-09 are allowed"):
        budget.cost(archive, budget.budget("raspberry-pi-4", {"ms": 1e-9}))
    with pytest.raises(BadInput, match="no expected time: there is no table of costs"):
        budget.cost(archive, budget.budget("khadas-vim3", {"ms": 1.0}))
    with pytest.raises(BadInput, match="unknown board `toaster`"):
        budget.cost(archive, budget.budget("toaster", {"ms": 1.0}))


def test_a_time_belongs_to_the_board_or_to_this_machine() -> None:
    assert budget.budget("this-machine", {"ms": 5.0}) == budget.Budget(ms=5.0)
    assert budget.budget(None, {"ms": 5.0}) == budget.Budget(ms=5.0)
    pico = budget.budget("rp2350-pico2", {"ms": 5.0})
    assert (pico.timed_on, pico.cpu) == ("rp2350-pico2", "cortex-m33")
    assert budget.budget("rp2350-pico2", {}).timed_on is None


def test_limits_need_sense() -> None:
    assert budget.budget("rp2350-pico2", {"ram_kb": 100}).ram_kb == 100
    with pytest.raises(BadInput, match="one of emulated-m4"):
        budget.budget("toaster", {})
    with pytest.raises(BadInput, match="--cpu"):
        budget.budget(None, {"ram_kb": 64})


def test_the_space_leaves_given_settings_alone() -> None:
    values = space.tried({"network": "resnet8", "filters": 8}, [])
    assert "network" not in values and "filters" not in values and "learning_rate" in values
    with pytest.raises(BadInput, match="no values to try"):
        space.tried({}, ["momentum"])
    with pytest.raises(BadInput, match="no values to try"):
        space.tried({}, ["colour"])
    with pytest.raises(BadInput, match="nothing is left"):
        space.tried({name: None for name in space.tunable()}, [])


def test_a_converter_that_is_missing_or_fails_is_named(
    monkeypatch: pytest.MonkeyPatch, trained: Path, tmp_path: Path
) -> None:
    with pytest.raises(BadInput, match="absent"):
        converter.quantize(trained / "model.onnx", tmp_path / "a.nnef.tgz", tmp_path / "absent")
    monkeypatch.setenv("FOLDNET_CONVERTER", str(tmp_path / "converter"))
    with pytest.raises(BadInput, match="cargo build --release"):
        converter.accuracy(tmp_path / "a.nnef.tgz", tmp_path)


@pytest.mark.large
def test_hyper_resnet_is_searched(photos: Path, tmp_path: Path, call: Call) -> None:
    words = ["--side", "32", "--epochs", "1", "--trials", "1", "--hyper-resnet"]
    code, text, _ = call("tune", photos, "-o", tmp_path / "t", *words, "--json", "--quiet")
    assert code == 0 and json.loads(text)["best"]["int8_accuracy"] > 0


@pytest.mark.large
def test_a_chief_and_two_workers_search_together(photos: Path, tmp_path: Path) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    run = tmp_path / "t"
    words = ["tune", str(photos), "-o", str(run), *SMALL, "--over", "learning_rate,activation", "--trials", "4"]
    together = {"KERASTUNER_ORACLE_IP": "127.0.0.1", "KERASTUNER_ORACLE_PORT": str(port)}
    processes = [
        subprocess.Popen(
            [sys.executable, "-m", "foldnet_train", *words],
            env={**os.environ, **together, "KERASTUNER_TUNER_ID": name},
            stderr=subprocess.PIPE,
            text=True,
        )
        for name in ("chief", "tuner0", "tuner1")
    ]
    try:
        said = [process.communicate(timeout=600)[1] for process in processes]
    finally:
        for process in processes:
            process.kill()
    assert [process.returncode for process in processes] == [0, 0, 0], said
    assert "best of 4" in said[0]
    assert all("int8" in of and "the chief writes the results" in of for of in said[1:]), "both had a part"
    rows = list(csv.DictReader((run / "trials.csv").open()))
    assert len(rows) == 4 and all(float(row["int8_accuracy"]) > 0 for row in rows)
    assert not list(run.glob("trial-*")) and not list(run.glob(".unfinished*"))
