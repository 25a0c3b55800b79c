"""Unmixing methods, one per file; the file's name is the method's."""

from hsisr_models.contract import UnmixFile
from hsisr_models.shelf import Shelf

SHELF = Shelf[UnmixFile]("unmix")
