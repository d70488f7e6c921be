"""What moto gets wrong about AWS Backup, put right: a plan can be changed, and goes when it is deleted."""

from __future__ import annotations

import json
from importlib import import_module
from typing import Any


def correct(models: Any) -> None:
    """Correct moto's AWS Backup.

    Args:
        models: moto's module of it.
    """
    backend, original = models.BackupBackend, models.BackupBackend.delete_backup_plan

    # moto: goes on showing a plan that was deleted, and refuses another with its name.
    def delete(self: Any, backup_plan_id: str) -> Any:
        answer = original(self, backup_plan_id)
        del self.plans[backup_plan_id]
        return answer

    backend.delete_backup_plan = delete

    # moto: has no such operation.
    def update(self: Any) -> Any:
        id = self.path.split("/plans/")[-1].strip("/")
        there = self.backup_backend.get_backup_plan(backup_plan_id=id, version_id=None)
        plan = json.loads(self.body)["BackupPlan"]
        changed = models.Plan(plan, there.creator_request_id, self.backup_backend)
        changed.backup_plan_id, changed.backup_plan_arn = there.backup_plan_id, there.backup_plan_arn
        self.backup_backend.plans[id] = changed
        return json.dumps(changed.to_dict())

    import_module("moto.backup.responses").BackupResponse.update_backup_plan = update
