"""The mathematics, symbolic: imports nothing else of the library."""
