"""How many examples hypothesis tries: few while one works (`dev`), all of them in CI (`ci`).

Rule: `HYPOTHESIS_PROFILE` names the profile; without it, `CI` in the environment means `ci`. A test that needs more
examples than hypothesis' 100 asks for them with `examples`. No profile has a deadline: a busy machine is no fault.
"""

import os

from hypothesis import HealthCheck, settings

DEV_EXAMPLES = 20


def load_profile() -> None:
    """Register both profiles, and load one. To be called before a test module is imported."""
    unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("ci", unhurried, max_examples=100, print_blob=True)
    settings.register_profile("dev", unhurried, max_examples=DEV_EXAMPLES)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def examples(ci: int) -> int:
    """Number of examples of one test: `ci` in CI, at most `DEV_EXAMPLES` elsewhere."""
    return ci if settings.get_current_profile_name() == "ci" else min(ci, DEV_EXAMPLES)
