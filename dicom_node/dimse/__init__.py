"""The DIMSE edge: the only door to pynetdicom."""
