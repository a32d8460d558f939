"""Products on a CPU in compiled code that skips silent notes."""
