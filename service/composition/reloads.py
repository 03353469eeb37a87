"""Builds the reloads of settings and secrets."""

from service.composition.app_config import AppConfig, now
from service.composition.money import MoneyParts
from service.settings.admin_key import SAME_AS_TEAM_KEY
from service.usecases.admin.config_reload import ConfigReload
from service.usecases.admin.secret_reload import SecretReload
from service.usecases.images.sign_urls import SignUrls
from service.usecases.upstream.upstream_admission import UpstreamAdmission


def build_secret_reload(
    config: AppConfig, config_reload: ConfigReload, admission: UpstreamAdmission, sign_urls: SignUrls
) -> SecretReload:
    """What looks at the files of secrets, and who has to know of which."""
    settings = config.settings
    admin_digests = [settings.admin_digest] if settings.admin_digest else []
    for secret in admin_digests:
        secret.reject_if(lambda digests: SAME_AS_TEAM_KEY if digests & config_reload.snapshot().keys.keys() else None)
    return SecretReload(
        backend_keys=settings.api_keys,
        signing_keys=settings.signing_keys,
        read_at_each_use=(*settings.store_urls, *admin_digests),
        admission=admission,
        sign_urls=sign_urls,
        observe=config.observe,
    )


def build_config_reload(plans: AppConfig, accounts: MoneyParts, on: frozenset[str]) -> ConfigReload:
    """Build the reload of models, teams and keys."""
    first = plans.initial_files
    return ConfigReload(
        config=first.config,
        seen_stamp=first.stamp,
        files=plans.files,
        key_store=accounts.key_store,
        observe=plans.observe,
        enabled_backends=on,
        now=now,
    )
