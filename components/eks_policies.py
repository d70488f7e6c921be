"""What the cluster, its nodes and its pods may do on AWS, and who may act as them.

"User guide" is the Amazon EKS user guide.
"""

from collections.abc import Sequence

from components.kms import Policy


def plan_cluster_trust(prefix: str, *, account_id: str, region: str) -> Policy:
    """Who may use the control plane's role: EKS, for this cluster.

    Source: user guide, "Cross-service confused deputy prevention in Amazon EKS". The cluster's name ends with random
    digits, so that the document needs no value that only exists later.
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "eks.amazonaws.com"},
                "Action": "sts:AssumeRole",
                "Condition": {
                    "StringEquals": {"aws:SourceAccount": account_id},
                    "ArnLike": {"aws:SourceArn": f"arn:aws:eks:{region}:{account_id}:cluster/{prefix}-*"},
                },
            }
        ],
    }


def plan_pod_trust(prefix: str, namespace: str, service_account: str, *, account_id: str, region: str) -> Policy:
    """Who may use a role of pods: EKS Pod Identity, for one service account of this cluster.

    Source: user guide, "Create IAM role with trust policy required by EKS Pod Identity" and "Grant Pods access to AWS
    resources based on tags".
    """
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": "pods.eks.amazonaws.com"},
                "Action": ["sts:AssumeRole", "sts:TagSession"],
                "Condition": {
                    "StringEquals": {
                        "aws:SourceAccount": account_id,
                        "aws:RequestTag/kubernetes-namespace": namespace,
                        "aws:RequestTag/kubernetes-service-account": service_account,
                    },
                    "ArnLike": {"aws:SourceArn": f"arn:aws:eks:{region}:{account_id}:cluster/{prefix}-*"},
                },
            }
        ],
    }


def plan_volume_key_policy(key_arns: Sequence[str]) -> Policy:
    """What the EBS driver does with the keys of volumes: has EC2 use them. Without that no volume is ever made.

    Source: user guide, "Amazon EBS CSI driver", step "KMS key for encryption".
    """
    keys = list(key_arns)
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Action": ["kms:CreateGrant", "kms:ListGrants", "kms:RevokeGrant"],
                "Resource": keys,
                "Condition": {"Bool": {"kms:GrantIsForAWSResource": "true"}},
            },
            {
                "Effect": "Allow",
                "Action": ["kms:Encrypt", "kms:Decrypt", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:DescribeKey"],
                "Resource": keys,
            },
        ],
    }


NODE_TRUST: Policy = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Principal": {"Service": "ec2.amazonaws.com"}, "Action": "sts:AssumeRole"},
    ],
}

#: What a node asks of EC2 while it starts: its own name, and how many pods its type can take. The minimal policy has
#: neither, and these calls know no narrower resource (EC2 service authorization reference).
NODE_POLICY: Policy = {
    "Version": "2012-10-17",
    "Statement": [
        {"Effect": "Allow", "Action": ["ec2:DescribeInstances", "ec2:DescribeInstanceTypes"], "Resource": "*"},
    ],
}
