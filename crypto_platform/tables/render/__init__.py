"""What is rendered from the declarations of the tables."""
