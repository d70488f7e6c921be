"""What plain `pulumi up` starts."""

import pulumi

from infra.program import read_config, run

run(pulumi.get_stack(), read_config(pulumi.get_stack()))
