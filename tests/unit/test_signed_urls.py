"""Signed URLs of stored images: of this gateway, unaltered, in time."""

import pytest

from service.domain.errors import ImageNotFound
from service.domain.signed_urls import check_signature, sign
from service.domain.stored_images import new_image_id

SECRET, OTHER = b"k" * 32, b"o" * 32
RANDOM = "0123456789abcdef" * 2
ID = new_image_id("search", "png", RANDOM)
FILE = f"{ID}.png"
EXPIRES = 1_795_003_600
SIGNATURE = sign(SECRET, FILE, EXPIRES)


@pytest.mark.parametrize(
    ("form", "ending"), [("png", "png"), ("jpeg", "jpg"), ("webp", "webp"), ("gif", "gif"), ("svg", "svg")]
)
@pytest.mark.parametrize("now", [0, EXPIRES - 1])
def test_a_genuine_link_is_good_until_it_expires(form: str, ending: str, now: int) -> None:
    name = f"{new_image_id('search', form, RANDOM)}.{ending}"

    assert check_signature([OTHER, SECRET], name, str(EXPIRES), sign(SECRET, name, EXPIRES), now) == EXPIRES


@pytest.mark.parametrize(
    ("secret", "name", "expires", "signature", "now"),
    [
        (SECRET, FILE, EXPIRES, SIGNATURE, EXPIRES),
        (SECRET, FILE, EXPIRES, SIGNATURE, EXPIRES + 1),
        (SECRET, FILE, EXPIRES + 1, SIGNATURE, 0),
        (SECRET, FILE, f" {EXPIRES}", SIGNATURE, 0),
        (SECRET, FILE, f"{EXPIRES}0", SIGNATURE, 0),
        (SECRET, FILE, 0, "", 0),
        (SECRET, FILE, "", "", 0),
        (SECRET, FILE, "never", SIGNATURE, 0),
        (SECRET, FILE.replace(".png", ".jpg"), EXPIRES, SIGNATURE, 0),
        (SECRET, FILE[:-5] + "0.png", EXPIRES, SIGNATURE, 0),
        (SECRET, FILE, EXPIRES, SIGNATURE[:-1], 0),
        (SECRET, FILE, EXPIRES, SIGNATURE.upper(), 0),
        (SECRET, FILE, EXPIRES, "", 0),
        (SECRET, FILE, EXPIRES, "\xfc" * 64, 0),
        (b"x" * 32, FILE, EXPIRES, SIGNATURE, 0),
    ],
)
def test_a_link_that_is_altered_or_too_old_leads_nowhere(
    secret: bytes, name: str, expires: int | str, signature: str, now: int
) -> None:
    with pytest.raises(ImageNotFound) as refused:
        check_signature([secret, OTHER], name, str(expires), signature, now)

    assert refused.value.message == "There is no such picture, or the link to it has expired."


@pytest.mark.parametrize(
    "name",
    ["", "../secret", "img_0.png", f"{ID}", f"{ID}.PNG", f"{FILE}\n", f"{ID}.html5", f"{ID}.jpg", f"{FILE}.name"],
)
def test_a_name_that_is_none_of_ours_leads_nowhere_even_signed(name: str) -> None:
    with pytest.raises(ImageNotFound):
        check_signature([SECRET], name, str(EXPIRES), sign(SECRET, name, EXPIRES), 0)
