"""Turn the graphs into fast programs; a reader of the paper never needs this room."""

from lstmmusic.engine.cache import clear_cache

__all__ = ["clear_cache"]
