"""Plain versions of the algorithms: what the fast ones must equal, and what they are timed against."""
