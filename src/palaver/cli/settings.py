"""The settings of a command: what was typed wins over the environment. And a log that keeps out of its answer."""

from collections.abc import Mapping

from palaver.cli.output import warn
from palaver.settings import Settings, settings_from, unknown_variables
from palaver.wire.edge import logs

SHOWN_LEVELS = frozenset({"debug", "error"})


def settings_told(given: Mapping[str, object]) -> Settings:
    """The settings; variables that are none are told on standard error. Refused: `settings_invalid`."""
    for one in unknown_variables():
        warn(one)
    return settings_from(**given)


def settings_of(given: Mapping[str, object]) -> Settings:
    """The settings; from now on only warnings are logged, on standard error. Refused: `settings_invalid`."""
    settings = settings_told(given)
    level = settings.log_level
    quiet = settings.model_copy(update={"log_level": level if level in SHOWN_LEVELS else "warning"})
    logs.configure(quiet)
    return settings
