"""The application's own secrets: made once, in the primary region, and the same in every other.

A cursor signed in one region must verify in the other, and a key hashed with one pepper must match everywhere, so a
standby takes the values of its peer instead of making its own. Pods get ARNs and read the values themselves: no secret
passes through Kubernetes. The database's master password is not here: it is the database's own (`components.rds`).
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pulumi
import pulumi_aws as aws
import pulumi_random as random

from components.errors import ArgsError
from components.kms import CustomerKey, Role, check_follows

#: 64 letters and digits hold 381 bits: more than any key derived from them uses.
LENGTH = 64

#: The longest that Secrets Manager keeps a deleted secret (7 to 30 days).
RECOVERY_WINDOW_DAYS = 30


@dataclass(frozen=True, kw_only=True)
class SecretSpec:
    """One secret that the application needs.

    Attributes:
        name: What the application calls it: lower-case words joined by hyphens.
        purpose: What it protects, for whoever finds it in the console.
        generation: Raise it to make a new value. The application must still accept the old one for a while: it stays
            readable under the label ``AWSPREVIOUS``.

    Raises:
        ArgsError: The name or the generation cannot be used.
    """

    name: str
    purpose: str
    generation: int = 1

    def __post_init__(self) -> None:
        if not re.fullmatch(r"[a-z][a-z0-9]*(-[a-z0-9]+)*", self.name):
            raise ArgsError(
                f"a secret is called {self.name!r}",
                why="its name becomes part of resource names",
                remedy="Use lower-case words joined by hyphens, such as cursor-key",
            )
        if self.generation < 1:
            raise ArgsError(
                f"secret {self.name} is at generation {self.generation}",
                why="generations are counted from 1",
            )


#: What the search API signs and hashes with.
APPLICATION_SECRETS: tuple[SecretSpec, ...] = (
    SecretSpec(name="cursor-key", purpose="Signs the cursors of paged search results"),
    SecretSpec(name="api-key-pepper", purpose="HMAC key over API keys, so that a stolen table of hashes opens nothing"),
    SecretSpec(name="tenant-token-key", purpose="Signs the short-lived tokens that carry a tenant's forced filter"),
)


@dataclass(frozen=True, kw_only=True)
class SecretsArgs:
    """What the secrets of a region need.

    Attributes:
        key: Encrypts them (class ``secrets``).
        role: ``primary`` makes the values, ``standby`` copies them.
        shared: The values of the peer by name, as a secret output; required for a standby, refused for a primary.
        specs: The secrets.
        locked: Pulumi's ``protect``, and the 30-day window in which a deleted secret can be restored. Unlocked, a
            secret is deleted for good at once.

    Raises:
        ArgsError: Role and shared do not agree, or a name is used twice.
    """

    key: CustomerKey
    role: Role
    shared: pulumi.Input[Mapping[str, str]] | None = None
    specs: Sequence[SecretSpec] = APPLICATION_SECRETS
    locked: bool = True

    def __post_init__(self) -> None:
        names = [spec.name for spec in self.specs]
        repeated = sorted({name for name in names if names.count(name) > 1})
        if repeated:
            raise ArgsError(f"secrets name {', '.join(repeated)} more than once", why="each is one secret")
        check_follows(
            self.role,
            "shared",
            self.shared,
            leads="it makes the values that the others copy",
            follows="values of its own would not open what the primary signed",
        )


class Secrets(pulumi.ComponentResource):
    """The application's secrets in one region.

    Names are left to AWS's suffix: a deleted secret keeps its name for the whole recovery window, and a fixed one could
    not be made again in that time.

    Attributes:
        arns: ARN by name, available once the secret has a value. What pods get.
        values: Value by name, as one secret output. What a standby region takes as ``shared``, and nobody else.
    """

    arns: Mapping[str, pulumi.Output[str]]
    values: pulumi.Output[Mapping[str, str]]

    def __init__(self, name: str, args: SecretsArgs, opts: pulumi.ResourceOptions | None = None) -> None:
        super().__init__("docsearch:secrets:Secrets", name, None, opts)
        values = {spec.name: self._value(name, spec, args) for spec in args.specs}
        self.arns = {spec.name: self._secret(name, spec, values[spec.name], args) for spec in args.specs}
        self.values = pulumi.Output.secret(pulumi.Output.all(**values))
        self.register_outputs({"arns": self.arns})

    def _value(self, prefix: str, spec: SecretSpec, args: SecretsArgs) -> pulumi.Output[str]:
        if args.shared is not None:
            return pulumi.Output.from_input(args.shared).apply(lambda shared: _shared_value(shared, spec.name))
        return random_value(self, f"{prefix}-{spec.name}", spec.generation)

    def _secret(
        self, prefix: str, spec: SecretSpec, value: pulumi.Output[str], args: SecretsArgs
    ) -> pulumi.Output[str]:
        name = f"{prefix}-{spec.name}"
        return kept_value(self, name, value, purpose=spec.purpose, key=args.key, locked=args.locked)


def random_value(parent: pulumi.Resource, name: str, generation: int) -> pulumi.Output[str]:
    """A value of letters and digits that nobody has seen: a secret in the state.

    Args:
        parent: Whose it is.
        name: Logical name.
        generation: Raised for another value.
    """
    return random.RandomPassword(
        name,
        length=LENGTH,
        special=False,
        keepers={"generation": str(generation)},
        # Not protected: a new generation replaces it. The value lives on in the secret, which is.
        opts=pulumi.ResourceOptions(parent=parent),
    ).result


def kept_value(
    parent: pulumi.Resource,
    name: str,
    value: pulumi.Output[str],
    *,
    purpose: str,
    key: CustomerKey,
    locked: bool,
    after: Sequence[pulumi.Resource] = (),
) -> pulumi.Output[str]:
    """A value in Secrets Manager.

    Args:
        parent: Whose it is.
        name: Logical name of the secret and of its version.
        value: The value.
        purpose: What it is for.
        key: What it is encrypted with.
        locked: Pulumi's ``protect``, and the window in which a deleted secret can be restored.
        after: What has to have the value before it is here.

    Returns:
        The ARN, available once the secret has the value.
    """
    secret = aws.secretsmanager.Secret(
        name,
        description=purpose,
        kms_key_id=key.arn,
        recovery_window_in_days=RECOVERY_WINDOW_DAYS if locked else 0,
        opts=pulumi.ResourceOptions(parent=parent, protect=locked),
    )
    version = aws.secretsmanager.SecretVersion(
        name,
        secret_id=secret.id,
        secret_string=value,
        opts=pulumi.ResourceOptions(parent=parent, depends_on=[*after]),
    )
    return version.secret_id


def _shared_value(shared: Mapping[str, str], name: str) -> str:
    if name not in shared:
        raise ArgsError(
            f"the peer region shares no secret {name!r}",
            why=f"it shares {', '.join(sorted(shared)) or 'none'}",
            remedy="Bring the primary region up first, with this version of the program",
        )
    return shared[name]
