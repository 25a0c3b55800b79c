from __future__ import annotations

import json
from contextlib import closing
from dataclasses import replace

import pytest
import torch

from hsisr.bench import runner
from hsisr.bench.budget import Budget, lasting
from hsisr.bench.claims import claimed
from hsisr.bench.runner import Failed, Finished, Step, Waiting
from hsisr.bench.trial import RESULT, Cell, Terms, Variant, own_recipe
from hsisr.checkpoints import checkpoint
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import open_patches
from hsisr.errors import InputError, ModelError, OutputError, UsageError
from hsisr.runtime import Runtime
from hsisr.training.fit import METRICS, STATE
from tests.hsisr.made_up import prepared_run
from tests.hsisr.trials import reports, small

NAME, SCALE = "scene", 2


class _Scene:
    """A data set that counts how often it is prepared."""

    name = NAME

    def __init__(self, seed=0, broken=False):
        self.prepared, self.seed, self.broken = 0, seed, broken

    def identity(self):
        return {"the files of it": {"the file scene.raw": (self.seed, self.broken)}}

    def prepare(self, run):
        self.prepared += 1
        yield 0, 1
        if self.broken:
            raise InputError("is broken")
        prepared_run(run, bands=5, rows=56, cols=20, scale=SCALE, seed=self.seed)
        yield 1, 1


def _variant(unmixing="none", **training):
    recipe = small()
    numbers = replace(recipe.sr, training=replace(recipe.sr.training, **training))
    name = f"unmixing_sr-{unmixing}"
    return Variant(name, replace(recipe, sr=numbers), unmixing)


def _cells(*variants, seeds=1):
    return [Cell(NAME, SCALE, variant, seed) for seed in range(seeds) for variant in variants]


@pytest.fixture
def terms(tmp_path, cpu):
    made = Terms(tmp_path / "out", Budget(epochs=2), cpu)
    _all(runner.prepare(_Scene(), SCALE, made))
    return made


def _all(work):
    with closing(work):
        while True:
            try:
                next(work)
            except StopIteration as end:
                return end.value


def _finished(cells, terms):
    events = list(runner.run(cells, terms))
    assert not [event for event in events if isinstance(event, Failed)]
    return [event.result for event in events if isinstance(event, Finished)]


def _scores(result):
    costs = ("pixels_per_second", "peak_memory", "train_seconds", "unmix_seconds")
    return result.measures, {k: v for k, v in result.facts.items() if k not in costs}


@pytest.mark.parametrize("unmixing", ["none", "trained"])
def test_a_stopped_cell_ends_as_an_undisturbed_one(unmixing, terms, tmp_path):
    cells = _cells(_variant(unmixing))
    other = replace(terms, folder=tmp_path / "undisturbed")
    _all(runner.prepare(_Scene(), SCALE, other))
    (undisturbed,) = _finished(cells, other)
    with closing(runner.run(cells, terms)) as events:
        assert any(isinstance(event, Step) and event.share > 0.5 for event in events)
    assert not (terms.place(cells[0]) / RESULT).exists()
    # whatever is drawn at random in between
    torch.rand(3)
    (result,) = _finished(cells, terms)
    assert _scores(result) == _scores(undisturbed)
    assert _trained(cells[0], terms) == _trained(cells[0], other)


def _trained(cell, terms):
    folder = terms.place(cell)
    return checkpoint.load(folder / MODEL).sha256, (folder / METRICS).read_bytes()


def test_what_is_done_is_not_done_again(terms):
    cells = _cells(_variant("trained"), seeds=2)
    first = _finished(cells, terms)
    files = {path: path.stat().st_mtime_ns for path in terms.folder.rglob("*.safetensors")}
    # what only a training that goes on would need is gone
    assert {path.name for path in files} == {MODEL}
    assert _finished(cells, terms) == first
    assert runner.kept(cells, terms) == first
    assert files == {path: path.stat().st_mtime_ns for path in terms.folder.rglob("*.safetensors")}


