"""Two processes that train together end with the weights of one that sees the same batches."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import distributed

from hsisr.checkpoints.checkpoint import Checkpoint, load, read_tensors
from hsisr.checkpoints.header import MODEL
from hsisr.data.patches import open_patches
from hsisr.data.token_sampler import TokenSampler
from hsisr.data.tokens import TokenSet, open_tokens
from hsisr.training.distributed import ALONE, World
from hsisr.training.fit import METRICS, STATE, Report, Work, fit, read_history
from hsisr.training.steps import total_loss
from hsisr.training.token_step import TokenStep
from hsisr_models.contract import Outcome
from tests.hsisr.training import test_token_step
from tests.hsisr.trials import CPU, STEPS, advance, longer, reports, small

CASES = [
    ("unmix", 2),
    ("unmix", 3),
    ("sr", 3),
    ("sr", 1),
    ("sr without unmixing", 3),
    ("tokens", 3),
]
"""What is trained, and how many patches make a batch."""
ROOT = Path(__file__).resolve().parents[3]


def training(
    kind: str, batch: int, run: Path, tokens: Path, unmix: Checkpoint, folder: Path, world: World
) -> Iterator[Report]:
    """20 steps of a case."""
    if kind == "tokens":
        return token_training(open_tokens(tokens), batch, folder, world)
    # a learned relation, so that what is expected of the abundances has a gradient too
    recipe = longer(small("default", "sr.relation=deconv", "sr.loss.abundance=0.1"), batch=batch)
    data = open_patches(run)
    return reports(kind, data, folder, recipe=recipe, unmix=unmix, world=world)


def token_training(tokens: TokenSet, batch: int, folder: Path, world: World) -> Iterator[Report]:
    """The same for a network that works on tokens."""
    recipe = longer(
        test_token_step.small(), batch=batch, epochs=5, learning_rate=2e-3, halve_every=5
    )
    torch.manual_seed(0)
    task, numbers = TokenStep(tokens, recipe), recipe.sr.training
    batches = TokenSampler(tokens, patch=numbers.patch, batch=batch, seed=0)
    loss = recipe.sr.loss
    work = Work(task, partial(total_loss, weights=loss), batches, numbers)
    return fit(work, folder, CPU, world=world)


def train_all(run: Path, tokens: Path, unmix: Path, folder: Path, world: World) -> None:
    """Every case, each in a folder of its own."""
    for kind, batch in CASES:
        target = folder / f"{kind} {batch}"
        advance(training(kind, batch, run, tokens, load(unmix), target, world), STEPS)


CHILD = """
import sys
from pathlib import Path
import torch
from hsisr.training.distributed import joined
from tests.hsisr.training.test_distributed import train_all
torch.set_num_threads(1)
with joined() as world:
    train_all(*map(Path, sys.argv[1:]), world)
"""


@pytest.fixture(scope="module")
def both(trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The folders of all cases, trained by one process and by two."""
    if not distributed.is_gloo_available():
        pytest.skip("this torch cannot let processes on a CPU talk (no gloo)")
    folder = tmp_path_factory.mktemp("distributed")
    test_token_step.prepared(folder / "tokens")
    given = trained, folder / "tokens", trained / "unmix" / MODEL
    train_all(*given, folder / "one", ALONE)
    (folder / "child.py").write_text(CHILD)
    torchrun = [sys.executable, "-m", "torch.distributed.run", "--standalone"]
    subprocess.run(
        [*torchrun, "--nproc-per-node=2", folder / "child.py", *given, folder / "two"],
        check=True,
        timeout=120,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "models")])},
    )
    return folder / "one", folder / "two"


@pytest.mark.parametrize(("kind", "batch"), CASES)
def test_two_processes_learn_what_one_learns(
    kind: str, batch: int, both: tuple[Path, Path]
) -> None:
    one, two = (read_tensors(folder / f"{kind} {batch}" / STATE) for folder in both)
    assert one[1]["step"] == two[1]["step"] == STEPS
    assert one[0].keys() == two[0].keys()
    for name, expected in one[0].items():
        torch.testing.assert_close(two[0][name], expected, rtol=0, atol=1e-5)
    # that they learned something: the mean of the weights is not what they became
    moved = [
        float((value - one[0][f"average.{name.partition('.')[2]}"]).abs().max())
        for name, value in one[0].items()
        if name.startswith("weight.")
    ]
    assert max(moved) > 1e-3


@pytest.mark.parametrize(("kind", "batch"), CASES)
def test_two_processes_report_and_keep_what_one_does(
    kind: str, batch: int, both: tuple[Path, Path]
) -> None:
    one, two = (read_history(folder / f"{kind} {batch}") for folder in both)
    for expected, found in zip(one, two, strict=True):
        assert found == pytest.approx(expected, rel=1e-4)
    first, second = (load(folder / f"{kind} {batch}" / MODEL) for folder in both)
    for name, value in first.tensors.items():
        torch.testing.assert_close(second.tensors[name], value, rtol=0, atol=1e-5)
    assert sorted(path.name for path in (both[1] / f"{kind} {batch}").iterdir()) == sorted(
        (METRICS, MODEL, STATE)
    )


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 7])
@pytest.mark.parametrize("size", [1, 2, 3, 4])
def test_every_row_of_a_batch_is_some_processs(rows: int, size: int) -> None:
    batch = torch.arange(rows)
    shares = [World(rank, size).share(batch) for rank in range(size)]
    assert torch.cat(shares).unique().equal(batch)
    assert all(len(share) for share in shares)
    assert max(map(len, shares)) == -(-rows // size)


def test_a_process_alone_sees_everything_as_it_is() -> None:
    outcome = Outcome(truth=torch.ones(2, 3, 4, 4), estimate=torch.zeros(2, 3, 4, 4))
    assert ALONE.whole(outcome, 2) is outcome
    assert ALONE.largest(3, -1) == [3, -1]
    assert ALONE.leads
    assert ALONE.first_to_fail()
