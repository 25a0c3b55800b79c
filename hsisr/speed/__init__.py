"""How fast models are on this machine, against what it could do."""
