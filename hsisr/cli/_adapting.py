"""Fine-tuning a model on the scene at hand, for `hsisr upscale --adapt`."""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from hsisr.cli import _shared as shared
from hsisr.errors import InputError, UsageError

if TYPE_CHECKING:
    from hsisr.checkpoints.checkpoint import Checkpoint
    from hsisr.cube import Cube
    from hsisr.data.tokens import TokenSet
    from hsisr.model import SrModel
    from hsisr.runtime import Runtime
    from hsisr.training.adapt import Verdict


@dataclass(frozen=True)
class Adaptation:
    """What the user asked for."""

    minutes: float
    operator: str
    """The degradation that is assumed."""
    keep: Path | None = None
    """Where the adapted model goes, if it is accepted."""


def adapted(
    model: SrModel, cube: Cube, wanted: Adaptation, machine: Runtime, stopper: shared.Stopper
) -> tuple[SrModel, dict[str, Any]]:
    """The model adapted to the scene if that is better, else the model itself; and the record.

    Raises `UsageError` for a model that cannot be adapted.
    """
    from hsisr.training.adapt import prepare

    if not model.tokens or model.checkpoint is None:
        raise UsageError(f"'{model.name}' cannot be adapted", hint="--model auto")
    with TemporaryDirectory(prefix="hsisr-") as folder:
        try:
            tokens = prepare(cube, model.checkpoint, Path(folder), wanted.operator)
        except InputError as error:
            shared.say(f"adapted    no: {error.what}")
            return model, {"accepted": False, "why": error.what}
        found, verdict = _trained(model.checkpoint, tokens, Path(folder), wanted, machine, stopper)
        gains = f"{verdict.selecting:+.3f} and {verdict.judging:+.3f} dB on two parts of the scene"
        record = {"accepted": verdict.accepted, **asdict(verdict)}
        if not verdict.accepted:
            shared.say(f"adapted    no: {gains}; the model stays as it was")
            return model, record
        shared.say(f"adapted    yes: {gains} that it did not train on")
        if wanted.keep is not None:
            _keep(found, wanted.keep)
    return replace(model, network=found.resolver(), checkpoint=found), record


def _trained(
    model: Checkpoint,
    tokens: TokenSet,
    folder: Path,
    wanted: Adaptation,
    machine: Runtime,
    stopper: shared.Stopper,
) -> tuple[Checkpoint, Verdict]:
    """Train for the time that was asked for, showing how much of it is left."""
    from hsisr.training.adapt import Adapting

    started, seconds = time.monotonic(), 60 * wanted.minutes
    work = Adapting(model, tokens, folder, minutes=wanted.minutes, runtime=machine)
    steps = shared.progress(
        stopper.heeded(work.reports()),
        max(1, round(seconds)),
        "adapting",
        done=lambda _: min(round(seconds), round(time.monotonic() - started)),
    )
    for _ in steps:
        pass
    return work.verdict()


def _keep(model: Checkpoint, path: Path) -> None:
    from hsisr.files import write_durably

    write_durably(path, model.path.read_bytes())
    shared.say(f"kept       {path}")
