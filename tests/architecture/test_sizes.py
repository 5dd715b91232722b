"""Files and functions stay small enough to be read at once."""

import ast
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("api", "cli", "shared", "simulator", "worker")
# Scripts, pages and styles count as well; what is vendored is not ours to read.
KINDS = {".py", ".lua", ".js", ".css"}
FILES = sorted(path for package in PACKAGES for path in (ROOT / package).rglob("*.py"))
MAX_FILE_LINES = 400
MAX_FUNCTION_LINES = 50
# Nine of ten functions are at most so long.
USUAL_FUNCTION_LINES = 20


def functions(path: Path) -> list[tuple[str, int]]:
    """Names of the functions of a file, nested ones too, with their lines: signature and docstring included."""
    found = [
        node
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
    ]
    return [(node.name, (node.end_lineno or node.lineno) - node.lineno + 1) for node in found]


@pytest.mark.parametrize("package", [*PACKAGES, "console"])
def test_files_are_short(package: str) -> None:
    ours = [path for path in (ROOT / package).rglob("*") if path.suffix in KINDS and "vendor" not in path.parts]
    assert ours
    lines = {path: len(path.read_text(encoding="utf-8").splitlines()) for path in ours}
    assert {str(path.relative_to(ROOT)): n for path, n in lines.items() if n > MAX_FILE_LINES} == {}


def test_functions_are_short() -> None:
    lengths = {(str(path.relative_to(ROOT)), name): n for path in FILES for name, n in functions(path)}
    assert {where: n for where, n in lengths.items() if n > MAX_FUNCTION_LINES} == {}
    usual = sorted(lengths.values())[len(lengths) * 9 // 10]
    assert usual <= USUAL_FUNCTION_LINES


def test_the_longest_function_is_found(tmp_path: Path) -> None:
    file = tmp_path / "long.py"
    file.write_text("def outer():\n    async def inner():\n        return 1\n    return inner\n")
    assert functions(file) == [("outer", 4), ("inner", 2)]
