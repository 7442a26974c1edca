"""The settings of a run: python -m vtkit -p NAME VALUE.

- run_config: every field, with limits and help; config.yaml of a run folder
- reward_names: what the setting ``rewards`` may name
- recipes: recipe, profile and overrides, resolved to a RunConfig
- reasons: why a recipe sets a value, from the comments of its file
- listing: every setting with its value and meaning, as text
- values: YAML files and command-line text, checked by pydantic
"""
