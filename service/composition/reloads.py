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
    plans: AppConfig, callers: ConfigReload, turns: UpstreamAdmission, signs: SignUrls
) -> SecretReload:
    """What looks at the files of secrets, and who has to know of which."""
    settings = plans.settings
    vendors = [(key, partial(turns.rekeyed, name)) for name, key in settings.api_keys.items()]
    stores = [(address, do_nothing) for address in settings.stores]
    signing = [(settings.signing_keys, signs.renew)] if settings.signing_keys else []
    admin = [(settings.admin_digest, do_nothing)] if settings.admin_digest else []
    for key, _ in admin:
        key.refuse_if(lambda digests: SAME_AS_TEAM_KEY if digests & callers.live().keys.keys() else None)
    return SecretReload(secrets=(*vendors, *stores, *signing, *admin), observe=plans.observe)


def build_config_reload(plans: AppConfig, accounts: MoneyParts, on: frozenset[str]) -> ConfigReload:
    """Build the reload of models, teams and keys."""
    files, first = plans.files, plans.first
    return ConfigReload(
        known=first.known,
        seen=first.stamp,
        read=files.again,
        stamp=files.stamp,
        key_store=accounts.key_store,
        observe=plans.observe,
        on=on,
        now=now,
    )
