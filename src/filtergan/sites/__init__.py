"""Sites: one convolution in any network, and where its response is read."""
