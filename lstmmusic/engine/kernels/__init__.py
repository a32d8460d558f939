"""Kernels for a CPU: products that skip silent notes, and those of a scan's steps.

The library works without this folder, only slower: see `engine.lowering`.
"""
