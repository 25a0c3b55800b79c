"""Files of `hsisr synthesize --kind mixtures`: scenes, and the truth about each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hsisr.errors import UsageError

if TYPE_CHECKING:
    from hsisr.cube import CubeSpec, Spectrum
    from hsisr.unmixing.mixtures import Array, Mixture, Plan

_BANDS = 200
_RANGE_NM = (400.0, 2500.0)
"""The wavelengths that made-up spectra span."""
_COARSE = "_coarse"


@dataclass(frozen=True)
class Mixtures:
    """Makes scenes of linear mixtures."""

    plan: Plan
    endmembers: int
    bands: int | None
    library: Path | None
    snr: float | None
    scale: int | None
    degradation: str

    def __post_init__(self) -> None:
        """Raises `UsageError` for options that contradict each other."""
        from hsisr.scene.degraded import known_operator

        known_operator(self.degradation)
        if self.library and self.bands:
            raise UsageError("a library has bands of its own", hint="leave out --bands")
        side = self.plan.rows
        if self.scale and side % self.scale:
            raise UsageError(
                f"{side} x {side} pixels cannot be made {self.scale} times coarser",
                hint=f"--side {side // self.scale * self.scale}",
            )

    def files(self, stem: Path) -> list[Path]:
        """Everything that `make` writes of one scene."""
        from hsisr.results.export import library_files, outputs_of

        stems = [stem, *([_coarse(stem)] if self.scale else [])]
        return [
            file
            for each in stems
            for file in (
                *outputs_of(_image(each), "envi"),
                *outputs_of(_image(each, "_truth_abundance"), "envi"),
                *outputs_of(_image(each, "_truth_gain"), "envi"),
                *library_files(_endmembers(each)),
                each.with_name(f"{each.name}_truth.json"),
            )
        ]

    def make(self, stem: Path, seed: int) -> None:
        """Write a scene and its truth, and both at the lower resolution if that is asked for."""
        import numpy as np

        from hsisr.unmixing.mixtures import coarser, mixture, noisy

        spectra, names, spectrum = self._materials(seed)
        try:
            fine = mixture(spectra, self.plan, seed)
        except ValueError as error:
            raise UsageError(str(error)) from None
        made = {stem: fine}
        if self.scale:
            made[_coarse(stem)] = coarser(fine, self.scale, self.degradation)
        rng = np.random.default_rng((seed, 1))
        for each, mixed in made.items():
            seen = mixed.scene if self.snr is None else noisy(mixed.scene, self.snr, rng)
            _write(each, mixed, seen, names, spectrum, self._record(seed, mixed))

    def next_step(self, stem: Path) -> str:
        """The command to run next."""
        scene, truth = _image(stem), _image(stem, "_truth_abundance")
        return f"hsisr compare-unmix {scene} --truth {truth}"

    def _materials(self, seed: int) -> tuple[Array, Sequence[str], Spectrum | None]:
        """Endmembers (p, B), what they are called, and where the bands lie."""
        import numpy as np

        from hsisr.cube import Spectrum
        from hsisr.results.export import endmember_names
        from hsisr.unmixing.library import read_library
        from hsisr.unmixing.mixtures import drawn, smooth_spectra

        try:
            if self.library is None:
                bands = self.bands or _BANDS
                centres = np.linspace(*_RANGE_NM, bands).round(2).tolist()
                spectra = smooth_spectra(self.endmembers, bands, seed)
                return spectra, endmember_names(self.endmembers), Spectrum(tuple(centres))
            library = read_library(self.library)
            chosen = drawn(library.spectra, self.endmembers, seed)
        except ValueError as error:
            raise UsageError(str(error), hint="fewer --endmembers, or more --bands") from None
        return library.spectra[chosen], [library.names[i] for i in chosen], library.spectrum

    def _record(self, seed: int, made: Mixture) -> dict[str, Any]:
        return {
            "schema": "hsisr/mixture/1",
            "seed": seed,
            **asdict(self.plan),
            "snr_db": self.snr,
            "scale": self.scale,
            "degradation": self.degradation if self.scale else None,
            "largest_abundances": made.abundances.max((1, 2)).tolist(),
            "mean_abundances": made.abundances.mean((1, 2)).tolist(),
        }


def _write(
    stem: Path,
    made: Mixture,
    seen: Array,
    names: Sequence[str],
    spectrum: Spectrum | None,
    record: dict[str, Any],
) -> None:
    import numpy as np

    from hsisr.cube import CubeSpec
    from hsisr.files import write_json
    from hsisr.results.export import write_endmembers

    bands, rows, cols = seen.shape
    spec = CubeSpec(bands, rows, cols, np.dtype(np.float32), spectrum=spectrum)
    _store(_image(stem), spec, seen)
    maps = spec.with_bands(names, description="true abundances")
    _store(_image(stem, "_truth_abundance"), maps, made.abundances)
    gain = spec.with_bands(["gain"], description="true gain")
    _store(_image(stem, "_truth_gain"), gain, made.gain)
    write_endmembers(_endmembers(stem), made.spectra, spectrum, names)
    write_json(stem.with_name(f"{stem.name}_truth.json"), record)


def _store(path: Path, spec: CubeSpec, block: Array) -> None:
    import numpy as np

    from hsisr.encoding import write_block
    from hsisr.formats import create_cube

    with create_cube(path, spec, "envi") as writer:
        write_block(writer, spec.window, block.astype(np.float32))


def _image(stem: Path, tag: str = "") -> Path:
    return stem.with_name(f"{stem.name}{tag}.img")


def _endmembers(stem: Path) -> Path:
    return stem.with_name(f"{stem.name}_truth_endmembers")


def _coarse(stem: Path) -> Path:
    return stem.with_name(stem.name + _COARSE)
