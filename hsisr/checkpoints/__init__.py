"""Model files: written, read and checked, listed, described, and turned into networks."""
