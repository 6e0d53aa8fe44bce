"""One module per DIMSE service: translate between its messages and a use case, nothing else."""
