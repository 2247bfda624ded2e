"""What users may use, what they have used, and whose turn it is."""
