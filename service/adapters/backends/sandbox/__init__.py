"""The built-in backend, which draws placeholder images in this process."""
