"""Who may do what with a region's OpenSearch domain: the policies around it, as plain documents.

They name the domain by a pattern, since its name has a random part that a preview cannot know: so they can be read, and
checked by policies, before anything exists.
"""

from typing import Any

from components.storage_plan import bucket_arn

Policy = dict[str, Any]

_VERSION = "2012-10-17"


def domain_pattern(name: str, *, region: str, account_id: str) -> str:
    """ARN of every domain that a component of this logical name can have."""
    return f"arn:aws:es:{region}:{account_id}:domain/{name}-*"


def log_group_name(domain: str, log: str) -> str:
    """Where a log of a domain goes."""
    return f"/aws/opensearch/domains/{domain}/{log}"


def plan_access(pattern: str, *, account_id: str) -> Policy:
    """Who may reach the domain: roles of our account that IAM allows it to; fine-grained access control goes further.

    Followers read by `ESCrossClusterGet`, of which the domain itself is the resource, not what is below it. Source:
    OpenSearch Service developer guide, "Identity and Access Management" and "Cross-cluster replication".
    """
    account = {"AWS": f"arn:aws:iam::{account_id}:root"}
    # Requests are signed by roles' sessions; a user with keys of its own is nobody that we know.
    roles = {"ArnLike": {"aws:PrincipalArn": f"arn:aws:iam::{account_id}:role/*"}}
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Sid": "RolesOfThisAccount",
                "Effect": "Allow",
                "Principal": account,
                "Action": "es:ESHttp*",
                "Resource": f"{pattern}/*",
                "Condition": roles,
            },
            {
                "Sid": "FollowersOfThisAccount",
                "Effect": "Allow",
                "Principal": account,
                "Action": "es:ESCrossClusterGet",
                "Resource": pattern,
                "Condition": roles,
            },
        ],
    }


def plan_log_policy(name: str, *, region: str, account_id: str) -> Policy:
    """Lets OpenSearch write into the domain's log groups, for domains of this name only.

    Source: OpenSearch Service developer guide, "Monitoring OpenSearch logs" (with the guard against confused deputies).
    """
    groups = f"arn:aws:logs:{region}:{account_id}:log-group:{log_group_name(f'{name}-*', '*')}"
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Sid": "LogsOfOpenSearch",
                "Effect": "Allow",
                "Principal": {"Service": "es.amazonaws.com"},
                "Action": ["logs:CreateLogStream", "logs:PutLogEvents", "logs:PutLogEventsBatch"],
                "Resource": groups,
                "Condition": _on_behalf_of(domain_pattern(name, region=region, account_id=account_id), account_id),
            }
        ],
    }


def plan_master_trust(*, account_id: str) -> Policy:
    """Who may become the master: whoever of this account IAM allows to assume the role.

    Pods bring tags of their session along, which EKS Pod Identity put there (EKS user guide, "Grant Pods access to AWS
    resources based on tags").
    """
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{account_id}:root"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
            }
        ],
    }


def plan_master_rights(name: str, *, region: str, account_id: str, snapshot_role: str) -> Policy:
    """Everything inside the domain, to read a leader in another region, and to hand the snapshot role over.

    Registering a snapshot repository passes that role to the domain; starting replication reads the leader as the
    caller. Source: OpenSearch Service developer guide, "Registering a manual snapshot repository" and "Cross-cluster
    replication". As there, passing has no condition: that a request inside of a domain names the service that gets the
    role (``iam:PassedToService``) is not documented, and the role lets in nobody but this service's domains of ours.
    """
    everywhere = domain_pattern(name, region="*", account_id=account_id)
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Action": "es:ESHttp*",
                "Resource": f"{domain_pattern(name, region=region, account_id=account_id)}/*",
            },
            {"Effect": "Allow", "Action": "es:ESCrossClusterGet", "Resource": everywhere},
            {"Effect": "Allow", "Action": "iam:PassRole", "Resource": snapshot_role},
        ],
    }


def plan_snapshot_trust(pattern: str, *, account_id: str) -> Policy:
    """OpenSearch may use the snapshot role, for domains of this name only."""
    return {
        "Version": _VERSION,
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "es.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": _on_behalf_of(pattern, account_id),
            }
        ],
    }


def plan_snapshot_rights(bucket: str, *, path: str, key: str, region: str) -> Policy:
    """Reads every snapshot in the bucket, writes under the region's own path.

    A repository that two clusters write to is soon worth nothing, so what the other region's domain saved can be
    restored here and not be changed. Nothing is said of encryption when an object is written: the bucket's key is then
    used, and a bucket policy refuses any other.

    Args:
        bucket: Name of the snapshots bucket.
        path: Where this region's repository begins, without slashes.
        key: ARN of the key that the bucket encrypts with.
        region: Where the bucket is.
    """
    arn = bucket_arn(bucket)
    return {
        "Version": _VERSION,
        "Statement": [
            {"Effect": "Allow", "Action": "s3:ListBucket", "Resource": arn},
            {"Effect": "Allow", "Action": "s3:GetObject", "Resource": f"{arn}/*"},
            {"Effect": "Allow", "Action": ["s3:DeleteObject", "s3:PutObject"], "Resource": f"{arn}/{path}/*"},
            {
                "Effect": "Allow",
                "Action": ["kms:Decrypt", "kms:GenerateDataKey"],
                "Resource": key,
                "Condition": {
                    "StringEquals": {"kms:ViaService": f"s3.{region}.amazonaws.com"},
                    "StringLike": {"kms:EncryptionContext:aws:s3:arn": [arn, f"{arn}/*"]},
                },
            },
        ],
    }


def _on_behalf_of(pattern: str, account_id: str) -> dict[str, Any]:
    return {"StringEquals": {"aws:SourceAccount": account_id}, "ArnLike": {"aws:SourceArn": pattern}}
