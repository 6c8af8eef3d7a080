"""How the stage `measure` gathers its measures: of filters, of images, of traversals."""
