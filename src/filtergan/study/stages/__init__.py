"""The stages of a study, one file each: gather arrays, call what is below, write to the record."""
