"""How the fitted embedder's weights are made; nothing here runs in a worker."""
