"""YAML and environment as the domain's nouns, with errors that say where, what, and what to do."""

from tasks_lib.configs.environment import Environment
from tasks_lib.configs.hosted import check_hosted, oauth_for
from tasks_lib.configs.jobs import check_columns, load_job
from tasks_lib.configs.limits import limits_given
from tasks_lib.configs.prices import PriceBook, load_prices
from tasks_lib.configs.problems import ConfigError, ConfigWarning, Problem
from tasks_lib.configs.providers import load_providers, provider_of, secret_for
from tasks_lib.configs.routes import route_for
from tasks_lib.configs.scaffold import Scaffold, scaffold
from tasks_lib.configs.schemas import job_schema, prices_schema, providers_schema, task_schema
from tasks_lib.configs.tasks import load_task

__all__ = [
    "ConfigError",
    "ConfigWarning",
    "Environment",
    "PriceBook",
    "Problem",
    "Scaffold",
    "check_columns",
    "check_hosted",
    "job_schema",
    "limits_given",
    "load_job",
    "load_prices",
    "load_providers",
    "load_task",
    "oauth_for",
    "prices_schema",
    "provider_of",
    "providers_schema",
    "route_for",
    "scaffold",
    "secret_for",
    "task_schema",
]
