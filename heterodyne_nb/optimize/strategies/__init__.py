"""One method a file behind one call, and the run that guards them."""
