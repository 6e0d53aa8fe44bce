"""The node: receives DICOM instances, keeps them durably, announces them to the workers, and answers queries."""
