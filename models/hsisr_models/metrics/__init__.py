"""Measures of quality, one per file; the file's name is the column's and the option's."""

from hsisr_models.contract import MetricFile
from hsisr_models.metrics._presets import PRESETS, Preset
from hsisr_models.shelf import Shelf

__all__ = ["PRESETS", "SHELF", "Preset"]

SHELF = Shelf[MetricFile]("metrics")
