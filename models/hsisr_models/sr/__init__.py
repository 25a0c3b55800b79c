"""Super-resolution networks, one per file; the file's name is the network's."""

from hsisr_models.contract import SrFile
from hsisr_models.shelf import Shelf

SHELF = Shelf[SrFile]("sr")
