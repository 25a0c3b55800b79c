"""The scene of the demo, as the package tensorly ships it, without the damage it came with."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from hsisr.errors import UsageError

_LINE_FEED, _CARRIAGE_RETURN = 10, 13
_RANKS = (2, 3, 4, 6, 8)


def write_indian_pines(path: Path) -> int:
    """Write the scene as ENVI; returns how many of its samples were repaired.

    Raises `UsageError` where tensorly is not installed.
    """
    try:
        from tensorly.datasets import load_indian_pines
    except ImportError:
        raise UsageError(
            "the demo scene comes with the package tensorly", hint="pip install 'hsisr[demo]'"
        ) from None
    from hsisr.cube import CubeSpec, Spectrum
    from hsisr.encoding import write_block
    from hsisr.formats import create_cube

    data = load_indian_pines()
    stored = np.asarray(data["tensor"], np.uint16)
    rows, cols, bands = stored.shape
    scene = repaired(stored.reshape(-1, bands))
    spec = CubeSpec(
        bands,
        rows,
        cols,
        np.dtype(np.uint16),
        spectrum=Spectrum(tuple(float(centre) for centre in data["ticks"][1])),
        description="Indian Pines, AVIRIS, 1992-06-12, 200 bands without water absorption",
        interleave="bil",
    )
    with create_cube(path, spec, "envi") as writer:
        write_block(writer, spec.window, scene.T.reshape(bands, rows, cols).astype(np.float32))
    return int(np.count_nonzero(scene != stored.reshape(-1, bands)))


def repaired(pixels: NDArray[np.uint16]) -> NDArray[np.uint16]:
    """Pixels (N, B) whose high bytes were copied as text, with carriage returns put back.

    No sample of the scene has the high byte 13, and twice as many as could be expected have 10:
    each of those is what it says, or 768 too small. The spectra lie so close to a plane of few
    dimensions that it tells which; its rank grows while the pixels heal.
    """
    doubtful = pixels >> 8 == _LINE_FEED
    low = pixels.astype(np.float32)
    high = low + 256 * (_CARRIAGE_RETURN - _LINE_FEED)
    healed = np.where(doubtful, (low + high) / 2, low)
    for rank in _RANKS:
        mean = healed.mean(0)
        _, axes = np.linalg.eigh(np.cov(healed.T))
        plane = axes[:, -rank:].astype(np.float32)
        expected = mean + (healed - mean) @ plane @ plane.T
        closer = np.abs(high - expected) < np.abs(low - expected)
        healed = np.where(doubtful & closer, high, low)
    return healed.astype(np.uint16)
