"""Unmixing without a trained model, spectral libraries, and the quality of any unmixing."""
