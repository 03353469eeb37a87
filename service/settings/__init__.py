"""Environment and `config/*.yaml`, decoded into frozen values.

Rule: a wrong file stops the start with its name, the place inside and the reason; nothing is guessed and nothing
unknown is ignored. Secrets come from the environment or from files, never from YAML.
"""
