"""Runs a TFLite model in LiteRT and compiles it with Arm's Vela; the argument is a file with the job, JSON.

Numbers pass as raw little-endian files: images as int8 NHWC, results as int8 in the order of the job.
"""

import csv
import json
import subprocess
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType
from ethosu.vela.tflite.BuiltinOperator import BuiltinOperator
from ethosu.vela.tflite.Model import Model

NAMES = {code: name for name, code in vars(BuiltinOperator).items() if isinstance(code, int)}


def operators(path):
    """The names of a model's operators."""
    model = Model.GetRootAs(Path(path).read_bytes())
    graph = model.Subgraphs(0)
    codes = (model.OperatorCodes(graph.Operators(i).OpcodeIndex()) for i in range(graph.OperatorsLength()))
    return [NAMES[max(code.DeprecatedBuiltinCode(), code.BuiltinCode())] for code in codes]


def interpreter(job, keep):
    # TFLite's own kernels, in the fixed-point arithmetic that the NPU has; XNNPACK's round in f32.
    made = Interpreter(
        model_path=job["model"],
        experimental_op_resolver_type=OpResolverType.BUILTIN_WITHOUT_DEFAULT_DELEGATES,
        experimental_preserve_all_tensors=keep,
    )
    made.allocate_tensors()
    return made, made.get_input_details()[0]["index"], made.get_output_details()[0]["index"]


def answers(job, pictures):
    run, source, result = interpreter(job, False)
    with open(job["outputs"], "wb") as file:
        for picture in pictures:
            run.set_tensor(source, picture[None])
            run.invoke()
            run.get_tensor(result).astype(np.int8).tofile(file)


def layers(job, pictures):
    run, source, _ = interpreter(job, True)
    indices = {tensor["name"]: tensor["index"] for tensor in run.get_tensor_details()}
    with open(job["tensors"], "wb") as file:
        for picture in pictures:
            run.set_tensor(source, picture[None])
            run.invoke()
            for name in job["names"]:
                run.get_tensor(indices[name]).astype(np.int8).tofile(file)


def compile_it(job):
    words = [sys.executable, "-m", "ethosu.vela", job["model"], "--accelerator-config", job["target"]]
    done = subprocess.run([*words, "--output-dir", "vela"], capture_output=True, text=True, check=False)
    compiled = Path("vela", f"{Path(job['model']).stem}_vela.tflite")
    if done.returncode or not compiled.exists():
        sys.exit(f"{done.stdout}\n{done.stderr}")
    compiled.rename(job["compiled"])
    (summary,) = Path("vela").glob("*_summary_*.csv")
    with open(summary, encoding="utf-8", newline="") as file:
        row = next(csv.DictReader(file))
    before, after = operators(job["model"]), operators(job["compiled"])
    estimate = {
        "system_config": row["system_config"],
        "memory_mode": row["memory_mode"],
        "clock_hz": float(row["core_clock"]),
        "cycles": float(row["cycles_total"]),
        "inferences_per_second": float(row["inferences_per_second"]),
        "macs": float(row["nn_macs"]),
        # Vela counts memory in KiB.
        "sram_bytes": 1024 * float(row["sram_memory_used"]),
        "dram_bytes": 1024 * float(row["dram_memory_used"]),
        "flash_bytes": 1024 * (float(row["on_chip_flash_memory_used"]) + float(row["off_chip_flash_memory_used"])),
        "operators": len(before),
        "on_cpu": [name for name in after if name != "CUSTOM"],
    }
    Path(job["estimate"]).write_text(json.dumps(estimate), encoding="utf-8")


def main():
    job = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    pictures = np.fromfile(job["pictures"], np.int8).reshape(-1, *job["shape"])
    compile_it(job)
    answers(job, pictures)
    layers(job, pictures[: job["probed"]])


main()
