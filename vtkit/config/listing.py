"""List every setting of a run with its value and its meaning, as text."""

import textwrap

from vtkit.config.run_config import CHOICES, FIELDS, GROUPS, HELP, IDENTITY, RunConfig
from vtkit.config.values import as_text, kind_of


def list_settings(config: RunConfig) -> str:
    """List the settings of a configuration, group by group: name, type, value, meaning, choices."""
    lines = [
        f"settings of recipe {config.recipe}, profile {config.profile}; -p NAME VALUE sets one"
    ]
    for name, kind in FIELDS.items():
        if name in IDENTITY:
            continue
        if name in GROUPS:
            lines += ["", GROUPS[name]]
        choices = ", ".join(choice or "empty" for choice in CHOICES[name])
        about = HELP[name] + (f" ({choices})" if choices else "")
        value = as_text(getattr(config, name))
        start = f"  {name:24} {kind_of(kind):6} {value:20} "
        lines += textwrap.wrap(about, 110, initial_indent=start, subsequent_indent=" " * 54)
    return "\n".join([*lines, "", f"{', '.join(IDENTITY)} have options of their own: see --help"])
