"""Define the mathematics, symbolic; import nothing else of the library."""
