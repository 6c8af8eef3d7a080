"""Natural transformations: a generator trained together with what undoes its changes in images."""
