"""Compares the scores that `tests/answers.c` printed with those of `runtime classify --json`, bit for bit."""

import json
import struct
import sys

ours, theirs = sys.argv[1:]
with open(ours, encoding="ascii") as file:
    lines = [line.split()[1:] for line in file]
with open(theirs, encoding="utf-8") as file:
    records = [json.loads(line) for line in file]
if not lines or len(lines) != len(records):
    sys.exit(f"{len(lines)} answers of the library for {len(records)} of the program")
for number, (bits, record) in enumerate(zip(lines, records, strict=True)):
    for label in record["labels"]:
        expected = struct.pack(">f", label["score"]).hex()
        if bits[label["index"]] != expected:
            sys.exit(f"image {number}, class {label['index']}: {bits[label['index']]} for {expected}")
print(f"{len(lines)} images: every score has the bits of the program's")
