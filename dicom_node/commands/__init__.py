"""The subcommands of `dicom-node`, one file per subject: they translate arguments and print; the use cases work."""
