"""How the graphs become fast programs; a reader of the paper never needs it."""
