"""Model files: written, checked, listed, described, and made into networks again."""
