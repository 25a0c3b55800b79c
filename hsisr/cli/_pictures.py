"""The pictures that `hsisr unmix` writes: a sheet of all maps, and the endmembers as lines."""

from __future__ import annotations

from typing import TYPE_CHECKING

from hsisr.cli import _shared as shared
from hsisr.cli._unmix_job import Job, kinds_of, names_of

if TYPE_CHECKING:
    from pathlib import Path

    from numpy import float32
    from numpy.typing import NDArray

    from hsisr.cli._unmix_job import Unmixer
    from hsisr.cube import Spectrum

_LONGEST = 512
"""Side of a map in a picture."""
_TITLES = {"rmse": "error, root mean square", "sam": "spectral angle [°]", "gain": "gain"}


def draw(job: Job, unmixer: Unmixer, spectrum: Spectrum | None) -> None:
    """Write both pictures; without matplotlib only the maps, and without names."""
    try:
        from hsisr.results import plot
    except ImportError:
        shared.note("no names in the picture without matplotlib: pip install 'hsisr[plot]'")
        _draw_plainly(job)
        return
    from hsisr.results.picture import overview, rgb_bands, stretched
    from hsisr.scene.spectra import good_bands

    results, cube = job.results, job.cube
    scene = stretched(overview(cube, rgb_bands(cube.spec), _LONGEST))
    materials = names_of(unmixer)[1]
    others = {
        title: _seen(results.maps[name])[0]
        for name, title in _TITLES.items()
        if name in results.maps
    }
    sheet = plot.maps(scene, _seen(results.abundance), materials, others)
    plot.write(results.picture, sheet)
    good = good_bands(cube.spec)
    plot.write(results.lines, plot.spectra(unmixer.endmembers, kinds_of(unmixer), spectrum, good))


def _draw_plainly(job: Job) -> None:
    from hsisr.results.palette import colours
    from hsisr.results.picture import classified, dominant, grey, sheet, write_png

    shares = _seen(job.results.abundance)
    classes = classified(dominant(shares), colours(len(shares)))
    write_png(job.results.picture, sheet([classes, *(grey(map_, 0, 1) for map_ in shares)], 4))


def _seen(path: Path) -> NDArray[float32]:
    """All bands of a map, thinned out."""
    from hsisr.formats import open_cube
    from hsisr.results.picture import overview

    with open_cube(path) as cube:
        return overview(cube, range(cube.spec.bands), _LONGEST)
