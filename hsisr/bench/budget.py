"""How long compared networks are trained: all alike, whatever their recipes say."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

from hsisr.errors import UsageError
from hsisr.recipe import Training
from hsisr.wording import counted

VALIDATIONS = 20
"""How often a training is validated at equal distances; fit adds the end of the first epoch."""
_FINEST = 200
"""Epochs at most, by which the learning rate can be halved where its recipe halves it."""
_LOST = 0.01
"""Share of the steps that may be left out for the sake of equal epochs."""
_WARM = 20
"""The warm-up takes at most one part in so many."""


@dataclass(frozen=True)
class Budget:
    """`epochs` of every network's own recipe, or `minutes` of training; raises `UsageError`."""

    epochs: int | None = None
    minutes: float | None = None

    def __post_init__(self) -> None:
        if (self.epochs is None) == (self.minutes is None):
            raise UsageError("the budget is either --epochs or --minutes", hint="--minutes 10")
        if not 0 < (self.epochs or self.minutes or 0) < math.inf:
            raise UsageError("the budget should be positive", hint="--minutes 10")

    def steps(self, training: Training, seconds: float) -> int:
        """The number of steps of a training whose steps take `seconds` each."""
        if self.minutes is None:
            return (self.epochs or 1) * training.steps
        return max(1, int(60 * self.minutes / seconds))

    def __str__(self) -> str:
        if self.minutes is None:
            return f"{counted(self.epochs or 0, 'epoch')} of each network's recipe"
        return f"{counted(self.minutes, 'minute')} of training each"


def lasting(training: Training, steps: int) -> Training:
    """The same training stretched or shortened to `steps` in all, or up to 1 % less.

    The learning rate is halved after the same shares of the training, and rises over one part in 20
    of the steps at most. There are 21 validations, or a few less where the steps are few.
    """
    epochs = _epochs(steps)
    halved = training.halve_every / training.epochs
    return replace(
        training,
        epochs=epochs,
        steps=steps // epochs,
        halve_every=max(1, round(halved * epochs)),
        warm_up=min(training.warm_up, max(1, steps // _WARM)),
        validate_every=math.ceil(epochs / VALIDATIONS),
    )


def _epochs(steps: int) -> int:
    """The most that nearly all steps can be divided into, and that are validated evenly."""
    for epochs in range(min(_FINEST, steps), VALIDATIONS, -1):
        if _is_even(epochs) and steps % epochs <= _LOST * steps:
            return epochs
    return steps // math.ceil(steps / _FINEST)


def _is_even(epochs: int) -> bool:
    """Whether validations at equal distances can be exactly as many as are wanted."""
    every = math.ceil(epochs / VALIDATIONS)
    return every > 1 and math.ceil(epochs / every) == VALIDATIONS
