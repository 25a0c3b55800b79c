"""What people open and look at: maps and spectra for other programs, pictures, a record."""
