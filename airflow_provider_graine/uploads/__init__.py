"""The at-most-once upload: one protocol for every service and every operator. Knows "a service", not which."""