def test_a_cell_is_trained_as_by_the_ordinary_loop(terms, tmp_path):
    (cell,) = _cells(_variant())
    _finished([cell], terms)
    recipe = cell.variant.recipe
    training = lasting(recipe.sr.training, 2 * recipe.sr.training.steps)
    expected = replace(recipe, sr=replace(recipe.sr, training=training))
    patches = open_patches(terms.home(NAME, SCALE))
    list(reports("sr without unmixing", patches, tmp_path / "plain", recipe=expected))
    plain, found = (
        checkpoint.load(folder / MODEL).tensors
        for folder in (tmp_path / "plain", terms.place(cell))
    )
    assert plain.keys() == found.keys()
    assert all(torch.equal(plain[name], found[name]) for name in plain)


def test_data_is_prepared_once(terms):
    scene = _Scene()
    patches = _all(runner.prepare(scene, SCALE, terms))
    assert scene.prepared == 0
    assert patches.bands == 5


def test_all_seeds_take_the_steps_that_were_timed_once(terms):
    timed = replace(terms, budget=Budget(minutes=0.005))
    cells = _cells(_variant(), seeds=2)
    # what a kill has left
    left = timed.plan(cells[0]).with_suffix(".timing")
    left.mkdir()
    (left / STATE).write_bytes(b"half a state")
    results = _finished(cells, timed)
    assert len({result.facts["steps"] for result in results}) == 1
    plan = json.loads(timed.plan(cells[0]).read_text())
    steps = results[0].facts["steps"]
    assert plan["steps"] == max(1, int(60 * 0.005 / plan["seconds_per_step"]))
    assert steps <= plan["steps"]
    assert not left.exists()
    # the plan holds, however fast the machine is later
    timed.plan(cells[0]).write_text(json.dumps({**plan, "steps": 7}))
    (more,) = _finished([replace(cells[0], seed=2)], timed)
    assert more.facts["steps"] == 7


def test_what_others_are_at_is_left_to_them_and_waited_for(terms):
    mine, theirs = _cells(_variant(), _variant("random"))
    events = runner.run([theirs, mine], terms)
    with closing(events):
        with claimed(terms.place(theirs)):
            seen = next(event for event in events if isinstance(event, Waiting | Finished))
            assert isinstance(seen, Finished)
            assert seen.cell == mine
            assert isinstance(next(events), Waiting)
        # they have ended, and left it undone
        assert [event.cell for event in events if isinstance(event, Finished)] == [theirs]


def test_a_cell_that_fails_does_not_stop_the_others(terms):
    broken, fine = _cells(_variant(), _variant("random"))
    terms.place(broken).mkdir(parents=True)
    (terms.place(broken) / STATE).write_bytes(b"no state")
    ended = [event for event in runner.run([broken, fine], terms) if not isinstance(event, Step)]
    assert [event.cell for event in ended] == [broken, fine]
    assert isinstance(ended[0], Failed)
    assert isinstance(ended[0].error, ModelError)
    assert isinstance(ended[1], Finished)


@pytest.mark.parametrize(
    "change", [{"budget": Budget(epochs=3)}, {"variant": {"learning_rate": 1e-2}}]
)
def test_a_cell_of_other_terms_is_refused_and_overwritten_only_if_asked(change, terms):
    cells = _cells(_variant())
    (before,) = _finished(cells, terms)
    if "variant" in change:
        cells = _cells(_variant(**change["variant"]))
        other = terms
    else:
        other = replace(terms, **change)
    with pytest.raises(OutputError, match="begun differently") as refused:
        runner.require_same(cells, other)
    assert "--overwrite" in refused.value.hint
    _begin_anew(cells, other)
    (after,) = _finished(cells, other)
    assert after.measures != before.measures


