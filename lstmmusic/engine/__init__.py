"""How the graphs become fast programs; a reader of the paper never needs it."""

from lstmmusic.engine.cache import clear_cache

__all__ = ["clear_cache"]
