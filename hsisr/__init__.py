"""Hyperspectral super-resolution with unmixing as the auxiliary task.

`cli` is a thin layer over these packages; each imports only from those below it:

- `bench`, `speed`: networks compared by what they make of scenes, and by how fast they are.
- `training`: the only loop in which weights change.
- `unmixing`: endmembers and abundances without a trained model, and what an unmixing is worth.
- `tiling`: the only loop over the tiles of a scene, from a survey of it to finished files.
- `data`: what networks are trained and tested with. `results`: what people open and look at.
- `formats`: files as cubes. `scene`: cubes seen otherwise. `checkpoints`: files as models.

The single files beside them are what all of them speak of: cubes, windows, recipes, errors.
Networks live in `hsisr_models`, which knows nothing of this package. Importing it loads nothing.
"""

__version__ = "0.1.0"
