"""The stories. They talk to ports only, so that every outside part can be swapped."""
