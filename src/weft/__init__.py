"""weft: describe work once, run it everywhere."""

__version__ = "0.1.0"
