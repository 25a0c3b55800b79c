"""A model file comes back bit for bit, and every change in it is noticed."""

from __future__ import annotations

import json
import os
import random
from dataclasses import asdict, replace
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

from hsisr.checkpoints.checkpoint import (
    Card,
    Part,
    load,
    read_tensors,
    save,
    save_half,
    write_tensors,
)
from hsisr.checkpoints.header import FORMAT
from hsisr.errors import ModelError
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

SMALL = {"width": 4, "depth": 1}
CARD = Card(
    kind="sr",
    bands=3,
    scale=2,
    peak=1000.0,
    network=Part("unmixing_sr", SMALL),
    unmixer=Part("gram_autoencoder", SMALL),
    endmembers=2,
    wavelengths_nm=(450.0, 550.0, 650.0),
    scores={"psnr": 40.0},
)


@pytest.fixture
def networks() -> dict[str, nn.Module]:
    torch.manual_seed(0)
    return {
        "network": NETWORKS["unmixing_sr"].build(bands=3, scale=2, endmembers=2, **SMALL),
        "unmixer": METHODS["gram_autoencoder"].build(bands=3, endmembers=2, **SMALL),
    }


@pytest.fixture
def model(tmp_path: Path, networks: dict[str, nn.Module]) -> Path:
    path = tmp_path / "model.safetensors"
    save(path, CARD, networks)
    return path


def test_a_model_comes_back_bit_for_bit(model: Path, networks: dict[str, nn.Module]) -> None:
    found = load(model)
    assert found.card == CARD
    resolver = found.resolver()
    assert resolver.unmixer is not None
    for part, original in networks.items():
        back = getattr(resolver, part).state_dict()
        assert list(back) == list(original.state_dict())
        for name, tensor in original.state_dict().items():
            assert torch.equal(tensor.view(torch.int32), back[name].view(torch.int32))
    assert not any(value.requires_grad for value in resolver.parameters())
    assert not any(module.training for module in resolver.modules())


def test_the_same_model_is_the_same_file(tmp_path: Path, networks: dict[str, nn.Module]) -> None:
    """And one that safetensors itself reads."""
    files = [tmp_path / f"{number}.safetensors" for number in range(12)]
    for path in files:
        save(path, CARD, networks)
    assert len({path.read_bytes() for path in files}) == 1
    with safe_open(files[0], "pt") as found:
        assert set(found.metadata()) == {"about", "format", "sha256"}
        for name, tensor in networks["network"].state_dict().items():
            assert torch.equal(found.get_tensor(f"network.{name}"), tensor)


def test_both_networks_compute_what_they_did(model: Path, networks: dict[str, nn.Module]) -> None:
    scene = torch.rand(1, 3, 5, 6)
    with torch.no_grad():
        shares = networks["unmixer"](scene)
        expected = networks["network"](scene, shares)
        assert torch.equal(load(model).unmixer()(scene), shares)
        assert torch.equal(load(model).resolver()(scene), expected)


def test_other_layouts_in_memory_are_the_same_model(
    tmp_path: Path, model: Path, networks: dict[str, nn.Module]
) -> None:
    turned = {k: v.to(memory_format=torch.channels_last) for k, v in networks.items()}
    save(tmp_path / "again.safetensors", CARD, turned)
    assert load(tmp_path / "again.safetensors").sha256 == load(model).sha256


@pytest.mark.parametrize("umask", [0o022, 0o077])
def test_the_mode_of_a_model_follows_the_umask(
    tmp_path: Path, networks: dict[str, nn.Module], umask: int
) -> None:
    before = os.umask(umask)
    try:
        save(tmp_path / "model.safetensors", CARD, networks)
    finally:
        os.umask(before)
    assert (tmp_path / "model.safetensors").stat().st_mode & 0o777 == 0o666 & ~umask


def test_every_flipped_bit_is_noticed(tmp_path: Path, model: Path) -> None:
    data, damaged = model.read_bytes(), tmp_path / "damaged.safetensors"
    draw = random.Random(0)
    header = 8 + int.from_bytes(data[:8], "little")
    bits = [*range(64), *(draw.randrange(64, header * 8) for _ in range(150))]
    bits += [draw.randrange(header * 8, len(data) * 8) for _ in range(100)]
    for bit in bits:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        damaged.write_bytes(flipped)
        with pytest.raises(ModelError):
            load(damaged)


