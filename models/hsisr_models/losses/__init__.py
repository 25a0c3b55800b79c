"""Terms of the training loss, one per file; the file's name is the recipe's key."""

from hsisr_models.contract import LossFile
from hsisr_models.shelf import Shelf

SHELF = Shelf[LossFile]("losses")
