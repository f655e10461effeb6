"""Says in a few words which program asks, as the list of sessions shows it: "Firefox on Linux".

Made of the `User-Agent` header, which anyone may write as they like: it is shown, and nothing is decided by it. The
page says the same of itself (`ui/src/lib/words/device.ts`).
"""

import re
from functools import lru_cache

CHARS_MAX = 60
UNKNOWN = "Unknown"

_BROWSERS = (
    (re.compile(r"Edg(?:A|iOS)?/"), "Edge"),
    (re.compile(r"SamsungBrowser/"), "Samsung Internet"),
    (re.compile(r"Firefox/|FxiOS/"), "Firefox"),
    (re.compile(r"OPR/"), "Opera"),
    (re.compile(r"Chrom(?:e|ium)/|CriOS/"), "Chrome"),
    (re.compile(r"Safari/"), "Safari"),
)
_SYSTEMS = (
    ("Android", "Android"),
    ("iPhone", "iPhone"),
    ("iPad", "iPad"),
    ("CrOS", "ChromeOS"),
    ("Windows", "Windows"),
    ("Mac OS X", "Mac"),
    ("Linux", "Linux"),
)
_PRODUCT = re.compile(r"[!-~]+")


@lru_cache(maxsize=1_000)
def program_of(user_agent: str) -> str:
    """The browser and its system; else what the header begins with, such as `curl/8.9`, at most 60 characters."""
    browser = next((name for sign, name in _BROWSERS if sign.search(user_agent)), None)
    system = next((name for sign, name in _SYSTEMS if sign in user_agent), None)
    if browser is None:
        product = _PRODUCT.match(user_agent)
        return UNKNOWN if product is None else product[0][:CHARS_MAX]
    return browser if system is None else f"{browser} on {system}"
