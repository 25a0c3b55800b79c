"""Decodes one MAT file for its parent, which survives whatever the file does to the decoder.

Run as a script with the file and the memory for a start in bytes. It writes one line of JSON with
the variables, reads one line that says what to extract, and writes one line with the metadata; the
cube itself goes to a .npy file. Nothing but numpy and scipy is imported.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator
from typing import Any, BinaryIO

_SECONDS = 3600


def main() -> None:
    """List, wait, extract; an error takes the place of the answer and ends the process."""
    path, memory = sys.argv[1], int(sys.argv[2])
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_CPU, (_SECONDS, _SECONDS))
    _limit_memory(memory)
    with open(path, "rb") as file:  # noqa: PTH123 - pathlib would be one more import
        _answer(lambda: _variables(file))
        request = json.loads(sys.stdin.readline() or "null")
        if request:
            _limit_memory(request["memory"])
            _answer(lambda: _extract(file, **request))


def _limit_memory(limit: int) -> None:
    resource.setrlimit(resource.RLIMIT_DATA, (limit, resource.RLIM_INFINITY))


def _answer(work: Callable[[], Any]) -> None:
    try:
        answer = {"result": work()}
    except Exception as error:  # whatever scipy raises is an answer for the parent
        answer = {"error": f"{type(error).__name__}: {error}"}
    sys.stdout.write(json.dumps(answer) + "\n")
    sys.stdout.flush()
    if "error" in answer:
        sys.exit(1)


def _variables(file: BinaryIO) -> list[tuple[str, tuple[int, ...], str]]:
    from scipy.io import whosmat

    try:
        found = whosmat(file)
    except TypeError:  # an object of one of MATLAB's newer classes: string, table, datetime
        found = list(_one_by_one(file))
    return [
        (name, tuple(map(int, shape)), kind)
        for name, shape, kind in found
        if not name.startswith("__")
    ]


def _one_by_one(file: BinaryIO) -> Iterator[tuple[str, tuple[int, ...], str]]:
    from scipy.io import whosmat
    from scipy.io.matlab import varmats_from_mat

    for _, variable in varmats_from_mat(file):
        try:
            yield from whosmat(variable)
        except TypeError:
            yield "an object", (), "without a name"


def _extract(
    file: BinaryIO, cube: str, metadata: dict[str, str], target: str, memory: int
) -> dict[str, Any]:
    import numpy as np
    from scipy.io import loadmat

    found = loadmat(file, variable_names=[cube, *metadata.values()])
    stored = found[cube]
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "iuf":
        raise ValueError(f"'{cube}' is not made of real numbers")
    np.save(target, stored, allow_pickle=False)
    return {key: _plain(np.asarray(found[name])) for key, name in metadata.items()}


def _plain(value: Any) -> Any:
    if value.dtype.kind == "U":
        return "".join(value.ravel().tolist())
    if value.dtype.kind not in "iuf":
        return []
    return [float(number) for number in value.ravel()]


if __name__ == "__main__":
    main()
