from __future__ import annotations

import ast
from statistics import median, quantiles


def _bodies(source):
    """The lines of every function's body, its docstring left out."""
    for node in ast.walk(source.tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            body = node.body[1:] if ast.get_docstring(node) is not None else node.body
            lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
            yield lines, f"{source.name}:{node.lineno} {node.name}"


def test_functions_are_short(sources):
    bodies = sorted(body for source in sources for body in _bodies(source))
    lines = [size for size, _ in bodies]
    assert bodies[-1][0] <= 60, bodies[-1][1]
    assert quantiles(lines, n=10)[-1] <= 30
    assert median(lines) <= 10


def test_files_are_short(sources):
    sizes = sorted((len(source.text.splitlines()), source.name) for source in sources)
    assert sizes[-1][0] <= 350, sizes[-1][1]
    assert median(size for size, _ in sizes) <= 150
