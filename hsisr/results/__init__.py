"""Results for people: maps and spectra for other programs, pictures, and the record of a run."""
