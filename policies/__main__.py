"""The policy pack: what the engine starts for `--policy-pack policies`."""

from datetime import UTC, datetime

from policies.catalogue import every_rule
from policies.pack import start
from policies.waivers import read_waivers

rules = every_rule()
start(rules, read_waivers(rules=[rule.id for rule in rules]), today=datetime.now(tz=UTC).date())
