"""Networks trained and tested side by side, on equal terms.

All variants get the same budget, the weights that were best on the validation blocks are tested
once, and what came out is kept: whoever runs the same comparison again finds it, and continues what
was stopped. Several processes can work on the cells of one folder.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from contextlib import AbstractContextManager, closing
from dataclasses import dataclass
from functools import partial
from hashlib import sha256
from pathlib import Path
from typing import TypeVar

import torch

from hsisr.bench import records
from hsisr.bench.claims import claimed, once, pause, sharing
from hsisr.bench.examination import Facts, examine
from hsisr.bench.timed import CLOCK, train
from hsisr.bench.training import planned, sharpening, unmixed
from hsisr.bench.trial import RESULT, Cell, Dataset, Result, Terms, Variant
from hsisr.checkpoints import zoo
from hsisr.checkpoints.building import build_network, build_relation, build_unmixing
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import MANIFEST, PatchSet, open_patches
from hsisr.errors import UsageError
from hsisr.files import write_json
from hsisr.model import load_sr
from hsisr.training.fit import METRICS, STATE
from hsisr.training.initial import require_known_start
from hsisr_models.networks import TokenNetwork
from hsisr_models.sr import SHELF as NETWORKS

T = TypeVar("T")

_FILES = (STATE, MODEL, METRICS, CLOCK, RESULT)
"""What a training leaves in its folder."""
_BANDS = 128
"""Of a sensor that is not known yet."""


@dataclass(frozen=True)
class Step:
    """A cell has advanced; `share` of its training is done, from 0 to 1."""

    cell: Cell
    share: float


@dataclass(frozen=True)
class Waiting:
    """Other processes are working on all that is left."""


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


def at_work(
    cells: Sequence[Cell], references: Sequence[str], terms: Terms
) -> AbstractContextManager[None]:
    """Work in a folder beside other processes; with `overwrite`, remove older results first.

    Raises `OutputError` if others are at work there whose results that would remove.
    """

    def forget() -> None:
        for cell in cells:
            home = terms.home(cell.dataset, cell.scale)
            records.forget(home, [f"data/{MANIFEST}"])
            for folder in (terms.place(cell), terms.unmixing(cell)):
                records.forget(folder, _FILES)
            for path in (terms.plan(cell), *(_reference(home, name) for name in references)):
                path.unlink(missing_ok=True)

    return sharing(terms.folder, forget if terms.overwrite else None)


def prepare(dataset: Dataset, scale: int, terms: Terms) -> Generator[None, None, PatchSet]:
    """The data at one scale, prepared by the process that first asks for it.

    Raises `InputError`, and `OutputError` if what is there was prepared from other files, or
    otherwise.
    """
    home = terms.home(dataset.name, scale)
    about = records.plain(dataset.identity())

    def find() -> PatchSet | None:
        if not (home / "data" / MANIFEST).exists() or records.read(home / records.BEGUN) is None:
            return None
        records.require_same(home, about)
        return open_patches(home)

    def make() -> Generator[None, None, PatchSet]:
        (home / records.BEGUN).unlink(missing_ok=True)
        for _ in dataset.prepare(home):
            yield
        # only now: what could not be prepared binds nobody
        write_json(home / records.BEGUN, about)
        return open_patches(home)

    return (yield from once(home / "data", find, make))


def require_trainable(variants: Sequence[Variant], scales: Sequence[int]) -> None:
    """Raise `UsageError` for a network that is not for one of the scales, or not to be trained."""
    for variant in variants:
        name = variant.recipe.sr.network
        if name not in NETWORKS or name == zoo.BICUBIC:
            hint = f"one of {', '.join(_trainable())}"
            raise UsageError(f"no network '{name}' to train", hint=hint)
        known = NETWORKS[name].SCALES
        if not set(scales) <= set(known):
            raise UsageError(
                f"'{name}' is not made for scale {(set(scales) - set(known)).pop()}",
                hint=f"--scale {','.join(map(str, known))}, or leave it out",
            )


def _opened(cells: Sequence[Cell], terms: Terms) -> dict[Path, PatchSet]:
    """The data of cells by its home, each opened once; it has to be prepared."""
    homes = dict.fromkeys(terms.home(cell.dataset, cell.scale) for cell in cells)
    return {home: open_patches(home) for home in homes}


def require_buildable(cells: Sequence[Cell], terms: Terms) -> None:
    """Raise `UsageError` for a network that cannot be built; the data has to be prepared."""
    data = _opened(cells, terms)
    for place in {(cell.dataset, cell.scale, cell.variant.name): cell for cell in cells}.values():
        bands = data[terms.home(place.dataset, place.scale)].bands
        _require_buildable(place.variant, bands, place.scale)


def require_sound(variants: Sequence[Variant], scales: Sequence[int]) -> None:
    """Raise `UsageError` for a network that cannot be built, whatever the data."""
    require_trainable(variants, scales)
    for variant in variants:
        for scale in scales:
            _require_buildable(variant, _BANDS, scale)


def _require_buildable(variant: Variant, bands: int, scale: int) -> None:
    numbers = variant.recipe
    unmixes = variant.unmixing != "none"
    count = numbers.unmix.endmembers if unmixes else 0
    with torch.device("meta"):
        network = build_network(numbers.sr, bands=bands, scale=scale, endmembers=count)
        build_relation(numbers.sr, scale=scale, endmembers=count)
        if unmixes:
            build_unmixing(numbers.unmix, bands=bands)
            require_known_start(numbers.unmix.initialise)
    if isinstance(network, TokenNetwork):
        raise UsageError(
            f"'{numbers.sr.network}' is for any sensor, and not trained on a single one",
            hint="a pretrained one is tested beside by: hsisr benchmark --models any-x4",
        )


def _trainable() -> Generator[str]:
    """The networks that are trained on a single sensor."""
    for name in NETWORKS:
        entry = NETWORKS[name]
        with torch.device("meta"):
            network = entry.build(bands=_BANDS, scale=entry.SCALES[0], endmembers=0)
        if name != zoo.BICUBIC and not isinstance(network, TokenNetwork):
            yield name


def require_same(cells: Sequence[Cell], terms: Terms) -> None:
    """Raise `OutputError` if a cell or the unmixing network that it needs was begun differently.

    The data has to be prepared.
    """
    data = _opened(cells, terms)
    for cell in cells:
        patches = data[terms.home(cell.dataset, cell.scale)]
        records.require_same(terms.place(cell), terms.begun(cell, patches))
        if cell.variant.unmixing == "trained":
            records.require_same(terms.unmixing(cell), terms.unmixed(cell, patches))


def kept(cells: Sequence[Cell], terms: Terms) -> list[Result | None]:
    """The result of each cell that is done; the data has to be prepared."""
    data = _opened(cells, terms)
    abouts = (terms.about(cell, data[terms.home(cell.dataset, cell.scale)]) for cell in cells)
    return [
        Result.kept(terms.place(cell) / RESULT, about)
        for cell, about in zip(cells, abouts, strict=True)
    ]


def compared(name: str, dataset: str, scale: int, terms: Terms) -> Generator[None, None, Result]:
    """The result of a model that is not trained here: `bicubic`, or another that `load_sr` knows.

    The data has to be prepared. Raises `ModelError` if there is no such model.
    """
    home = terms.home(dataset, scale)
    patches, path = open_patches(home), _reference(home, name)
    found = load_sr(name, scale).checkpoint
    about = {
        "data": patches.digest,
        "model": name,
        "sha256": found and found.sha256,
        "metrics": terms.metrics,
        **terms.machine,
    }

    def make() -> Generator[None, None, Result]:
        yield
        tested = examine(name, patches, terms.runtime.exact, terms.metrics)
        result = Result(dataset, scale, name, None, tested.measures, tested.facts)
        result.keep(path, about)
        return result

    return (yield from once(path, lambda: Result.kept(path, about), make))


def _reference(home: Path, name: str) -> Path:
    """The file for the result of a model, distinct for models of the same file name."""
    return home / f"{Path(name).name}-{sha256(name.encode()).hexdigest()[:8]}.json"


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
    records.begin(folder, terms.begun(cell, patches))
    found = Result.kept(folder / RESULT, about)
    if found is not None:
        return found
    # trained, but scored otherwise
    known = records.read(folder / RESULT)
    facts = known["facts"] if known else (yield from _trained(cell, patches, terms))
    tested = examine(str(folder), patches, terms.runtime.exact, terms.metrics)
    facts = {**facts, **tested.facts}
    variant = cell.variant.name
    result = Result(cell.dataset, cell.scale, variant, cell.seed, tested.measures, facts)
    result.keep(folder / RESULT, about)
    # nothing is left to go on with
    (folder / STATE).unlink(missing_ok=True)
    return result


def _trained(cell: Cell, patches: PatchSet, terms: Terms) -> Generator[Event, None, Facts]:
    """Train a cell, and tell how long it took."""
    unmix, unmix_seconds = yield from _reported(cell, unmixed(cell, patches, terms))
    make = partial(sharpening, cell, patches, unmix, terms)
    training = yield from _reported(cell, planned(cell, patches, terms, make))
    folder = terms.place(cell)
    seconds = yield from _reported(cell, train(make(training), folder, terms.runtime))
    steps = training.epochs * training.steps
    return {"train_seconds": seconds, "steps": steps, "unmix_seconds": unmix_seconds}


def _reported(cell: Cell, work: Generator[float | None, None, T]) -> Generator[Event, None, T]:
    """Run a part of a cell; only its own training counts towards the reported share."""
    with closing(work):
        while True:
            try:
                share = next(work)
            except StopIteration as end:
                result: T = end.value
                return result
            yield Step(cell, share or 0.0)
