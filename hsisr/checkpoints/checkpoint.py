"""One self-describing .safetensors file per model: tensors, and a card as JSON in its header.

No class is pickled and no name in a file is imported: a card names a network on the shelf and the
numbers to build it with, the tensors have to fit that network exactly, and a SHA-256 over both has
to match. Anything else is refused.
"""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

import safetensors.torch
import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from hsisr import __version__
from hsisr.checkpoints.header import FORMAT, tables
from hsisr.cube import Spectrum
from hsisr.errors import ModelError
from hsisr.files import write_durably
from hsisr_models.networks import TokenNetwork, UnmixNetwork
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

Network = TypeVar("Network", bound=nn.Module)

SUFFIX = ".safetensors"
RANDOM = "random"
"""What `data["unmixing"]` of a card says where the unmixing network was never trained."""
COUNTS = range(1, 4097)
"""The whole numbers that a network can be built with, here and when its file is read."""
_REFUSALS = (LookupError, TypeError, ValueError, RuntimeError, ArithmeticError, AttributeError)
_PREFIXES = ("network.", "unmixer.")
_DTYPES = (torch.float32, torch.float16)


@dataclass(frozen=True)
class Part:
    """One network of a model: its name on the shelf and the numbers it is built with."""

    name: str
    numbers: dict[str, Any]


@dataclass(frozen=True)
class Card:
    """The description of a model, stored in its file."""

    kind: str
    """`sr` or `unmix`."""
    bands: int
    """0 for a model that takes any."""
    scale: int
    """1 for an unmixing model."""
    peak: float
    """Physical values are divided by this before the network."""
    network: Part | None = None
    unmixer: Part | None = None
    endmembers: int = 0
    wavelengths_nm: tuple[float, ...] | None = None
    degradation: str = "bicubic"
    recipe: dict[str, Any] = field(default_factory=dict)
    data: dict[str, Any] = field(default_factory=dict)
    """Where the training data came from: files, splits, their SHA-256."""
    scores: dict[str, float] = field(default_factory=dict)
    """On the validation blocks."""
    parent: str | None = None
    """SHA-256 of the unmixing model this one was trained through."""
    made_by: str = f"hsisr {__version__}"

    @property
    def unmixes_at_random(self) -> bool:
        """Whether its unmixing network has random weights: a control, fit for no scene."""
        return self.data.get("unmixing") == RANDOM

    @property
    def spectrum(self) -> Spectrum | None:
        """The wavelengths of the bands, if the training data had any."""
        return Spectrum(self.wavelengths_nm) if self.wavelengths_nm else None


@dataclass(frozen=True)
class Checkpoint:
    """A model as read from its file."""

    path: Path
    card: Card
    tensors: dict[str, Tensor]
    sha256: str

    def unmixer(self) -> UnmixNetwork:
        """The unmixing network, frozen; raises `ModelError`."""
        if self.card.unmixer is None:
            raise ModelError(
                "holds no unmixing network",
                where=self.path,
                hint="train one: hsisr train-unmix RUN",
            )
        part = self.card.unmixer
        return self._fill(
            lambda: METHODS[part.name].build(
                bands=self.card.bands, endmembers=self.card.endmembers, **part.numbers
            ),
            "unmixer.",
        )

    def resolver(self) -> SuperResolver:
        """The super-resolution network with its unmixing network, frozen; raises `ModelError`."""
        part = self.card.network
        if part is None:
            raise ModelError(
                "is an unmixing model, not a super-resolution model",
                where=self.path,
                hint="train one: hsisr train-sr RUN",
            )
        network = self._fill(
            lambda: NETWORKS[part.name].build(
                # layers for no band at all cannot be made
                bands=self.card.bands or 1,
                scale=self.card.scale,
                endmembers=self.card.endmembers,
                **part.numbers,
            ),
            "network.",
        )
        if not self.card.bands and not isinstance(network, TokenNetwork):
            raise ModelError(f"'{part.name}' is not for any number of bands", where=self.path)
        unmixer = self.unmixer() if self.card.unmixer else None
        return SuperResolver(network, unmixer).eval().requires_grad_(False)

    def _fill(self, build: Callable[[], Network], prefix: str) -> Network:
        tensors = {
            name.removeprefix(prefix): tensor
            for name, tensor in self.tensors.items()
            if name.startswith(prefix)
        }
        try:
            # nothing is allocated before the file's tensors are known to fit
            with torch.device("meta"):
                network = build()
            network.load_state_dict(tensors, assign=True)
        except _REFUSALS as error:
            why = str(error).partition("\n")[0]
            what = f"does not fit its own card: {why}"
            raise ModelError(what, where=self.path) from error
        return network.eval().requires_grad_(False)


def save(path: Path, card: Card, parts: Mapping[str, nn.Module]) -> None:
    """Write a model durably; `parts` are its networks by their prefix in the file."""
    write_tensors(path, _tensors(parts), asdict(card))


