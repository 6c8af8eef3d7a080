"""The live page of a run: images moved by hand, with all that needs the model."""
