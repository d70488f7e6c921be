"""What is never allowed: the rules, one module per concern, and the pack that the engine runs."""
