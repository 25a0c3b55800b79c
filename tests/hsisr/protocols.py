"""Stand-ins for the scenes of published protocols, and MATLAB's imresize in NumPy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray
from PIL import Image
from scipy.io import savemat

from hsisr.data.protocol import Protocol, load
from hsisr.data.published import Plan


def numbered(rows: int, cols: int, bands: int) -> NDArray[np.uint16]:
    """A scene (rows, cols, bands) in which neither rows, columns nor bands can be mistaken."""
    row, col, band = np.ogrid[:rows, :cols, :bands]
    return ((row * 31 + col * 57 + band * 101) % 9973 + 1).astype(np.uint16)


def write_mat5(path: Path, name: str, scene: NDArray[Any]) -> None:
    savemat(path, {name: scene})


def write_mat73(path: Path, name: str, scene: NDArray[Any]) -> None:
    save_mat73(path, {name: scene})


def save_mat73(path: Path, content: Mapping[str, NDArray[Any]]) -> None:
    """As MATLAB's `save -v7.3`: axes reversed, a user block before the HDF5 signature."""
    with h5py.File(path, "w", userblock_size=512) as file:
        for name, array in content.items():
            dataset = file.create_dataset(name, data=array.transpose())
            dataset.attrs["MATLAB_class"] = np.bytes_(str(array.dtype).replace("float64", "double"))
    with path.open("r+b") as raw:
        raw.write(b"MATLAB 7.3 MAT-file".ljust(124) + b"\0\2IM")


def write_bands(folder: Path, name: str, scene: NDArray[Any]) -> None:
    """One grey PNG per band of a scene (rows, cols, bands), as the CAVE scenes are unpacked."""
    place = folder / name / name
    place.mkdir(parents=True)
    for band in range(scene.shape[2]):
        Image.fromarray(scene[..., band]).save(place / f"{name}_{band + 1:02d}.png")


def smaller(
    name: str, shape: Sequence[int], parts: Sequence[Mapping[str, Any]] = (), **scene: Any
) -> Protocol:
    """A protocol for scenes of another shape; without `parts` those of the protocol's names."""
    protocol = load(name)
    assert protocol.plan is not None
    table = {"files": protocol.plan.files, "shape": shape, "peak": protocol.plan.peak, **scene}
    tables = {"title": protocol.title, "get": protocol.get, "scene": table, "part": parts}
    plan = Plan.read(tables, name)
    if not parts:
        plan = replace(plan, parts=protocol.plan.parts)
    return replace(protocol, plan=plan)


def imresize(image: NDArray[np.float64], size: tuple[int, int]) -> NDArray[np.float64]:
    """MATLAB's `imresize(image, size)` of (rows, cols, ...), bicubic with antialiasing."""
    for axis, wanted in enumerate(size):
        weights = _weights(image.shape[axis], wanted)
        image = np.moveaxis(np.tensordot(weights, image, (1, axis)), 0, axis)
    return image


def _weights(length: int, wanted: int) -> NDArray[np.float64]:
    scale = min(wanted / length, 1)
    centre = (np.arange(wanted) + 0.5) * length / wanted - 0.5
    reach = int(np.ceil(2 / scale)) + 1
    matrix = np.zeros((wanted, length))
    for row, middle in enumerate(centre):
        for place in range(int(middle) - reach, int(middle) + reach + 2):
            mirrored = place % (2 * length)
            mirrored = min(mirrored, 2 * length - 1 - mirrored)
            matrix[row, mirrored] += _cubic(scale * (middle - place))
    return matrix / matrix.sum(1, keepdims=True)


def _cubic(x: float) -> float:
    """Keys' kernel with a = -1/2."""
    x = abs(x)
    if x <= 1:
        return 1.5 * x**3 - 2.5 * x**2 + 1
    return -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2 if x < 2 else 0.0
