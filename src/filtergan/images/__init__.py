"""Images and labels by split: where they come from, and truth planted in them."""
