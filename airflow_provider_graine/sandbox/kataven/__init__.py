"""The Kataven half of the sandbox: its state, its dialler, its endpoints."""
