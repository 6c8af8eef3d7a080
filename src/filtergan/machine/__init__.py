"""The machine that a study runs on: devices, processes, memory, files, versions."""
