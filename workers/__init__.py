"""The workers: turn stored instances into vectors. Nobody imports this package."""
