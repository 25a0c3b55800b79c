"""Networks and what belongs to them, built by the numbers of a recipe."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from hsisr.errors import UsageError
from hsisr.recipe import SrRecipe, UnmixRecipe, names
from hsisr_models.losses import SHELF as LOSSES
from hsisr_models.networks import SrNetwork, UnmixNetwork
from hsisr_models.relation import AbundanceRelation
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS


def build_network(numbers: SrRecipe, *, bands: int, scale: int, endmembers: int) -> SrNetwork:
    """The network of a recipe; raises `UsageError` for numbers or terms that it does not know."""
    with explained(numbers.network):
        _require_terms(numbers.loss)
        return NETWORKS[numbers.network].build(
            bands=bands, scale=scale, endmembers=endmembers, **numbers.numbers
        )


def build_unmixing(numbers: UnmixRecipe, *, bands: int) -> UnmixNetwork:
    """The unmixing network of a recipe; raises `UsageError` as `build_network` does."""
    with explained(numbers.method):
        network = METHODS[numbers.method].build(
            bands=bands, endmembers=numbers.endmembers, **numbers.numbers
        )
        _require_terms(numbers.loss, network.terms)
        return network


def build_relation(numbers: SrRecipe, *, scale: int, endmembers: int) -> AbundanceRelation:
    """What abundances are compared by; raises `UsageError` for a kind that is not known."""
    with explained(numbers.relation):
        return AbundanceRelation(numbers.relation, endmembers, scale)


@contextmanager
def explained(name: str, doing: str = "build") -> Iterator[None]:
    """Turn a refusal of the recipe's numbers into a `UsageError`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        # a keyword that is not known is often a number of the method of another recipe
        own = isinstance(error, TypeError) and name in names()
        hint = f"the numbers of '{name}' are those of --recipe {name}" if own else None
        raise UsageError(f"cannot {doing} '{name}': {error.args[0]}", hint=hint) from error


def _require_terms(loss: dict[str, float], own: Sequence[str] = ()) -> None:
    for name in set(loss).difference(own):
        LOSSES[name]