def _begin_anew(cells, terms, scene=None):
    with runner.at_work(cells, ["bicubic"], replace(terms, overwrite=True)):
        _all(runner.prepare(scene or _Scene(), SCALE, terms))


def test_everything_that_is_overwritten_is_done_anew(terms):
    cells = _cells(_variant("trained"))
    results = [*_finished(cells, terms), _all(runner.compared("bicubic", NAME, SCALE, terms))]
    for name in ("result.json", "model.safetensors"):
        for path in terms.folder.rglob(name):
            path.write_text("{}")
    scene = _Scene()
    _begin_anew(cells, terms, scene)
    assert scene.prepared == 1
    assert not list(terms.folder.rglob("*.safetensors"))
    again = [*_finished(cells, terms), _all(runner.compared("bicubic", NAME, SCALE, terms))]
    assert [one.measures for one in again] == [one.measures for one in results]


def test_nothing_is_overwritten_while_others_are_at_work(terms):
    cells = _cells(_variant())
    (result,) = _finished(cells, terms)
    anew = replace(terms, overwrite=True)
    with runner.at_work(cells, [], terms), runner.at_work(cells, [], terms):
        with (
            pytest.raises(OutputError, match="others are at work"),
            runner.at_work(cells, [], anew),
        ):
            pass
        assert runner.kept(cells, terms) == [result]
    with runner.at_work(cells, [], anew):
        assert not (terms.place(cells[0]) / RESULT).exists()


def test_results_of_other_pixels_are_not_taken_for_those_of_these(terms):
    cells, other = _cells(_variant()), _Scene(seed=1)
    _finished(cells, terms)
    _all(runner.compared("bicubic", NAME, SCALE, terms))
    with pytest.raises(OutputError, match="the file scene"):
        _all(runner.prepare(other, SCALE, terms))
    home = terms.home(NAME, SCALE)
    before = open_patches(home)
    manifest = before.manifest
    (home / "data" / "manifest.json").unlink()
    after = _all(runner.prepare(other, SCALE, terms))
    assert after.manifest["scenes"] == manifest["scenes"]
    assert after.digest != before.digest
    assert runner.kept(cells, terms) == [None]
    with pytest.raises(OutputError, match="data"):
        runner.require_same(cells, terms)


def test_what_could_not_be_prepared_binds_nobody(terms):
    fresh = replace(terms, folder=terms.folder / "fresh")
    with pytest.raises(InputError, match="is broken"):
        _all(runner.prepare(_Scene(broken=True), SCALE, fresh))
    assert _all(runner.prepare(_Scene(), SCALE, fresh)).bands == 5


def test_an_unmixing_network_begun_differently_is_refused_before_any_training(terms):
    (cell,) = _cells(_variant("trained"))
    _finished([cell], terms)
    numbers = replace(cell.variant.recipe.unmix, endmembers=4)
    recipe = replace(cell.variant.recipe, unmix=numbers)
    twin = replace(cell, variant=replace(cell.variant, name="twin", recipe=recipe))
    with pytest.raises(OutputError, match="endmembers 3, now 4"):
        runner.require_same([twin], terms)


def test_other_measures_are_taken_of_the_same_model(terms):
    cells = _cells(_variant())
    (before,) = _finished(cells, terms)
    trained = (terms.place(cells[0]) / METRICS).stat().st_mtime_ns
    (after,) = _finished(cells, replace(terms, metrics="mcnet"))
    assert after.measures.keys() != before.measures.keys() or after.measures != before.measures
    assert after.facts["train_seconds"] == before.facts["train_seconds"]
    assert (terms.place(cells[0]) / METRICS).stat().st_mtime_ns == trained


