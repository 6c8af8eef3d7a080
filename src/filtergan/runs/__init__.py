"""Run directories: their files, their record, their log of events."""
