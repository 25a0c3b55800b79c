"""From a scene to its results tile by tile, in bounded memory, resumable."""
