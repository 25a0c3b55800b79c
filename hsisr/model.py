"""Models as a user names them, and whether they fit a scene."""

from __future__ import annotations

from collections.abc import Sequence
from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hsisr.checkpoints import checkpoint, zoo
from hsisr.checkpoints.checkpoint import SUFFIX, Checkpoint
from hsisr.checkpoints.header import MODEL
from hsisr.cube import CubeSpec, spectral_mismatch
from hsisr.errors import ModelError, UsageError
from hsisr.runtime import Runtime
from hsisr.scene.survey import Survey
from hsisr.tiling.operations import Sharpen, Unmix
from hsisr.tiling.run import freeze
from hsisr.wording import counted
from hsisr_models.blocks import thaw_attention
from hsisr_models.networks import TokenNetwork, UnmixNetwork
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import bicubic

STEPS = {"sr": "sr", "unmix": "unmix"}
"""The folder of each kind of model in a run folder."""


def find(name: str, kind: str, folder: Path = zoo.ZOO) -> Path:
    """The file of a model named by its path, its run folder or its id; raises `ModelError`.

    An id, of the models in `folder`, goes before a path; `./any-x4` can only be a path.
    """
    if kind == "sr" and name in zoo.names(folder):
        return zoo.find(name, folder).path
    path = Path(name)
    if path.is_dir():
        inside = path / STEPS[kind] / MODEL
        path = inside if inside.exists() or not (path / MODEL).exists() else path / MODEL
    if not path.exists():
        command = "train-sr" if kind == "sr" else "train-unmix"
        hint = f"train one: hsisr {command} RUN"
        if kind == "sr":
            hint = f"one of {', '.join((zoo.AUTO, zoo.BICUBIC, *zoo.names(folder)))}, or {hint}"
        raise ModelError("no such model", where=path, hint=hint)
    if path.suffix != SUFFIX:
        raise ModelError(
            f"models are {SUFFIX} files; pickled ones (.pt, .pth, .ckpt) are never opened, "
            "because they can run code",
            where=path,
        )
    return path


@dataclass(frozen=True)
class SrModel:
    """A super-resolution model, ready for any scene that it fits."""

    name: str
    scale: int
    peak: float
    network: SuperResolver
    checkpoint: Checkpoint | None = None
    pretrained: bool = False
    """Whether it comes from the zoo."""

    @property
    def choice(self) -> str:
        """Which model this is, and for what, in a few words."""
        if self.checkpoint is None:
            return f"{self.name}: interpolation, nothing is learned"
        origin = "the pretrained model" if self.pretrained else "a model trained"
        bands = counted(self.checkpoint.card.bands, "band")
        fits = "any sensor" if self.tokens else f"scenes of {bands}"
        return f"{self.name}: {origin} for scale {self.scale}, {fits}"

    @property
    def tokens(self) -> int:
        """How many axes of a scene's subspace it works on; 0 if it works on the bands."""
        core = self.network.network
        return core.tokens if isinstance(core, TokenNetwork) else 0

    @property
    def degradation(self) -> str:
        """The operator that it learned to undo, the first of several; `bicubic` if none."""
        if self.checkpoint is None:
            return "bicubic"
        # a model that was trained on several names them all
        return self.checkpoint.card.degradation.partition(",")[0]

    def require_fit(self, spec: CubeSpec) -> None:
        """Raise `ModelError` unless the scene has the bands this model was trained for."""
        if self.checkpoint is not None and not self.tokens:
            _require_bands(self.checkpoint, spec)

    def copied(self) -> SrModel:
        """The same model once more, for another device."""
        return replace(self, network=deepcopy(self.network))

    def operation(self, seen: Survey, runtime: Runtime, *, dynamic: bool = False) -> Sharpen:
        """The model as an operation on the tiles of a surveyed scene.

        `dynamic` lets attention pool over every tile by itself, which is not local.
        """
        self.network.to(runtime.device)
        core = self.network.network
        if isinstance(core, TokenNetwork):
            core.subspace = seen.subspace and seen.subspace.to(runtime.device)
        if dynamic:
            thaw_attention(self.network)
            return Sharpen(self.network, self.scale, None, self.peak)
        freeze(self.network, seen, self.peak, runtime)
        return Sharpen(self.network, self.scale, self.network.reach, self.peak)


