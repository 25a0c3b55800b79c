"""Runs decoders that a damaged file can crash, hang or make greedy, apart from the main process.

A script, not a module: it is started by `_confined` with the name of the file, reads requests as
lines of JSON and answers each with one. It imports nothing of hsisr.
"""

from __future__ import annotations

import json
import resource
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any

Entry = tuple[str, Sequence[int], str]

_SECONDS = 3600
"""Ends the process if its parent cannot any more."""


def main() -> None:
    """Answer requests until there are no more; an error is an answer too."""
    _limit(resource.RLIMIT_CORE, 0)
    _limit(resource.RLIMIT_CPU, _SECONDS)
    for line in sys.stdin:
        request = json.loads(line)
        _limit(resource.RLIMIT_DATA, request.pop("memory"))
        try:
            answer = {"result": _TASKS[request.pop("task")](sys.argv[1], **request)}
        except Exception as error:  # whatever the libraries raise, the parent tells the user
            answer = {"error": f"{type(error).__name__}: {error}"}
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def _limit(kind: int, amount: int) -> None:
    """Set a limit, within the one that a cluster may have set, which cannot be raised."""
    hard = resource.getrlimit(kind)[1]
    within = amount if hard == resource.RLIM_INFINITY else min(amount, hard)
    resource.setrlimit(kind, (within, hard))


def mat_variables(path: str) -> list[Entry]:
    """Name, shape and MATLAB class of everything in a MAT file up to v7."""
    from scipy.io import whosmat

    found: Sequence[Entry]
    try:
        found = whosmat(path, appendmat=False)
    except TypeError:  # an object of one of MATLAB's newer classes: string, table, datetime
        found = list(_one_by_one(path))
    return [
        (name, tuple(map(int, shape)), kind)
        for name, shape, kind in found
        if not name.startswith("__")
    ]


def _one_by_one(path: str) -> Iterator[Entry]:
    from scipy.io import whosmat
    from scipy.io.matlab import varmats_from_mat

    with open(path, "rb") as file:  # noqa: PTH123 - one import less
        variables = varmats_from_mat(file)
    for _, content in variables:
        variable: Any = content
        try:
            yield from whosmat(variable)
        except TypeError:
            yield "an object", (), "without a name"


def mat_extract(path: str, wanted: str, metadata: dict[str, str], target: str) -> dict[str, Any]:
    """Save the variable `wanted` as .npy and return those of `metadata` as plain values."""
    import numpy as np
    from scipy.io import loadmat

    found = loadmat(path, appendmat=False, variable_names=[wanted, *metadata.values()])
    stored = found[wanted]
    if not isinstance(stored, np.ndarray) or stored.dtype.kind not in "iuf":
        raise ValueError(f"'{wanted}' is not made of real numbers")
    np.save(target, stored, allow_pickle=False)
    return {key: _plain(np.asarray(found[name])) for key, name in metadata.items()}


def _plain(value: Any) -> Any:
    if value.dtype.kind == "U":
        return "".join(value.ravel().tolist())
    return [float(number) for number in value.ravel()] if value.dtype.kind in "iuf" else []


def hdf5_texts(path: str, places: Sequence[tuple[str, str | None]]) -> list[list[str]]:
    """The texts of data sets (name, None) and attributes (name, attribute); objects by name."""
    import h5py
    import numpy as np

    def text(value: Any) -> str:
        if isinstance(value, h5py.Reference):
            return str(file[value].name)
        if isinstance(value, np.ndarray):
            return text(value.flat[0]) if value.size else ""
        return value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)

    with h5py.File(path, "r", locking=False) as file:
        found = [file[name][()] if key is None else file[name].attrs[key] for name, key in places]
        return [[text(value) for value in np.asarray(values, object).flat] for values in found]


_TASKS: dict[str, Callable[..., Any]] = {
    "mat_variables": mat_variables,
    "mat_extract": mat_extract,
    "hdf5_texts": hdf5_texts,
}

if __name__ == "__main__":
    main()
