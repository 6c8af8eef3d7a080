"""Walks in latent space, and the images recovered along them (eqs. 5 to 8)."""
