"""The HTTP edge: health, metrics, status, similarity for scripts, pages. The only door to FastAPI."""
