"""What a user takes along, and what is left of it: nothing."""