def unsaved(card: Card, parts: Mapping[str, nn.Module]) -> Checkpoint:
    """The model that `save` would write, without a file."""
    tensors = _tensors(parts)
    digest = _digest(tensors, json.dumps(asdict(card), sort_keys=True))
    return Checkpoint(Path(), card, tensors, digest)


def _tensors(parts: Mapping[str, nn.Module]) -> dict[str, Tensor]:
    return {
        f"{prefix}.{name}": tensor.detach().cpu().contiguous()
        for prefix, network in parts.items()
        for name, tensor in network.state_dict().items()
    }


def load(path: Path) -> Checkpoint:
    """Read a model; raises `ModelError` for anything but an intact file of this version.

    Weights are float32, also where the file has float16.
    """
    tensors, about, digest = read_tensors(path)
    try:
        card = _card(about)
    except (AttributeError, TypeError, ValueError) as error:
        raise ModelError(f"its card is malformed: {error}", where=path) from error
    for name, tensor in tensors.items():
        if not name.startswith(_PREFIXES):
            raise ModelError(f"holds a tensor '{name}' that belongs to no network", where=path)
        if tensor.dtype not in _DTYPES or not bool(torch.isfinite(tensor).all()):
            what = f"its weights '{name}' are not all finite float32 or float16"
            raise ModelError(what, where=path)
    whole = {name: tensor.float() for name, tensor in tensors.items()}
    return Checkpoint(path, card, whole, digest)


def save_half(path: Path, model: Checkpoint) -> Checkpoint:
    """Write a model in float16, each weight rounded by at most 1 part in 2,048, and load it.

    Raises `ModelError` if one is beyond 65,504.
    """
    tensors = {name: tensor.half() for name, tensor in model.tensors.items()}
    if not all(bool(tensor.isfinite().all()) for tensor in tensors.values()):
        raise ModelError("has weights beyond the range of float16", where=model.path)
    write_tensors(path, tensors, asdict(model.card))
    return load(path)


def write_tensors(path: Path, tensors: Mapping[str, Tensor], about: Mapping[str, Any]) -> None:
    """Write tensors and a JSON object to one file, sealed by a SHA-256 over both."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    text = json.dumps(about, sort_keys=True)
    metadata = {"format": FORMAT, "about": text, "sha256": _digest(plain, text)}
    write_durably(path, _in_order(safetensors.torch.save(plain, metadata)))


def _in_order(file: bytes) -> bytes:
    """The same file, its metadata sorted: safetensors shuffles them every time.

    It begins with 8 bytes that tell the length of a header in JSON, padded to 8 bytes.
    """
    end = 8 + int.from_bytes(file[:8], "little")
    header = json.loads(file[8:end])
    header["__metadata__"] = dict(sorted(header["__metadata__"].items()))
    text = json.dumps(header, ensure_ascii=False, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + file[end:]


def read_tensors(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], str]:
    """Read what `write_tensors` wrote: tensors, object, SHA-256; raises `ModelError`."""
    try:
        with path.open("rb") as file:
            metadata, _ = tables(file, path)
            file.seek(0)
            data = file.read()
    except OSError as error:
        raise ModelError(f"cannot be read: {error.strerror}", where=path) from error
    try:
        tensors = safetensors.torch.load(data)
        about = json.loads(metadata["about"])
    except (SafetensorError, ValueError, KeyError, RecursionError) as error:
        raise ModelError(f"is corrupt: {error}", where=path) from error
    digest = _digest(tensors, metadata["about"])
    if digest != metadata.get("sha256"):
        raise ModelError("is corrupt: its SHA-256 does not match its content", where=path)
    return tensors, about, digest


def _digest(tensors: Mapping[str, Tensor], text: str) -> str:
    digest = hashlib.sha256(text.encode())
    for name in sorted(tensors):
        tensor = tensors[name]
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _card(about: dict[str, Any]) -> Card:
    parts = {key: _part(about.get(key)) for key in ("network", "unmixer")}
    wavelengths = about.get("wavelengths_nm")
    card = Card(**{**about, **parts, "wavelengths_nm": wavelengths and tuple(wavelengths)})
    if not isinstance(card.data, dict):
        raise ValueError("its account of the training data is no table")
    unmixes = int(card.unmixer is not None)
    counts = ((card.bands, unmixes), (card.scale, 1), (card.endmembers, unmixes))
    for number, least in counts:
        if not isinstance(number, int) or not least <= number <= 1 << 16:
            raise ValueError(f"{number!r} is not a plausible count")
    if not isinstance(card.peak, float | int) or not 0 < card.peak < math.inf:
        raise ValueError(f"peak is {card.peak!r}")
    return card


def _part(table: dict[str, Any] | None) -> Part | None:
    if table is None:
        return None
    part = Part(**table)
    for key, number in part.numbers.items():
        if isinstance(number, int) and number not in COUNTS:
            raise ValueError(f"{key} = {number} is out of bounds")
    return part
