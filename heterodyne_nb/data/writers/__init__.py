"""Writers of the layouts that other programs read, which our readers round-trip exactly."""
