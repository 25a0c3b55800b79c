"""A scene seen otherwise: in part, filled, coarser, on other bands, or as a whole by statistics."""
