"""Training data: scenes cut into blocks that do not touch, protocols, batches."""
