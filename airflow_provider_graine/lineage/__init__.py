"""What a task has read and written, for assets, hook lineage and OpenLineage: counts, ids, places; no personal data."""
