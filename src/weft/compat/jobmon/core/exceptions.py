"""What may be raised. The last five never are: there is no distributor, no server and nothing to configure."""

from __future__ import annotations

from weft.errors import CallableReturnedInvalidObject as CallableReturnedInvalidObject
from weft.errors import ConfigError as ConfigError
from weft.errors import CyclicGraphError as CyclicGraphError
from weft.errors import DistributorInterruptedError as DistributorInterruptedError
from weft.errors import DistributorNotAlive as DistributorNotAlive
from weft.errors import DistributorStartupTimeout as DistributorStartupTimeout
from weft.errors import DuplicateNodeArgsError as DuplicateNodeArgsError
from weft.errors import EmptyWorkflowError as EmptyWorkflowError
from weft.errors import InvalidMemoryFormat as InvalidMemoryFormat
from weft.errors import InvalidMemoryUnit as InvalidMemoryUnit
from weft.errors import InvalidResponse as InvalidResponse
from weft.errors import NodeDependencyNotExistError as NodeDependencyNotExistError
from weft.errors import WorkflowAlreadyComplete as WorkflowAlreadyComplete
from weft.errors import WorkflowAlreadyExists as WorkflowAlreadyExists
from weft.errors import WorkflowError
from weft.errors import WorkflowNotResumable as WorkflowNotResumable


class WorkflowRunStateError(WorkflowError, RuntimeError):
    """A workflow that was taken up by its number did not end with everything done."""

    exit_code = 1
