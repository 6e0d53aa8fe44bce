"""The sharded vector store: keys, vectors, groups and filter attributes; nothing of DICOM, catalog, queue or model."""
