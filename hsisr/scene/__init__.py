"""Views of a scene: parts, filled, degraded, on other bands, and statistics of the whole."""
