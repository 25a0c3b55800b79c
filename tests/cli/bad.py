"""Commands that must fail: the cases in a module, and how every one of them has to end."""

from __future__ import annotations

import inspect
import re


def cases_in(namespace):
    """The public functions that a module has defined so far."""
    return [
        value
        for name, value in list(namespace.items())
        if inspect.isfunction(value)
        and value.__module__ == namespace["__name__"]
        and not name.startswith("_")
    ]


def require_explained(ended, bad):
    """An exit code, one sentence, a next step, and no more than a few lines."""
    assert ended.code == bad.code, ended.err
    assert re.search(bad.said, ended.first), ended.first
    if bad.hint:
        assert re.search(f"hint: .*{bad.hint}", ended.err), ended.err
    assert len(ended.err.splitlines()) <= 6
