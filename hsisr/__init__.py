"""Hyperspectral super-resolution with unmixing as the auxiliary task.

The command line (`hsisr --help`) is a thin layer over these modules: cubes are opened by
`hsisr.formats.open_cube`, networks live in `hsisr_models`, `hsisr.fit` trains and `hsisr.run`
applies a model to a scene tile by tile. Importing this package loads nothing heavy.
"""

__version__ = "0.1.0"
