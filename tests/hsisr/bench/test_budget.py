from __future__ import annotations

import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hsisr import recipe
from hsisr.bench.budget import Budget, lasting
from hsisr.errors import UsageError


def _training(name):
    return recipe.load(name).sr.training


def _validations(training):
    """As `fit` does them: after the first epoch, after every so many, and in the end."""
    later = range(training.validate_every, training.epochs + 1, training.validate_every)
    return len({1, *later, training.epochs})


def test_a_stretched_schedule_halves_the_rate_after_the_same_share():
    # 40 epochs of 100 steps, halved every 9: 22.5 % of the training
    training = lasting(_training("sspsr"), 8000)
    assert (training.epochs, training.steps) == (200, 40)
    assert training.halve_every == 45
    assert training.validate_every == 10
    assert training.warm_up == 1


def test_a_shortened_schedule_warms_up_in_one_part_of_twenty():
    # 60 epochs of 8 steps, halved every 40, that is after two thirds; a warm-up of 50
    training = lasting(_training("default"), 160)
    assert (training.epochs, training.steps) == (160, 1)
    assert training.halve_every == 107
    assert training.warm_up == 8


def test_nothing_else_of_the_schedule_changes():
    before = _training("rfsr")
    after = lasting(before, 1234)
    names = ("epochs", "steps", "halve_every", "warm_up", "validate_every")
    assert replace(after, **{name: getattr(before, name) for name in names}) == before


def test_a_single_step_is_a_training():
    training = lasting(_training("default"), 1)
    assert (training.epochs, training.steps, training.warm_up) == (1, 1, 1)


@given(st.integers(200, 200_000))
def test_hardly_a_step_is_lost(steps):
    training = lasting(_training("mcnet"), steps)
    assert 0.99 * steps <= training.epochs * training.steps <= steps


@given(st.integers(1000, 200_000), st.integers(1000, 200_000))
def test_long_trainings_are_validated_equally_often(some, more):
    assert {_validations(lasting(_training("mcnet"), steps)) for steps in (some, more)} == {21}


def test_a_time_is_as_many_steps_as_fit_into_it():
    assert Budget(minutes=2).steps(_training("default"), 0.7) == math.floor(120 / 0.7)
    assert Budget(minutes=0.01).steps(_training("default"), 30.0) == 1


def test_epochs_are_those_of_the_recipe():
    assert Budget(epochs=3).steps(_training("sspsr"), 0.0) == 300


@pytest.mark.parametrize(
    ("wrong", "told"),
    [({}, "either"), ({"epochs": 1, "minutes": 1.0}, "either"), ({"minutes": 0.0}, "positive")],
)
def test_a_budget_is_one_positive_number(wrong, told):
    with pytest.raises(UsageError, match=told):
        Budget(**wrong)
