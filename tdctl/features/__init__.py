"""Vectors in the place of images: features of a frozen network, or any embedding."""