def test_variants_of_a_seed_share_one_unmixing_network(terms):
    cells = _cells(_variant("trained"), replace(_variant("trained"), name="twin"))
    first, second = _finished(cells, terms)
    parents = [checkpoint.load(terms.place(cell) / MODEL).card.parent for cell in cells]
    unmix = checkpoint.load(terms.home(NAME, SCALE) / "unmix_seed0" / MODEL)
    assert parents == [unmix.sha256] * 2
    assert first.measures == second.measures
    assert first.facts["unmix_seconds"] == second.facts["unmix_seconds"] > 0


def test_facts_tell_the_size_of_the_network(terms):
    (result,) = _finished(_cells(_variant()), terms)
    tensors = checkpoint.load(terms.place(_cells(_variant())[0]) / MODEL).tensors
    assert result.facts["parameters"] == sum(tensor.numel() for tensor in tensors.values())
    assert result.facts["operations"] > 2 * result.facts["parameters"] / SCALE**2
    assert result.facts["steps"] == 8


def test_bicubic_stands_beside(terms):
    result = _all(runner.compared("bicubic", NAME, SCALE, terms))
    assert result.seed is None
    assert result.facts["parameters"] == 0
    assert _all(runner.compared("bicubic", NAME, SCALE, terms)) == result


def test_a_model_that_was_replaced_is_tested_again_and_one_of_the_same_name_is_another(terms):
    cells = _cells(_variant(), seeds=2)
    first, second = _finished(cells, terms)
    places = [terms.place(cell) / MODEL for cell in cells]
    results = [_all(runner.compared(str(path), NAME, SCALE, terms)) for path in places]
    assert [one.measures for one in results] == [first.measures, second.measures]
    assert _all(runner.compared(str(places[0]), NAME, SCALE, terms)) == results[0]
    places[0].write_bytes(places[1].read_bytes())
    again = _all(runner.compared(str(places[0]), NAME, SCALE, terms))
    assert again.measures == second.measures != first.measures


def test_only_networks_that_can_be_trained_are_known():
    known = Variant("one", own_recipe("sspsr"), "none")
    runner.require_trainable([known], [2, 8])
    with pytest.raises(UsageError, match="'sspsr' is not made for scale 5"):
        runner.require_trainable([known], [4, 5])
    with pytest.raises(UsageError, match="no network 'bicubic' to train"):
        runner.require_trainable([Variant("two", own_recipe("bicubic"), "none")], [4])


def test_a_network_for_any_sensor_is_not_trained_on_one(terms):
    cells = _cells(Variant("any", own_recipe("subspace_sr"), "none"))
    with pytest.raises(UsageError, match="any sensor"):
        runner.require_buildable(cells, terms)


def test_a_network_has_its_own_recipe_or_is_trained_by_the_default_one():
    assert own_recipe("rfsr").sr.training.batch == 16
    assert own_recipe("unmixing_sr").name == "default"
    plain = own_recipe("subspace_sr", ["sr.training.batch=3", "sr.numbers.width=8"])
    assert plain.sr.network == "subspace_sr"
    assert plain.sr.training.batch == 3
    assert plain.sr.numbers == {"width": 8}


def test_steps_that_were_timed_on_other_threads_are_refused(terms):
    cells, timed = _cells(_variant()), replace(terms, budget=Budget(minutes=0.001))
    threads = torch.get_num_threads()
    _finished(cells, timed)
    patches = open_patches(terms.home(NAME, SCALE))
    by_epochs = terms.begun(cells[0], patches)
    try:
        torch.set_num_threads(threads + 1)
        with pytest.raises(OutputError, match=f"threads {threads}, now {threads + 1}"):
            runner.require_same(cells, timed)
        assert terms.begun(cells[0], patches) == by_epochs
    finally:
        torch.set_num_threads(threads)


def test_training_in_another_precision_is_another_training(terms):
    cells = _cells(_variant())
    _finished(cells, terms)
    reduced = replace(terms, runtime=Runtime(terms.runtime.device, torch.bfloat16))
    with pytest.raises(OutputError, match="reduced"):
        runner.require_same(cells, reduced)
