"""Import paths of other systems, for scripts that were written for them."""
