"""Abundances by linear algebra from known endmembers, one method per file."""

from hsisr_models.contract import AbundanceFile
from hsisr_models.shelf import Shelf

SHELF = Shelf[AbundanceFile]("abundances")
