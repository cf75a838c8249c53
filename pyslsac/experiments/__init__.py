"""What is built on training, and what looks at an installation as a whole."""
