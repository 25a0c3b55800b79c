"""Tiny models with random weights, alone and in a folder of models as the zoo is one."""

from __future__ import annotations

from pathlib import Path

import torch

from hsisr import recipe
from hsisr.checkpoints.checkpoint import Card, Part, load, save
from hsisr.checkpoints.zoo import CARD, MODEL, Entry
from hsisr_models.sr import SHELF as NETWORKS

NUMBERS = {"width": 4, "depth": 1}
SCENES = [
    {"file": "first.img", "format": "envi", "shape": [3, 20, 30], "bytes": 7200, "notes": []},
    {"file": "a|b.tif", "format": "tiff", "shape": [3, 40, 50], "bytes": 24000, "notes": []},
]


def save_model(path: Path, scale: int = 2, bands: int = 3) -> Path:
    """A super-resolution model for so many bands; 0 for any."""
    torch.manual_seed(scale)
    name = "unmixing_sr" if bands else "subspace_sr"
    card = Card(
        kind="sr",
        bands=bands,
        scale=scale,
        peak=1000.0,
        network=Part(name, NUMBERS),
        recipe=recipe.load("tiny").to_dict(),
        data={"scenes": SCENES, "gap": 2},
        scores={"psnr": 31.25, "sam": 2.5},
    )
    network = NETWORKS[name].build(bands=bands, scale=scale, endmembers=0, **NUMBERS)
    save(path, card, {"network": network})
    return path


def made_zoo(folder: Path, *scales: int) -> list[Entry]:
    """Models `tiny-x2`, ... with the shortest of cards."""
    made = []
    for scale in scales:
        entry = Entry(folder / f"tiny-x{scale}")
        entry.folder.mkdir(parents=True)
        save_model(entry.folder / MODEL, scale)
        (entry.folder / CARD).write_text(f"# {entry.id}\n\n{load(entry.path).sha256}\n")
        made.append(entry)
    return made
