"""Unmixing without a trained model; libraries of spectra; what any unmixing is worth."""
