"""What else the filters of a trained convolution could have been, and what the network ignores."""
