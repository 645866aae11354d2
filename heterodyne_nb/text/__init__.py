"""How things are written: numbers to their error, HTML for notebooks, names from files that do no harm."""
