"""How a type of the AWS provider is described: its operations, and how properties map onto them.

A type is data wherever it can be. `tests/infra/local/aws/test_model.py` holds every description against botocore's
models, so that a misspelt operation, parameter or property fails a test, not an update.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from infra.local.resource import Failure, Props

if TYPE_CHECKING:
    from infra.local.aws.cloud import Region


@dataclass(frozen=True)
class Call:
    """One AWS operation.

    Attributes:
        operation: botocore's name, for example `CreateSubnet`.
        fields: Properties that it takes; None means every input whose spelling fits the operation's parameters.
        spelled: Property path to parameter path, where spelling alone does not tell. Its top-level properties count as
            fields.
        fixed: Parameters that come from elsewhere: templates such as `{id}`, `{bucket}` or `{region}` anywhere inside.
        at: JMESPath to the part of the answer that describes the resource; templates are filled in first.
        service: The botocore service, where it is not the type's.
        region: Template of the region that is asked, where it is not the provider's.
        whole: Whether an update with it sends all that it covers, not only what changed.
    """

    operation: str
    fields: tuple[str, ...] | None = None
    spelled: Mapping[str, str] = field(default_factory=dict)
    fixed: Mapping[str, Any] = field(default_factory=dict)
    at: str = ""
    service: str = ""
    region: str = ""
    whole: bool = False


@dataclass(frozen=True)
class Setting:
    """Properties that have an operation of their own, called after create and again whenever one of them changes.

    Attributes:
        set: The operation; its `fields` and `spelled` name the properties.
        get: Reads them back; None when the type's own read shows them.
        unset: The operation when the properties are gone or false.
        switches: Properties that only choose between `set` and `unset`, and are not sent.
        at_create: Whether it follows the create; false where the create call takes the properties, too.
        apply: Makes the change from old to new inputs itself, where `set` alone cannot (what goes has to be taken
            away); `set` is then never called and only says how the properties are spelled.
    """

    set: Call
    get: Call | None = None
    unset: Call | None = None
    switches: tuple[str, ...] = ()
    at_create: bool = True
    apply: Callable[[Region, Props, Props, Props], None] | None = None


@dataclass(frozen=True)
class Tagging:
    """How a type's tags are written and read.

    Attributes:
        create: The create call's parameter that takes the tags; empty when `add` follows the create.
        resource_type: EC2's name of the type: tags then go into a `TagSpecifications`.
        add: Adds tags; the tags go to parameter `add_tags`.
        remove: Removes tags; the keys go to parameter `remove_keys`.
        get: Reads tags, at its `at`; None when the description holds them at `Tags`.
        key, value: The members of a tag; `key` empty means that tags are a map.
        key_objects: Whether `remove` takes tags rather than keys.
        at_once: Whether `add` replaces all tags by those that it is given, and `remove` (without keys) takes all away.
    """

    add: Call
    remove: Call
    create: str = ""
    resource_type: str = ""
    get: Call | None = None
    add_tags: str = "Tags"
    remove_keys: str = "TagKeys"
    key: str = "Key"
    value: str = "Value"
    key_objects: bool = False
    at_once: bool = False


Hook = Callable[["Region", Props], None]
Output = str | Callable[["Region", Props, Any], Any]


@dataclass(frozen=True)
class Type:
    """One resource type of the AWS provider, executed against the cloud or (without `create`) recorded.

    Attributes:
        token: Pulumi's type token.
        service: botocore's service name.
        create: The create operation.
        instead: Property to the create operation that takes its place when that property is given (a replica, a
            restore). What it does not take and `update` does is sent by `update` right after.
        checked: For a recorded type, the operation that would create it: inputs are held against its model.
        id: The physical id: a template (`{bucket}`), JMESPath into the create's answer, or what is made of the
            properties and that answer.
        read: Describes the resource; the first answer decides whether it exists.
        import_id: Regular expression whose named groups are the inputs that an import id tells, where `id` read
            backwards does not.
        delete: Operations that delete it, in order.
        update: Changes what it covers in place; only the properties that changed are sent.
        upsert: Whether an update is the create call again (the service's Put operations).
        settings: Properties with operations of their own.
        tagging: How tags are written; None for types without tags.
        outputs: Computed outputs: a template, or JMESPath into the description; those that are not named are found by
            spelling.
        recorded: Inputs that only the provider uses, kept and sent nowhere.
        shows: Property to JMESPath in the description, where an input reads back elsewhere than it was sent; or to a
            function that makes the property's value of the description.
        missing: Error codes that mean that the resource is gone.
        autoname: The input that gets a name when none is given.
        autoname_limit: Longest automatic name, in characters.
        delete_first: Whether a replacement must delete before it creates.
        prepare: Changes the inputs before they are mapped (never what is shown).
        after_create, before_delete: Hooks for what no description can say.
        replaces: Conditional replacement: the properties that force one, given old and new inputs.
        validate: What the service refuses and moto does not.
        note: What is particular, shown by `docsearch local coverage`.
    """

    token: str
    service: str
    id: str | Callable[[Props, Any], str]
    create: Call | None = None
    instead: Mapping[str, Call] = field(default_factory=dict)
    checked: Call | None = None
    import_id: str = ""
    read: Call | None = None
    delete: Sequence[Call] = ()
    update: Call | None = None
    upsert: bool = False
    settings: Sequence[Setting] = ()
    tagging: Tagging | None = None
    outputs: Mapping[str, Output] = field(default_factory=dict)
    recorded: frozenset[str] = frozenset()
    shows: Mapping[str, str | Callable[[Any], Any]] = field(default_factory=dict)
    missing: tuple[str, ...] = ()
    autoname: str = ""
    autoname_limit: int = 255
    delete_first: bool = False
    prepare: Callable[[Region, Props], Props] | None = None
    after_create: Hook | None = None
    before_delete: Hook | None = None
    replaces: Callable[[Props, Props], Iterable[str]] | None = None
    validate: Callable[[Props], Iterable[Failure]] | None = None
    note: str = ""

    @property
    def executed(self) -> bool:
        return self.create is not None


def ec2_tags(resource_type: str = "") -> Tagging:
    """Tags as EC2 writes them: in the create call of a resource type, or (without one) after it."""
    return Tagging(
        create="TagSpecifications" if resource_type else "",
        resource_type=resource_type,
        add=Call("CreateTags", (), fixed={"Resources": ["{id}"]}),
        remove=Call("DeleteTags", (), fixed={"Resources": ["{id}"]}),
        remove_keys="Tags",
        key_objects=True,
    )
