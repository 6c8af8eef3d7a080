"""The game: generator, discriminator, the equations between them, and Algorithm 1."""
