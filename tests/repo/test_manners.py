"""What a reader may rely on anywhere in the source."""

from __future__ import annotations

import ast

RUNS_CODE = {"eval", "exec", "compile", "__import__"}
UNSAFE_MODULES = {"pickle", "cPickle", "dill", "shelve", "marshal", "cloudpickle", "joblib"}


def _calls(source):
    return (node for node in ast.walk(source.tree) if isinstance(node, ast.Call))


def _dotted(node):
    parts = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id, *parts[::-1]]) if isinstance(node, ast.Name) else ""


def _found(sources, guilty):
    return [
        f"{source.name}:{call.lineno}"
        for source in sources
        for call in _calls(source)
        if guilty(source, call)
    ]


def test_only_the_command_line_prints_and_exits(sources):
    talks = {"print", "input", "exit", "quit", "sys.exit", "os._exit", "sys.stdout.write"}

    def guilty(source, call):
        inside = source.name.startswith("hsisr/cli/") or source.name == "hsisr/__main__.py"
        # the decoder of MAT files is a process of its own
        return not inside and "_child" not in source.name and _dotted(call.func) in talks

    assert not _found(sources, guilty)


def test_no_file_can_make_the_tool_run_code(sources):
    def guilty(source, call):
        name = _dotted(call.func)
        options = {
            keyword.arg: keyword.value.value
            for keyword in call.keywords
            if isinstance(keyword.value, ast.Constant)
        }
        return (
            name in RUNS_CODE
            or name in ("yaml.load", "torch.load", "torch.hub.load", "os.system", "os.popen")
            or options.get("allow_pickle") is True
            or options.get("shell") is True
            or options.get("weights_only") is False
        )

    assert not _found(sources, guilty)


def test_nothing_that_unpickles_is_imported(sources):
    imported = {
        (alias.name.partition(".")[0], source.name)
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Import | ast.ImportFrom)
        for alias in (
            node.names if isinstance(node, ast.Import) else [ast.alias(node.module or "")]
        )
    }
    assert not [name for name in imported if name[0] in UNSAFE_MODULES]


def test_numpy_never_loads_pickled_arrays(sources):
    def guilty(source, call):
        return _dotted(call.func) == "np.load" and not any(
            keyword.arg == "allow_pickle" and keyword.value.value is False
            for keyword in call.keywords
        )

    assert not _found(sources, guilty)


def test_only_the_command_line_reads_the_environment(sources):
    readers = [
        f"{source.name}:{node.lineno}"
        for source in sources
        for node in ast.walk(source.tree)
        if isinstance(node, ast.Attribute) and _dotted(node) in ("os.environ", "os.getenv")
        # a process of its own needs one
        if not source.name.startswith("hsisr/cli/") and not source.name.endswith("_confined.py")
    ]
    assert not readers


def _public(body, inside=""):
    for node in body:
        named = isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef)
        if not named or node.name.startswith("_"):
            continue
        yield f"{inside}{node.name}", node
        if isinstance(node, ast.ClassDef):
            yield from _public(node.body, f"{node.name}.")


def test_everything_public_says_what_it_is(sources):
    silent = [
        f"{source.name} {name}"
        for source in sources
        for name, node in [("module", source.tree), *_public(source.tree.body)]
        if not ast.get_docstring(node)
    ]
    assert not silent
