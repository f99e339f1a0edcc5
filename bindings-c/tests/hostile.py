"""Compares what hostile.c prints with the rows of its language in tests/vectors/hostile_outcomes.json."""

import json
import sys
from pathlib import Path

table = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))["rows"]
rows = {row["name"]: row for row in table if "c" in row["languages"]}
seen = {}
for record in sys.stdin.buffer.read().decode().split("\x1e")[:-1]:
    name, outcome, text = record.split("\t", 2)
    seen[name] = (outcome, text)
assert seen.keys() == rows.keys(), f"rows and program differ: {seen.keys() ^ rows.keys()}"
for name, (outcome, text) in seen.items():
    row = rows[name]
    if "done" in row:
        assert outcome == "done", f"{name}: {text}"
        outputs = json.loads(text)["Outputs"]
        assert outputs.get("Result", outputs) == row["done"], f"{name}: {text}"
    else:
        assert outcome == "failed", f"{name}: {text}"
        for part in row["failed"]:
            assert part in text, f"{name}: {text}"
print(f"hostile outcomes: {len(seen)} ok")
