"""What filters can undo at all: of known families, of any smooth change, of a question."""
