"""Endmembers from the pixels of a scene, one method per file."""

from hsisr_models.contract import EndmemberFile
from hsisr_models.shelf import Shelf

SHELF = Shelf[EndmemberFile]("endmembers")
