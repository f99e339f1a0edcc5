"""The package's types, as its users' checkers see them."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, List, Set

import pytest

HERE = Path(__file__).parent
MISTAKES = {
    number
    for number, line in enumerate((HERE / "mistakes.py").read_text().splitlines(), 1)
    if line.endswith("# wrong")
}


def check(*command: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", *command], cwd=folder, capture_output=True, text=True
    )


def mypy(name: str, folder: Path) -> "subprocess.CompletedProcess[str]":
    cache = f"--cache-dir={folder / 'cache'}"
    return check("mypy", "--strict", cache, str(HERE / name), folder=folder)


def pyright(name: str, folder: Path) -> List[Any]:
    shutil.copy(HERE / name, folder)
    (folder / "pyrightconfig.json").write_text('{"typeCheckingMode": "strict"}')
    command = ("pyright", "--pythonpath", sys.executable, "--outputjson")
    result = json.loads(check(*command, folder=folder).stdout)
    assert result["summary"]["filesAnalyzed"] == 1
    diagnostics: List[Any] = result["generalDiagnostics"]
    return diagnostics


def test_mypy_accepts_a_typed_program(tmp_path: Path) -> None:
    result = mypy("consumer.py", tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr


def test_mypy_finds_every_mistake(tmp_path: Path) -> None:
    found = re.findall(r"mistakes\.py:(\d+): error", mypy("mistakes.py", tmp_path).stdout)
    assert set(map(int, found)) == MISTAKES


def test_pyright_accepts_a_typed_program(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    assert pyright("consumer.py", tmp_path) == []


def test_pyright_finds_every_mistake(tmp_path: Path) -> None:
    pytest.importorskip("pyright")
    found: Set[int] = {
        row["range"]["start"]["line"] + 1
        for row in pyright("mistakes.py", tmp_path)
        if row["severity"] == "error"
    }
    assert found == MISTAKES


def test_the_stub_of_the_native_module_is_true(tmp_path: Path) -> None:
    result = check("mypy.stubtest", "moorline._native", folder=tmp_path)
    assert result.returncode == 0, result.stdout + result.stderr
