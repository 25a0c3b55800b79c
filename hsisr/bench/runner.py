"""Networks trained and tested side by side, on equal terms.

All variants get the same budget, the weights that were best on the validation blocks are tested
once, and what came out is kept: whoever runs the same comparison again finds it, and continues what
was stopped. Several processes can work on the cells of one folder.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from contextlib import closing
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import TypeVar

import torch

from hsisr import checkpoint, zoo
from hsisr.bench import records
from hsisr.bench.budget import lasting
from hsisr.bench.claims import claimed, once, pause
from hsisr.bench.examination import examine
from hsisr.bench.timed import CLOCK, Work, seconds_per_step, train
from hsisr.bench.trial import RESULT, Cell, Dataset, Result, Terms, Variant
from hsisr.checkpoint import Checkpoint
from hsisr.errors import UsageError
from hsisr.files import write_json
from hsisr.fit import METRICS, MODEL, STATE
from hsisr.patches import MANIFEST, PatchSet, open_patches
from hsisr.recipe import Training
from hsisr.sampler import Sampler
from hsisr.steps import SrStep, UnmixStep, build_network, total_loss, untrained
from hsisr_models.networks import TokenNetwork
from hsisr_models.sr import SHELF as NETWORKS

T = TypeVar("T")

_FILES = (STATE, MODEL, METRICS, CLOCK, RESULT)
"""What a training leaves in its folder."""


@dataclass(frozen=True)
class Step:
    """A cell goes on: the share of its training that is done, from 0 to 1."""

    cell: Cell
    share: float


@dataclass(frozen=True)
class Waiting:
    """Others are at what is left."""


@dataclass(frozen=True)
class Finished:
    """A cell is done."""

    cell: Cell
    result: Result


@dataclass(frozen=True)
class Failed:
    """A cell could not be done."""

    cell: Cell
    error: Exception


Event = Step | Waiting | Finished | Failed


def prepare(dataset: Dataset, scale: int, terms: Terms) -> Generator[None, None, PatchSet]:
    """The data at one scale, prepared by the process that first asks for it.

    Raises `OutputError` if what is there was prepared from other files.
    """
    home = terms.home(dataset.name, scale)
    about = {f"the file of {name}": _stamp(path) for name, path in dataset.files.items()}

    def find() -> PatchSet | None:
        records.begin(home, about, [f"data/{MANIFEST}"], overwrite=terms.overwrite)
        return open_patches(home) if (home / "data" / MANIFEST).exists() else None

    def make() -> Generator[None, None, PatchSet]:
        for _ in dataset.prepare(home):
            yield
        return open_patches(home)

    return (yield from once(home / "data", find, make))


def _stamp(path: Path) -> list[int]:
    """By what a file that has changed is known."""
    about = path.stat()
    return [about.st_size, about.st_mtime_ns]


def require_known(variants: Sequence[Variant], scales: Sequence[int]) -> None:
    """Raise `UsageError` for a network that is not for one of the scales, or not to be trained."""
    for variant in variants:
        name = variant.recipe.sr.network
        if name not in NETWORKS or name == zoo.BICUBIC:
            trained = ", ".join(entry for entry in NETWORKS if entry != zoo.BICUBIC)
            raise UsageError(f"no network '{name}' to train", hint=f"one of {trained}")
        known = NETWORKS[name].SCALES
        if not set(scales) <= set(known):
            raise UsageError(
                f"'{name}' is not made for scale {(set(scales) - set(known)).pop()}",
                hint=f"--scale {','.join(map(str, known))}, or leave it out",
            )


def require_buildable(cells: Sequence[Cell], terms: Terms) -> None:
    """Raise `UsageError` for a network that cannot be built; the data has to be prepared."""
    for place in {(cell.dataset, cell.scale, cell.variant.name): cell for cell in cells}.values():
        bands = open_patches(terms.home(place.dataset, place.scale)).bands
        numbers = place.variant.recipe
        count = 0 if place.variant.unmixing == "none" else numbers.unmix.endmembers
        with torch.device("meta"):
            network = build_network(numbers.sr, bands=bands, scale=place.scale, endmembers=count)
        if isinstance(network, TokenNetwork):
            raise UsageError(
                f"'{numbers.sr.network}' is for any sensor, and not trained on a single one",
                hint="put a pretrained one beside: --models any-x4",
            )


def require_same(cells: Sequence[Cell], terms: Terms) -> None:
    """Raise `OutputError` if a cell was begun on other terms; the data has to be prepared."""
    for cell in cells:
        patches = open_patches(terms.home(cell.dataset, cell.scale))
        records.require_same(terms.place(cell), terms.begun(cell, patches))


def kept(cell: Cell, terms: Terms) -> Result | None:
    """The result of a cell that is done; the data has to be prepared."""
    patches = open_patches(terms.home(cell.dataset, cell.scale))
    return Result.kept(terms.place(cell) / RESULT, terms.about(cell, patches))


def compared(name: str, dataset: str, scale: int, terms: Terms) -> Generator[None, None, Result]:
    """What a model that is not trained here comes to: `bicubic`, or another that `load_sr` knows.

    The data has to be prepared.
    """
    home = terms.home(dataset, scale)
    patches, path = open_patches(home), home / f"{Path(name).name}.json"
    about = {"data": patches.digest, "model": name, "metrics": terms.metrics, **terms.machine}

    def make() -> Generator[None, None, Result]:
        yield
        found = examine(name, patches, terms.runtime.exact, terms.metrics)
        result = Result(dataset, scale, name, None, found.measures, found.facts)
        result.keep(path, about)
        return result

    return (yield from once(path, lambda: Result.kept(path, about), make))


def run(cells: Sequence[Cell], terms: Terms) -> Generator[Event]:
    """Train and test every cell that is not done, and report; what is left when closed can go on.

    A cell that another process is at is waited for. One that fails is reported, and the others go
    on. The data has to be prepared.
    """
    left = list(cells)
    while left:
        before = len(left)
        for cell in tuple(left):
            with claimed(terms.place(cell)) as mine:
                if mine:
                    yield from _attended(cell, terms)
                    left.remove(cell)
        if len(left) == before:
            pause()
            yield Waiting()


def _attended(cell: Cell, terms: Terms) -> Generator[Event]:
    try:
        result = yield from _done(cell, terms)
    except Exception as error:  # whatever it is, other cells may be free of it
        yield Failed(cell, error)
    else:
        yield Finished(cell, result)


def _done(cell: Cell, terms: Terms) -> Generator[Event, None, Result]:
    patches, folder = open_patches(terms.home(cell.dataset, cell.scale)), terms.place(cell)
    about = terms.about(cell, patches)
    records.begin(folder, terms.begun(cell, patches), _FILES, overwrite=terms.overwrite)
    found = Result.kept(folder / RESULT, about)
    if found is not None:
        return found
    unmix, unmix_seconds = yield from _reported(cell, _unmixed(cell, patches, terms))
    make = partial(_step_two, cell, patches, unmix, terms)
    training = yield from _reported(cell, _planned(cell, patches, terms, make))
    seconds = yield from _reported(cell, train(make(training), folder, terms.runtime))
    tested = examine(str(folder), patches, terms.runtime.exact, terms.metrics)
    facts = {
        **tested.facts,
        "train_seconds": seconds,
        "steps": training.epochs * training.steps,
        "unmix_seconds": unmix_seconds,
    }
    variant = cell.variant.name
    result = Result(cell.dataset, cell.scale, variant, cell.seed, tested.measures, facts)
    result.keep(folder / RESULT, about)
    return result


def _reported(cell: Cell, work: Generator[float | None, None, T]) -> Generator[Event, None, T]:
    """Do a part of what a cell takes, of which only its own training is a share of it."""
    with closing(work):
        while True:
            try:
                share = next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            yield Step(cell, share or 0.0)


def _unmixed(
    cell: Cell, patches: PatchSet, terms: Terms
) -> Generator[None, None, tuple[Checkpoint | None, float | None]]:
    """The unmixing network of a cell, the same for all that share data and seed, and its seconds.

    It is trained by its recipe, whatever the budget of the others.
    """
    recipe, seed = cell.variant.recipe, cell.seed
    if cell.variant.unmixing == "none":
        return None, None
    if cell.variant.unmixing == "random":
        return untrained(patches, recipe, seed), None
    folder = terms.home(cell.dataset, cell.scale) / f"unmix_seed{seed}"
    about = records.plain(
        {"data": patches.digest, "unmix": asdict(recipe.unmix), "seed": seed, **terms.machine}
    )

    def find() -> float | None:
        records.begin(folder, about, _FILES, overwrite=terms.overwrite)
        done = records.read(folder / RESULT)
        return None if done is None else float(done["seconds"])

    def make() -> Generator[float, None, float]:
        work = _step_one(cell, patches)
        seconds = yield from train(work, folder, terms.runtime)
        write_json(folder / RESULT, {"seconds": seconds})
        return seconds

    seconds = yield from once(folder, find, make)
    return checkpoint.load(folder / MODEL), seconds


def _step_one(cell: Cell, patches: PatchSet) -> Work:
    numbers, seed = cell.variant.recipe.unmix, cell.seed
    torch.manual_seed(seed)
    return Work(
        UnmixStep(patches, cell.variant.recipe, seed),
        lambda outcome: total_loss(outcome, numbers.loss),
        Sampler(patches, patch=numbers.training.patch, batch=numbers.training.batch, seed=seed),
        numbers.training,
        _identity(cell, patches),
    )


def _step_two(
    cell: Cell, patches: PatchSet, unmix: Checkpoint | None, terms: Terms, training: Training
) -> Work:
    recipe, seed = cell.variant.recipe, cell.seed
    # the same weights to begin with, whatever was done before
    torch.manual_seed(seed)
    recipe = replace(recipe, sr=replace(recipe.sr, training=training))
    task = SrStep(patches, recipe, unmix, terms.runtime.device)
    return Work(
        task,
        lambda outcome: total_loss(outcome, task.loss),
        Sampler(patches, patch=training.patch, batch=training.batch, seed=seed),
        training,
        _identity(cell, patches),
    )


def _identity(cell: Cell, patches: PatchSet) -> str:
    return f"seed {cell.seed} data {patches.digest}"


def _planned(
    cell: Cell, patches: PatchSet, terms: Terms, make: Callable[[Training], Work]
) -> Generator[None, None, Training]:
    """The training that the budget gives to a variant, the same for all seeds.

    Where it is a time, some steps are timed by the process that comes first.
    """
    path, about = terms.plan(cell), terms.planned(cell.variant, patches)
    training = cell.variant.recipe.sr.training

    def find() -> int | None:
        plan = records.read(path)
        return plan["steps"] if plan and plan["about"] == about else None

    def measure() -> Generator[None, None, int]:
        seconds = None
        if terms.budget.minutes is not None:
            work = make(training)
            seconds = yield from seconds_per_step(work, path.parent, terms.runtime)
        steps = terms.budget.steps(training, seconds or 0.0)
        write_json(path, {"steps": steps, "seconds_per_step": seconds, "about": about})
        return steps

    return lasting(training, (yield from once(path, find, measure)))
