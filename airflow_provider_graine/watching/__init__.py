"""Looks at calls that run on a service, for one wait or for thousands of them, and stops them. Knows hooks, no task."""
