"""``make demo``: the main job, whole, on embedded parts."""
