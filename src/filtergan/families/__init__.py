"""Known transformations of images, a file and an object for each family (`catalogue`)."""
