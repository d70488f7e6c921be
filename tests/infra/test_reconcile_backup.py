"""How backups, image repositories and firewalls are found after a killed run."""

from collections.abc import Iterator
from typing import Any

import pytest

from infra.finders import FINDERS
from tests.infra.stubbed import Stubbed

PLAN = "aws:backup/plan:Plan"
SELECTION = "aws:backup/selection:Selection"
ACL = "aws:wafv2/webAcl:WebAcl"
SCANNING = "aws:ecr/registryScanningConfiguration:RegistryScanningConfiguration"


@pytest.fixture
def there() -> Iterator[Stubbed]:
    found = Stubbed()
    yield found
    found.all_asked()


@pytest.mark.parametrize(
    ("type_", "inputs", "id"),
    [
        ("aws:backup/vault:Vault", {"name": "backup-1"}, "backup-1"),
        ("aws:backup/vaultLockConfiguration:VaultLockConfiguration", {"backupVaultName": "backup-1"}, "backup-1"),
        (
            "aws:backup/restoreTestingSelection:RestoreTestingSelection",
            {"name": "a", "restoreTestingPlanName": "b"},
            "a:b",
        ),
        ("aws:ecr/repository:Repository", {"name": "docsearch/search"}, "docsearch/search"),
        ("aws:ecr/lifecyclePolicy:LifecyclePolicy", {"repository": "docsearch/search"}, "docsearch/search"),
        (
            "aws:wafv2/webAclAssociation:WebAclAssociation",
            {"webAclArn": "arn:1", "resourceArn": "arn:2"},
            "arn:1,arn:2",
        ),
    ],
)
def test_an_id_that_is_made_of_inputs_needs_no_call(
    there: Stubbed, type_: str, inputs: dict[str, Any], id: str
) -> None:
    assert FINDERS[type_](there, inputs) == id


def test_a_backup_plan_is_found_by_its_name(there: Stubbed) -> None:
    plans = [{"BackupPlanId": "1", "BackupPlanName": "other"}, {"BackupPlanId": "2", "BackupPlanName": "daily"}]
    there.expect("backup", "list_backup_plans", {"BackupPlansList": plans})
    assert FINDERS[PLAN](there, {"name": "daily"}) == "2"


def test_a_selection_is_found_in_its_plan(there: Stubbed) -> None:
    selections = [{"SelectionId": "1", "SelectionName": "database"}]
    there.expect("backup", "list_backup_selections", {"BackupSelectionsList": selections}, BackupPlanId="2")
    assert FINDERS[SELECTION](there, {"planId": "2", "name": "database"}) == "1"


def test_a_web_acl_is_found_by_its_name_on_any_page(there: Stubbed) -> None:
    def page(name: str, id: str) -> list[dict[str, str]]:
        return [{"Name": name, "Id": f"{id * 8}-0000-0000-0000-000000000000"}]

    there.expect("wafv2", "list_web_acls", {"WebACLs": page("other", "1"), "NextMarker": "more"}, Scope="REGIONAL")
    there.expect("wafv2", "list_web_acls", {"WebACLs": page("waf-1", "2")}, Scope="REGIONAL", NextMarker="more")
    assert FINDERS[ACL](there, {"name": "waf-1", "scope": "REGIONAL"}) == "22222222-0000-0000-0000-000000000000"


def test_a_web_acl_that_is_not_there_is_not_found(there: Stubbed) -> None:
    there.expect("wafv2", "list_web_acls", {"WebACLs": []}, Scope="REGIONAL")
    assert FINDERS[ACL](there, {"name": "waf-1", "scope": "REGIONAL"}) is None
    there.refuse("wafv2", "list_web_acls", "WAFInternalErrorException")
    assert FINDERS[ACL](there, {"name": "waf-1", "scope": "REGIONAL"}) is None


def test_what_is_set_for_a_registry_has_the_accounts_id(there: Stubbed) -> None:
    there.expect("ecr", "describe_registry", {"registryId": "123456789012"})
    assert FINDERS[SCANNING](there, {"scanType": "BASIC"}) == "123456789012"
    there.refuse("ecr", "describe_registry", "ServerException")
    assert FINDERS[SCANNING](there, {"scanType": "BASIC"}) is None
