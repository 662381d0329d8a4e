"""What is pure, by example and by property."""