def load_sr(name: str, scale: int | None, folder: Path = zoo.ZOO) -> SrModel:
    """The super-resolution model `name` for `scale`.

    `name` is an id of the pretrained models in `folder`, `auto` for the one of them that fits the
    scale, `bicubic`, a file or a run. Raises `UsageError` if `auto` lacks a scale, and `ModelError`
    if there is no such model or it was trained for another scale.
    """
    if name == zoo.BICUBIC:
        factor = scale or 2
        network = SuperResolver(bicubic.build(bands=1, scale=factor), None)
        return SrModel(name, factor, 1.0, network)
    name = _picked(scale, folder) if name == zoo.AUTO else name
    found = checkpoint.load(find(name, "sr", folder))
    network, pretrained = found.resolver(), name in zoo.names(folder)
    if scale not in (None, found.card.scale):
        other = f"--model {zoo.AUTO}" if pretrained else "train one: hsisr prepare SCENE"
        raise ModelError(
            f"'{name}' was trained for scale {found.card.scale}, not {scale}",
            where=found.path,
            hint=f"--scale {found.card.scale}, or {other} --scale {scale}",
        )
    return SrModel(name, found.card.scale, found.card.peak, network, found, pretrained)


def load_alike(names: Sequence[str], scale: int | None, folder: Path = zoo.ZOO) -> list[SrModel]:
    """Models for `scale`, or for that of those among them that were trained for one.

    Raises `UsageError` if these differ or there are none, else as `load_sr`.
    """
    follow = (zoo.BICUBIC, zoo.AUTO)
    trained = {name: load_sr(name, scale, folder) for name in names if name not in follow}
    scales = {model.scale: name for name, model in trained.items()}
    if len(scales) > 1:
        told = ", ".join(f"{name} for {scale}" for scale, name in scales.items())
        raise UsageError(f"models for several scales: {told}", hint="one scale at a time")
    scale = scale or next(iter(scales), None)
    if scale is None:
        raise UsageError("no --scale given", hint="--scale 4")
    return [trained.get(name) or load_sr(name, scale, folder) for name in names]


def _picked(scale: int | None, folder: Path) -> str:
    if scale is None:
        raise UsageError("no --scale given, by which a model is picked", hint="--scale 4")
    return zoo.pick(scale, folder).id


@dataclass(frozen=True)
class UnmixModel:
    """An unmixing model, ready for any scene that it fits."""

    name: str
    checkpoint: Checkpoint
    network: UnmixNetwork

    @property
    def count(self) -> int:
        """How many materials it knows."""
        return self.checkpoint.card.endmembers

    @property
    def endmembers(self) -> NDArray[np.float32]:
        """The spectra of the materials (p, B), in the units of the scene."""
        spectra: Tensor = self.network.endmembers * self.checkpoint.card.peak
        return spectra.detach().cpu().numpy()

    def require_fit(self, spec: CubeSpec) -> None:
        """Raise `ModelError` unless the scene has the bands this model was trained for."""
        _require_bands(self.checkpoint, spec)

    def operation(self, seen: Survey, runtime: Runtime) -> Unmix:
        """The model as an operation on the tiles of a surveyed scene."""
        self.network.to(runtime.device)
        peak = self.checkpoint.card.peak
        freeze(self.network, seen, peak, runtime)
        network = self.network
        return Unmix(network.encode, network.decode, network.reach, peak, network.footprint)


def load_unmix(name: str) -> UnmixModel:
    """The unmixing model `name` (a file or a run); raises `ModelError`."""
    found = checkpoint.load(find(name, "unmix"))
    if found.card.unmixes_at_random:
        raise ModelError(
            "its unmixing network has random weights, as a control",
            where=found.path,
            hint="train one: hsisr train-unmix RUN",
        )
    return UnmixModel(name, found, found.unmixer())


def _require_bands(model: Checkpoint, spec: CubeSpec) -> None:
    card = model.card
    if spec.bands != card.bands:
        raise ModelError(
            f"was trained for {counted(card.bands, 'band')}, this scene has {spec.bands}",
            where=model.path,
            hint="train one on this sensor: hsisr prepare SCENE, hsisr train-unmix, hsisr train-sr",
        )
    worst = spectral_mismatch(spec.spectrum, card.spectrum)
    if worst is not None:
        raise ModelError(f"was trained for other wavelengths: {worst} there", where=model.path)
