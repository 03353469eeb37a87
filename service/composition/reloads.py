"""Reloads of models, teams, keys and secrets.

Rule: the admin key is never the key of a team, neither at the start nor after a reload.

Fails with: `SettingsError` at the start. A wrong file is reported later, and the version before stays.
"""

from collections.abc import Mapping

from service.composition.app_config import AppConfig, now
from service.composition.generate import SharedParts
from service.composition.money import MoneyParts
from service.settings.admin_key import SAME_AS_TEAM_KEY
from service.usecases.admin.config_reload import ConfigReload
from service.usecases.admin.secret_reload import SecretReload
from service.usecases.background.supervisor import TaskFunction
from service.usecases.images.sign_urls import SignUrls
from service.usecases.upstream.upstream_admission import UpstreamAdmission


def build_reload_tasks(config: AppConfig, parts: SharedParts) -> Mapping[str, TaskFunction]:
    """Build the tasks that reload settings and secrets."""
    secret_reload = _build_secret_reload(config, parts.config_reload, parts.upstream.admission, parts.sign_urls)
    return {"reload settings": parts.config_reload.run, "reload secrets": secret_reload.run}


def _build_secret_reload(
    config: AppConfig, config_reload: ConfigReload, admission: UpstreamAdmission, sign_urls: SignUrls
) -> SecretReload:
    settings = config.settings
    admin_digests = [settings.admin_digest] if settings.admin_digest else []
    for secret in admin_digests:
        # A rotated admin key must not be the key of a team.
        secret.reject_if(lambda digests: SAME_AS_TEAM_KEY if digests & config_reload.snapshot().keys.keys() else None)
    return SecretReload(
        backend_keys=settings.api_keys,
        signing_keys=settings.signing_keys,
        read_at_each_use=(*settings.store_urls, *admin_digests),
        admission=admission,
        sign_urls=sign_urls,
        observer=config.observer,
    )


def build_config_reload(config: AppConfig, money: MoneyParts, enabled_backends: frozenset[str]) -> ConfigReload:
    """Build the reload of models, teams and keys."""
    first = config.initial_files
    return ConfigReload(
        config=first.config,
        seen_stamp=first.stamp,
        files=config.files,
        key_store=money.key_store,
        observer=config.observer,
        enabled_backends=enabled_backends,
        now=now,
    )
