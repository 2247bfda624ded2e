"""What every Triptych service is made of, and nothing about memory: who calls, errors, deadlines, stores, drain."""