def test_every_truncation_is_noticed(tmp_path: Path, model: Path) -> None:
    data, damaged = model.read_bytes(), tmp_path / "damaged.safetensors"
    draw = random.Random(0)
    for size in (0, 1, 7, 8, 9, 10, len(data) - 1, *(draw.randrange(len(data)) for _ in range(40))):
        damaged.write_bytes(data[:size])
        with pytest.raises(ModelError):
            load(damaged)
    damaged.write_bytes(data + b"\0")
    with pytest.raises(ModelError):
        load(damaged)


def test_a_file_that_cannot_be_read_is_named(tmp_path: Path) -> None:
    for path in (tmp_path / "none.safetensors", tmp_path):
        with pytest.raises(ModelError, match="cannot be read") as caught:
            load(path)
        assert caught.value.where == str(path)


def test_a_model_says_what_it_is_not(tmp_path: Path, networks: dict[str, nn.Module]) -> None:
    path = tmp_path / "model.safetensors"
    save(path, replace(CARD, kind="unmix", network=None), {"unmixer": networks["unmixer"]})
    with pytest.raises(ModelError, match="is an unmixing model"):
        load(path).resolver()
    save(path, replace(CARD, unmixer=None), {"network": networks["network"]})
    with pytest.raises(ModelError, match="holds no unmixing network"):
        load(path).unmixer()


def test_a_long_history_fits_into_a_file(tmp_path: Path) -> None:
    about = {"rows": [{"loss": 1 / 3, "step": i} for i in range(50_000)]}
    write_tensors(tmp_path / "state.safetensors", {}, about)
    assert read_tensors(tmp_path / "state.safetensors")[1] == about


def test_the_card_is_plain_json(model: Path) -> None:
    head = model.read_bytes()
    length = int.from_bytes(head[:8], "little")
    metadata = json.loads(head[8 : 8 + length])["__metadata__"]
    about = json.loads(metadata["about"])
    assert about == json.loads(json.dumps(asdict(CARD)))
    assert metadata["format"] == FORMAT


def test_a_model_for_any_number_of_bands_works_on_tokens(
    tmp_path: Path, networks: dict[str, nn.Module]
) -> None:
    path, part = tmp_path / "model.safetensors", Part("subspace_sr", SMALL)
    card = replace(CARD, bands=0, network=part, unmixer=None, endmembers=0, wavelengths_nm=None)
    network = NETWORKS["subspace_sr"].build(bands=3, scale=2, endmembers=0, **SMALL)
    save(path, card, {"network": network})
    assert load(path).card == card
    resolver = load(path).resolver()
    for bands in (1, 4):
        assert resolver(torch.rand(1, bands, 5, 6)).shape == (1, bands, 10, 12)
    for name, numbers in (("unmixing_sr", SMALL), ("bicubic", {})):
        other = NETWORKS[name].build(bands=1, scale=2, endmembers=0, **numbers)
        save(path, replace(card, network=Part(name, numbers)), {"network": other})
        with pytest.raises(ModelError, match=f"'{name}' is not for any number of bands"):
            load(path).resolver()
    for bands, unmixer in ((0, CARD.unmixer), (-1, None)):
        save(path, replace(card, bands=bands, unmixer=unmixer, endmembers=2), networks)
        with pytest.raises(ModelError, match="not a plausible count"):
            load(path)


def test_weights_beyond_the_range_of_16_bits_are_not_halved(
    tmp_path: Path, networks: dict[str, nn.Module]
) -> None:
    save(tmp_path / "model.safetensors", CARD, networks)
    model = load(tmp_path / "model.safetensors")
    save_half(tmp_path / "half.safetensors", model)
    next(iter(model.tensors.values())).fill_(7e4)
    with pytest.raises(ModelError, match="beyond the range of float16"):
        save_half(tmp_path / "none.safetensors", model)
    assert not (tmp_path / "none.safetensors").exists()
