"""Environment and `config/*.yaml`, decoded into frozen values.

Rule: no value is guessed and no unknown key is ignored. Secrets come from the environment or from files, never from
YAML.

Fails with: `SettingsError`, which names the file, the place inside and the reason.
"""
