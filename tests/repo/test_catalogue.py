from __future__ import annotations

import re

import pytest

from hsisr import recipe
from hsisr_models.abundances import SHELF as SOLVERS
from hsisr_models.counts import SHELF as COUNTS
from hsisr_models.endmembers import SHELF as EXTRACTIONS
from hsisr_models.losses import SHELF as LOSSES
from hsisr_models.metrics import SHELF as METRICS
from hsisr_models.sr import SHELF as NETWORKS
from hsisr_models.unmix import SHELF as METHODS

SHELVES = {
    "sr": NETWORKS,
    "unmix": METHODS,
    "endmembers": EXTRACTIONS,
    "counts": COUNTS,
    "abundances": SOLVERS,
    "losses": LOSSES,
    "metrics": METRICS,
    "recipes": recipe.names(),
    "recipes/protocols": recipe.names("protocols"),
}


@pytest.mark.parametrize("shelf", SHELVES)
def test_the_catalogue_lists_what_is_on_the_shelf(shelf, root):
    chapters = re.split(r"^## ", (root / "models" / "README.md").read_text(), flags=re.M)
    chapter = next(chapter for chapter in chapters if f"`{shelf}/`" in chapter.partition("\n")[0])
    listed = re.findall(r"^\| `([\w-]+)` \|", chapter, re.M)
    assert sorted(listed) == sorted(SHELVES[shelf])
