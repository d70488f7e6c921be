"""Types that cost nothing by themselves, and why; and what is not billed by AWS at all."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

_SETTING: Final = "is a setting of what it belongs to, which has its own price"
_RIGHT: Final = "is a right; IAM is free"
_VPC: Final = "is part of a VPC, which is free"

FREE: Final[Mapping[str, str]] = {
    "aws:acm/certificate:Certificate": "is a public certificate that cannot be exported: ACM gives them for free",
    "aws:acm/certificateValidation:CertificateValidation": "waits for a certificate, and is nothing on AWS",
    "aws:backup/restoreTestingPlan:RestoreTestingPlan": "is a schedule; what it restores is its selections' price",
    "aws:backup/selection:Selection": "says what a plan backs up; what is kept is the plan's price",
    "aws:backup/vault:Vault": "is a name; what is kept in it is the plans' price",
    "aws:backup/vaultLockConfiguration:VaultLockConfiguration": _SETTING,
    "aws:backup/vaultNotifications:VaultNotifications": "sends to a topic, which has its own price",
    "aws:backup/vaultPolicy:VaultPolicy": _RIGHT,
    "aws:cloudwatch/logResourcePolicy:LogResourcePolicy": _RIGHT,
    "aws:ec2/defaultSecurityGroup:DefaultSecurityGroup": _VPC,
    "aws:ec2/internetGateway:InternetGateway": "is free; what leaves by it is the price of who sends it",
    "aws:ec2/launchTemplate:LaunchTemplate": "is a form; what is started from it is the node group's price",
    "aws:ec2/route:Route": _VPC,
    "aws:ec2/routeTable:RouteTable": _VPC,
    "aws:ec2/routeTableAssociation:RouteTableAssociation": _VPC,
    "aws:ec2/securityGroup:SecurityGroup": _VPC,
    "aws:ec2/subnet:Subnet": _VPC,
    "aws:ec2/vpc:Vpc": "is free",
    "aws:ecr/lifecyclePolicy:LifecyclePolicy": _SETTING,
    "aws:ecr/repositoryPolicy:RepositoryPolicy": _RIGHT,
    "aws:eks/accessEntry:AccessEntry": _RIGHT,
    "aws:eks/accessPolicyAssociation:AccessPolicyAssociation": _RIGHT,
    "aws:eks/addon:Addon": "is software of EKS, which is free; what it starts runs on nodes that are priced",
    "aws:eks/podIdentityAssociation:PodIdentityAssociation": _RIGHT,
    "aws:elasticache/parameterGroup:ParameterGroup": _SETTING,
    "aws:elasticache/subnetGroup:SubnetGroup": _SETTING,
    "aws:elasticache/user:User": _RIGHT,
    "aws:elasticache/userGroup:UserGroup": _RIGHT,
    "aws:iam/role:Role": _RIGHT,
    "aws:iam/rolePolicy:RolePolicy": _RIGHT,
    "aws:iam/rolePolicyAttachment:RolePolicyAttachment": _RIGHT,
    "aws:iam/serviceLinkedRole:ServiceLinkedRole": _RIGHT,
    "aws:kms/alias:Alias": "is a name of a key, which has its own price",
    "aws:lb/listener:Listener": "is part of a load balancer, which has its own price",
    "aws:lb/listenerRule:ListenerRule": "is counted in the capacity units of its load balancer",
    "aws:lb/targetGroup:TargetGroup": "is part of a load balancer, which has its own price",
    "aws:mq/configuration:Configuration": _SETTING,
    "aws:opensearch/domainPolicy:DomainPolicy": _RIGHT,
    "aws:opensearch/inboundConnectionAccepter:InboundConnectionAccepter": (
        "is a yes; what crosses the connection is the price of who takes it"
    ),
    "aws:rds/eventSubscription:EventSubscription": "sends to a topic, which has its own price",
    "aws:rds/parameterGroup:ParameterGroup": _SETTING,
    "aws:rds/subnetGroup:SubnetGroup": _SETTING,
    "aws:route53/record:Record": "is part of a hosted zone, whose questions are its price",
    "aws:s3/bucketLifecycleConfiguration:BucketLifecycleConfiguration": (
        "decides in which class the bucket's objects are, and is in the bucket's price"
    ),
    "aws:s3/bucketLogging:BucketLogging": "is free; what is stored is the price of the bucket that takes it",
    "aws:s3/bucketOwnershipControls:BucketOwnershipControls": _SETTING,
    "aws:s3/bucketPolicy:BucketPolicy": _RIGHT,
    "aws:s3/bucketPublicAccessBlock:BucketPublicAccessBlock": _SETTING,
    "aws:s3/bucketServerSideEncryptionConfiguration:BucketServerSideEncryptionConfiguration": (
        "is free; requests to the key are the key's price"
    ),
    "aws:s3/bucketVersioning:BucketVersioning": "is free; earlier versions are in what the bucket stores",
    "aws:secretsmanager/secretPolicy:SecretPolicy": _RIGHT,
    "aws:secretsmanager/secretVersion:SecretVersion": "is the value of a secret, which has its own price",
    "aws:sns/topicPolicy:TopicPolicy": _RIGHT,
    "aws:sns/topicSubscription:TopicSubscription": "is free; what is sent is the topic's price",
    "aws:vpc/securityGroupEgressRule:SecurityGroupEgressRule": _VPC,
    "aws:vpc/securityGroupIngressRule:SecurityGroupIngressRule": _VPC,
    "aws:wafv2/webAclAssociation:WebAclAssociation": "binds a web ACL, which has its own price",
    "aws:wafv2/webAclLoggingConfiguration:WebAclLoggingConfiguration": (
        "is free; what is logged is the price of the log group"
    ),
}
"""Why a type of AWS costs nothing by itself, after "It"."""

OUTSIDE: Final[Mapping[str, str]] = {
    "docsearch:": "groups resources, and is nothing on AWS",
    "kubernetes:": "runs on nodes that are priced, or is a record in a control plane that is",
    "pulumi:": "is bookkeeping of Pulumi",
    "random:": "is a value that Pulumi keeps",
}
"""Why types that begin so are not billed, after "It"; those of Kubernetes that make something on AWS have pricers."""

MADE_ON_AWS: Final[Mapping[str, str]] = {
    "kubernetes:karpenter.sh/": "Karpenter starts nodes by itself, between bounds that are not read here",
    "kubernetes:karpenter.k8s.aws/": "Karpenter starts nodes by itself, between bounds that are not read here",
    "kubernetes:gateway.networking.k8s.io/": "a Gateway may have a load balancer of its own, which is not priced here",
    "kubernetes:core/v1:PersistentVolume": "a volume that is named, and not claimed, is not priced here",
}
"""Kubernetes types that make something on AWS which nobody prices yet."""
