"""Frames → vectors. `port.Embedder` is what the rest of the package knows; `registry.make_embedder` makes one by name.

The only door to torch. One file per family; `weights/` will hold only what this project trained.
"""
