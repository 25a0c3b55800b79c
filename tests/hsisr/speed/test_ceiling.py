"""What is counted and computed when speed is measured; how long it takes is nobody's business."""

from __future__ import annotations

import threading

import numpy as np
import pytest

from hsisr.errors import ModelError, UsageError
from hsisr.model import SrModel
from hsisr.runtime import choose
from hsisr.scene import gaps
from hsisr.speed.ceiling import ceiling, made_up, model_of, paced, tile_of
from hsisr_models.resolver import SuperResolver
from hsisr_models.sr.bicubic import Bicubic
from hsisr_models.sr.sspsr import SSPSR

CPU = choose("cpu", "fp32")


def driven(steps):
    """What a generator returns in the end."""
    while True:
        try:
            next(steps)
        except StopIteration as end:
            return end.value


def operations(network, side):
    model = SrModel("small", network.scale, 1.0, SuperResolver(network.eval(), None))
    return tile_of(model, 3, side, CPU, halo=False).operations()


def test_the_operations_of_a_tile_are_those_of_its_layers():
    def conv(inputs, outputs, kernel=3):
        return 2 * kernel**2 * inputs * outputs

    block = 2 * conv(4, 4) + 2 * conv(4, 4, kernel=1)
    branch = conv(3, 4) + block + conv(4, 3)
    trunk = conv(3, 4) + block + conv(4, 16)
    fine = conv(3, 4) + conv(4, 3)
    found = operations(SSPSR(bands=3, scale=2, width=4, depth=1), 6)
    # the bicubic scene that SSPSR starts from is the only thing it has beside these
    assert found - operations(Bicubic(bands=3, scale=2), 6) == 36 * (branch + trunk + 4 * fine)


def test_a_tile_has_the_halo_of_a_run_or_none():
    model = model_of("unmixing_sr", 2, 3)
    load = tile_of(model, 3, 5, CPU)
    halo = model.network.reach + gaps.REACH
    assert load.block.shape == (3, 5 + 2 * halo, 5 + 2 * halo)
    assert load.kept.slices == (slice(halo, halo + 5), slice(halo, halo + 5))
    assert load.pixels == 100
    alone = tile_of(model, 3, 5, CPU, halo=False)
    assert alone.block.shape == (3, 5, 5)
    assert alone.operations() < load.operations()


def test_a_scene_is_made_of_whole_numbers_that_fit_its_type():
    scene = made_up(20, 7)
    assert scene.shape == (7, 20, 20)
    assert np.array_equal(scene, scene.astype(np.int16))
    assert np.array_equal(scene, made_up(20, 7))


def test_all_threads_work_and_the_pace_is_that_of_all():
    seen, met = set(), threading.Barrier(3, timeout=20)

    def step():
        seen.add(threading.get_ident())
        # nobody passes before all three are there
        met.wait()

    assert driven(paced(step, 3, 1e-9)) > 0
    assert len(seen) == 3


def test_who_leaves_a_measurement_ends_its_threads():
    begun, go_on = threading.Event(), threading.Event()

    def step():
        begun.set()
        go_on.wait(0.01)

    steps = paced(step, 2, 1e9)
    next(steps)
    assert begun.wait(20)
    steps.close()
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("pace")]


def test_the_ceiling_is_that_of_the_precision():
    assert driven(ceiling(CPU, 1, 0.003)) > 0


def test_networks_of_the_shelf_are_models_with_made_up_weights():
    model = model_of("unmixing_sr", 4, 6)
    assert (model.name, model.scale, model.checkpoint) == ("unmixing_sr", 4, None)
    # as the default recipe trains it: steered by abundances
    assert model.network.unmixer is not None
    assert model_of("mcnet", 4, 6).network.unmixer is None
    assert model_of("auto", 4, 6).name == "any-x4"
    assert model_of("bicubic", 4, 6).name == "bicubic"


def test_what_cannot_be_measured_is_refused():
    with pytest.raises(UsageError, match="'sspsr' is not made for scale 5"):
        model_of("sspsr", 5, 6)
    with pytest.raises(ModelError, match="no such model"):
        model_of("ssprs", 4, 6)
