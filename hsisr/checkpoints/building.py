"""Networks built by the numbers of a recipe."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from inspect import signature
from typing import Any, TypeVar

from hsisr.checkpoints.checkpoint import COUNTS
from hsisr.errors import UsageError, require_known
from hsisr.recipe import SrRecipe, UnmixRecipe, names
from hsisr_models.losses import SHELF as LOSSES
from hsisr_models.networks import SrNetwork, UnmixNetwork
from hsisr_models.relation import KINDS, AbundanceRelation
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

T = TypeVar("T")


def build_network(numbers: SrRecipe, *, bands: int, scale: int, endmembers: int) -> SrNetwork:
    """The network of a recipe; raises `UsageError` for numbers or terms that it does not know."""
    require_known("network", numbers.network, NETWORKS)
    for term in numbers.loss:
        require_known("loss term", term, LOSSES)
    given = {"bands": bands, "scale": scale, "endmembers": endmembers}
    return _built(numbers.network, NETWORKS[numbers.network].build, given, numbers.numbers)


def build_unmixing(numbers: UnmixRecipe, *, bands: int) -> UnmixNetwork:
    """The unmixing network of a recipe; raises `UsageError` as `build_network` does."""
    require_known("unmixing method", numbers.method, METHODS)
    given = {"bands": bands, "endmembers": numbers.endmembers}
    network = _built(numbers.method, METHODS[numbers.method].build, given, numbers.numbers)
    for term in numbers.loss:
        require_known("loss term", term, [*LOSSES, *network.terms])
    return network


def build_relation(numbers: SrRecipe, *, scale: int, endmembers: int) -> AbundanceRelation:
    """What abundances are compared by; raises `UsageError` for a kind that is not known."""
    require_known("relation of abundances", numbers.relation, KINDS)
    return AbundanceRelation(numbers.relation, endmembers, scale)


def _built(
    name: str, build: Callable[..., T], given: Mapping[str, int], numbers: Mapping[str, Any]
) -> T:
    """A network by its own `numbers`, beside those that are `given` to every network."""
    known = [number for number in signature(build).parameters if number not in given]
    for number, value in numbers.items():
        if number not in known:
            own = f"its numbers are {', '.join(known)}" if known else "it has none"
            # they are often those of the network of another recipe
            hint = f"{own}; --recipe {name} sets them" if name in names() else own
            raise UsageError(f"'{name}' has no number '{number}'", hint=hint)
        if isinstance(value, int) and value not in COUNTS:
            raise UsageError(
                f"'{name}' cannot be built with {number} = {value}",
                hint=f"a number from {COUNTS[0]} to {COUNTS[-1]}",
            )
    with explained(name):
        return build(**given, **numbers)


@contextmanager
def explained(name: str, doing: str = "build") -> Iterator[None]:
    """Turn a refusal of the recipe's numbers into a `UsageError`."""
    try:
        yield
    except (LookupError, TypeError, ValueError, ArithmeticError, RuntimeError) as error:
        raise UsageError(f"cannot {doing} '{name}': {error.args[0]}") from error
