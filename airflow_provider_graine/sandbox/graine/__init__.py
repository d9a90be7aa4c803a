"""The Graine half of the sandbox: its state, its dialler, its endpoints."""
