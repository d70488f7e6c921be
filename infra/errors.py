"""The exceptions of running docsearch, and the exit code of each.

    DocsearchError                 1   anything else that went wrong on purpose
    ├── ConfigError, ArgsError     2   (components.errors) a value that cannot work; also a wrong command line
    ├── EngineError                3   no usable Pulumi engine, or the engine could not be started
    ├── LocalCloudError            4   the local cloud cannot do what was asked of it
    ├── PendingOperationsError     5   an interrupted run left operations open; nothing was changed
    │   └── LockedStackError       5   another run, alive or killed, holds the stack; nothing was changed
    ├── UpdateError                6   an update began and did not end well
    ├── PlanError                  7   the engine's events cannot be read as a plan
    ├── DriftError                 8   something differs, where the command was told to expect no changes
    ├── PolicyError                9   a rule of the policy pack stops the change
    ├── DestructiveError          10   the change would destroy or unlock something stateful, and no waiver allows it
    ├── BudgetError               11   it would cost more than its budget
    ├── IncompleteError           12   not everything could be looked at, and nothing is passed by default
    └── InterruptedUpdateError   130   Ctrl-C, as in any shell; the engine ended in good order

0 is success. 1 is also an error that nobody foresaw, with its traceback, and a question that was answered with no.
"""

from components.errors import DocsearchError


class EngineError(DocsearchError):
    """There is no usable Pulumi engine, or it could not be started."""

    exit_code = 3


class LocalCloudError(DocsearchError):
    """The local cloud cannot do what was asked of it."""

    exit_code = 4


class PendingOperationsError(DocsearchError):
    """An interrupted run left operations open: whether they happened in the cloud is not known.

    Raised before anything is changed. `docsearch reconcile` settles them.
    """

    exit_code = 5


class LockedStackError(PendingOperationsError):
    """Another run holds the stack: it goes on elsewhere, or was killed and its lock has not run out yet."""


class UpdateError(DocsearchError):
    """An update, refresh or destroy began and did not end well; the state holds what was done."""

    exit_code = 6


class PlanError(DocsearchError):
    """The engine's events cannot be read as a plan."""

    exit_code = 7


class DriftError(DocsearchError):
    """Something differs, where the command was told to expect no changes."""

    exit_code = 8


class PolicyError(DocsearchError):
    """A rule of the policy pack stops the change."""

    exit_code = 9


class DestructiveError(DocsearchError):
    """The change would destroy or unlock something stateful, and no waiver allows it."""

    exit_code = 10


class BudgetError(DocsearchError):
    """It would cost more than its budget."""

    exit_code = 11


class IncompleteError(DocsearchError):
    """Not everything could be looked at; nothing is passed by default."""

    exit_code = 12


class InterruptedUpdateError(DocsearchError):
    """Ctrl-C: the engine finished the steps under way and saved its state."""

    exit_code = 130
