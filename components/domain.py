"""The domain: its host names, its zone, and one region's certificate for them.

It comes before the load balancer, which needs the certificate; the records that users follow come after it, in
`components.dns`.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws

from components.errors import ArgsError
from components.kms import Role, check_follows

#: How long resolvers keep a validation or CAA record, s. Nobody follows these to a region.
TTL_SECONDS = 300


@dataclass(frozen=True)
class Hosts:
    """The host names of a region.

    Attributes:
        read: Shared by all regions, answered by the nearest healthy one.
        write: Shared by all regions, answered by the primary while it is healthy.
        regional: This region and no other, whatever its health: what the health check asks.
    """

    read: str
    write: str
    regional: str

    @property
    def shared(self) -> tuple[str, ...]:
        """The names that several regions answer to."""
        return self.read, self.write


def plan_hosts(domain: str, region: str) -> Hosts:
    """The host names of a region under a domain.

    Args:
        domain: The zone's name, lower-case, without a trailing dot.
        region: Such as ``us-east-1``.

    Raises:
        ArgsError: The domain is none, or too long for a certificate.
    """
    label = r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?"
    if not re.fullmatch(rf"({label}\.)+{label}", domain):
        raise ArgsError(
            f"domain is {domain!r}",
            why="it must be two or more lower-case labels of at most 63 letters, digits and inner hyphens",
            remedy="Write it like search.example.com",
        )
    hosts = Hosts(read=f"api.{domain}", write=f"write.{domain}", regional=f"{region}.{domain}")
    if len(hosts.read) > 64:
        raise ArgsError(
            f"domain is {domain}",
            why=f"{hosts.read} has {len(hosts.read)} characters, and the first name of a certificate at most 64",
            remedy="Take a shorter one",
        )
    return hosts


@dataclass(frozen=True, kw_only=True)
class DomainArgs:
    """What the domain of a region needs.

    Attributes:
        name: The domain, such as ``search.example.com``.
        region: The region that the certificate is for.
        role: ``primary`` makes the zone, ``standby`` adds to it.
        zone_id: The zone of the primary region; required for a standby, refused for a primary.
        locked: Pulumi's ``protect`` on the zone: a new one would have other name servers than the registrar knows.

    Raises:
        ArgsError: The domain cannot be used, or role and zone do not agree.
    """

    name: str
    region: str
    role: Role
    zone_id: pulumi.Input[str] | None = None
    locked: bool = True

    def __post_init__(self) -> None:
        plan_hosts(self.name, self.region)
        check_follows(
            self.role, "zone_id", self.zone_id, leads="it makes the zone", follows="all regions answer in one zone"
        )


class Domain(pulumi.ComponentResource):
    """The zone, and the certificate of one region for all its host names.

    The first time, the certificate waits until the registrar delegates the domain to ``name_servers``.

    Attributes:
        hosts: The host names.
        zone_id: The hosted zone: what a standby region takes as ``zone_id``.
        name_servers: Where the registrar must delegate to; empty in a standby.
        certificate_arn: The certificate, available once it is issued.
    """

    hosts: Hosts
    zone_id: pulumi.Output[str]
    name_servers: pulumi.Output[Sequence[str]]
    certificate_arn: pulumi.Output[str]

    def __init__(self, name: str, args: DomainArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:domain:Domain", name, None, opts)
        child = pulumi.ResourceOptions(parent=self)
        self.hosts = plan_hosts(args.name, args.region)
        if args.zone_id is None:
            zone = aws.route53.Zone(
                name,
                name=args.name,
                comment="docsearch",
                # Records can be edited again within about an hour of losing us-east-1. Nothing here depends on it.
                enable_accelerated_recovery=True,
                force_destroy=not args.locked,
                opts=pulumi.ResourceOptions(parent=self, protect=args.locked),
            )
            self.zone_id, self.name_servers = zone.zone_id, zone.name_servers
            # No other authority may issue for these names.
            aws.route53.Record(
                f"{name}-authority",
                zone_id=zone.zone_id,
                name=args.name,
                type="CAA",
                ttl=TTL_SECONDS,
                records=['0 issue "amazon.com"'],
                opts=child,
            )
        else:
            self.zone_id = pulumi.Output.from_input(args.zone_id)
            self.name_servers = pulumi.Output.from_input([])
        self.certificate_arn = self._certificate(name, args, child)
        self.register_outputs(
            {"zone_id": self.zone_id, "name_servers": self.name_servers, "certificate_arn": self.certificate_arn}
        )

    def _certificate(self, name: str, args: DomainArgs, child: pulumi.ResourceOptions) -> pulumi.Output[str]:
        certificate = aws.acm.Certificate(
            name,
            domain_name=self.hosts.read,
            subject_alternative_names=[self.hosts.write, self.hosts.regional],
            validation_method="DNS",
            key_algorithm="EC_prime256v1",
            opts=child,
        )
        # ACM asks for the same record for a name in every region of an account, so the shared names' records are the
        # primary's alone: a standby that wrote them too would fail on them, or take them along when it is destroyed.
        names = {"regional": self.hosts.regional}
        if args.role == "primary":
            names |= {"read": self.hosts.read, "write": self.hosts.write}
        records = [self._validation(f"{name}-proof-{which}", host, certificate, child) for which, host in names.items()]
        return aws.acm.CertificateValidation(
            name,
            certificate_arn=certificate.arn,
            opts=pulumi.ResourceOptions(parent=self, depends_on=records),
        ).certificate_arn

    def _validation(
        self, name: str, host: str, certificate: aws.acm.Certificate, child: pulumi.ResourceOptions
    ) -> aws.route53.Record:
        option = certificate.domain_validation_options.apply(
            lambda options: next(option for option in options if option.domain_name == host)
        )
        return aws.route53.Record(
            name,
            zone_id=self.zone_id,
            name=option.apply(lambda wanted: wanted.resource_record_name or ""),
            type="CNAME",
            ttl=TTL_SECONDS,
            records=[option.apply(lambda wanted: wanted.resource_record_value or "")],
            opts=child,
        )
