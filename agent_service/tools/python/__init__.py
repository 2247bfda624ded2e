"""Users' own tools in Python: read here without being run, and run in a process of their own."""
