"""One reader a layout (see :mod:`.base`), and the list of layouts in the order they are tried."""
