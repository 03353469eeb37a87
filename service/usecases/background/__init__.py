"""Tasks that run behind requests: supervision, round robin, checks of the stores."""
