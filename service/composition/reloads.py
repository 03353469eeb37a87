"""Builds the reloads of settings and secrets."""

from functools import partial

from service.composition.app_config import AppConfig, now
from service.composition.money import MoneyParts
from service.settings.admin_key import SAME_AS_TEAM_KEY
from service.usecases.admin.config_reload import ConfigReload
from service.usecases.admin.secret_reload import SecretReload, do_nothing
from service.usecases.images.sign_urls import SignUrls
from service.usecases.upstream.upstream_admission import UpstreamAdmission


def build_secret_reload(
    config: AppConfig, config_reload: ConfigReload, admission: UpstreamAdmission, sign_urls: SignUrls
) -> SecretReload:
    """What looks at the files of secrets, and who has to know of which."""
    settings = config.settings
    vendors = [(key, partial(admission.credentials_changed, name)) for name, key in settings.api_keys.items()]
    stores = [(address, do_nothing) for address in settings.store_urls]
    signing = [(settings.signing_keys, sign_urls.reload_keys)] if settings.signing_keys else []
    admin = [(settings.admin_digest, do_nothing)] if settings.admin_digest else []
    for key, _ in admin:
        key.reject_if(lambda digests: SAME_AS_TEAM_KEY if digests & config_reload.snapshot().keys.keys() else None)
    return SecretReload(secrets=(*vendors, *stores, *signing, *admin), observe=config.observe)


def build_config_reload(plans: AppConfig, accounts: MoneyParts, on: frozenset[str]) -> ConfigReload:
    """Build the reload of models, teams and keys."""
    files, first = plans.files, plans.initial_files
    return ConfigReload(
        config=first.config,
        seen_stamp=first.stamp,
        read_files=files.reread,
        stamp=files.stamp,
        key_store=accounts.key_store,
        observe=plans.observe,
        enabled_backends=on,
        now=now,
    )
