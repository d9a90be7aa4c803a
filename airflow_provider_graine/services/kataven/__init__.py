"""Kataven: its endpoints (:mod:`.requests`) and the documents that travel (:mod:`.sent`, :mod:`.received`)."""
