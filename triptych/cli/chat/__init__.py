"""`triptych chat`: talking with an agent in a terminal."""
