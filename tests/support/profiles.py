"""Number of examples of hypothesis: few during work (`dev`), all of them in CI (`ci`).

Rule: `HYPOTHESIS_PROFILE` names the profile. Without it, `CI` in the environment means `ci`. A test that needs more
than hypothesis' 100 examples requests them with `examples`. No profile has a deadline, because a busy machine is no
fault.
"""

import os

from hypothesis import HealthCheck, settings

DEV_EXAMPLES = 20


def load_profile() -> None:
    """Register both profiles, and load one. Call it before the import of test modules."""
    unhurried = settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
    settings.register_profile("ci", unhurried, max_examples=100, print_blob=True)
    settings.register_profile("dev", unhurried, max_examples=DEV_EXAMPLES)
    settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE") or ("ci" if os.environ.get("CI") else "dev"))


def examples(ci: int) -> int:
    """Return the number of examples of one test: `ci` in CI, at most `DEV_EXAMPLES` elsewhere."""
    return ci if settings.get_current_profile_name() == "ci" else min(ci, DEV_EXAMPLES)
