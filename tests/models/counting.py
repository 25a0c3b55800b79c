"""How many weights layers have, by their definition."""

from __future__ import annotations


def conv(inputs: int, outputs: int, kernel: int = 3, *, bias: bool = True) -> int:
    """A convolution with a square kernel."""
    return outputs * (inputs * kernel * kernel + bias)


def linear(inputs: int, outputs: int, *, bias: bool = True) -> int:
    """A product of a vector with a matrix."""
    return conv(inputs, outputs, 1, bias=bias)
