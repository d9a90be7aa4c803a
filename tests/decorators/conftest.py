from __future__ import annotations

from tests.service import campaign_id, hook, sandbox, shared_sandbox, task

__all__ = ["campaign_id", "hook", "sandbox", "shared_sandbox", "task"]
