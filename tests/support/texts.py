"""Texts in many scripts, with what folding has to do with: marks, ligatures, joiners, halves of characters."""

from hypothesis import strategies as st

SCRIPTS = (
    "aAbZß éÉñÇøıİﬁŉ",  # Latin, composed and not
    "αΑςσΆΰᾳ",
    "жЖёйЁї",
    "אבשׁלָ",
    "عربيلا\u0651ﷺ\u064b",
    "हिन्दीक्षक़",
    "用户名漢\uf900𠀀々",
    "あがカｶﾞーぱ\u3099",
    "한국ㅋㅏ\u1100\u1161\u11a8",
    "ไทยำเก่ລາວ",
    "ខ្មែរမြန်မာ",
    "👍🏽👩\u200d👧☀\ufe0f🇩🇪",
    "\u0301\u0323\u0345\u20e3\u0308",
    "\u200b\u200c\u200d\u00ad\u202e\u2066\ufeff",
    "\ud800\udc00\ue000\0\U000f0000",
    "019²½Ⅷ①٣",
    "_.-/:\"'*\u2019…\u00b4=> \t\n\uff0c。(",
)


def texts(max_size: int = 24) -> st.SearchStrategy[str]:
    """Texts of these characters, in pieces of one script each."""
    piece = st.sampled_from(SCRIPTS).flatmap(
        lambda script: st.text(st.sampled_from(script), min_size=1, max_size=6)
    )
    return st.lists(piece, max_size=max_size // 4).map("".join)
