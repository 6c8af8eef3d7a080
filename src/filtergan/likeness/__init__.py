"""Whose invariance it is: latents of several networks (`filtergan compare --directions`)."""
