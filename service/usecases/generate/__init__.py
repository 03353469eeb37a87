"""One request for images, from its plan to its delivery."""
