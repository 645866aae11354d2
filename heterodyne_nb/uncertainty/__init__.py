"""What an optimum is worth: errors that respect correlated pixels, bands, what the data determine."""

from heterodyne_nb.uncertainty.identifiability import Identifiability, identifiability

__all__ = [
    "Identifiability",
    "identifiability",
]
