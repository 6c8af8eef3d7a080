"""Every choice of a study, and whole configs by name."""
