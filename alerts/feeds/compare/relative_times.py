"""Times that a page tells from now, "5 minutes ago", in the languages of most live blogs; a page re-tells them. Pure.

Each language is its words before the number, its units, and its words after; one of the two sides says "ago".
"""
# ruff: noqa: RUF001 - words of languages whose letters look like Latin ones

import re
from functools import cache

_NUMBER = (
    r"(?:\d+|an?|one|a few|einer?|einem|einigen|une?|quelques|un[oa]?|algunos|pochi|um|uma|een|en|ett|et)"
)

# before, units, after: regular expressions, small letters.
_LANGUAGES = (
    ("", r"s|secs?|seconds?|m|mins?|minutes?|h|hrs?|hours?|d|days?", "ago"),
    ("vor", r"sek\.?|sekunden?|min\.?|minuten?|std\.?|stunden?|tag(?:en?)?", ""),
    ("il y a", r"s|sec\.?|secondes?|mn|min\.?|minutes?|h|heures?|j|jours?", ""),
    ("hace", r"s|seg\.?|segundos?|m|min\.?|minutos?|h|horas?|d[ií]as?", ""),
    ("", r"sec\.?|second[oi]|min\.?|minut[oi]|h|or[ae]|giorn[oi]", "fa"),
    ("há", r"s|seg\.?|segundos?|min\.?|minutos?|h|horas?|dias?", ""),
    ("", r"seg\.?|segundos?|min\.?|minutos?|h|horas?|dias?", "atrás"),
    ("", r"sec\.?|seconden?|min\.?|minuut|minuten|uur|uren|dag(?:en)?", "geleden"),
    ("för", r"sek(?:under)?|min(?:ut(?:er)?)?|timm(?:e|ar)|dag(?:ar)?", "sedan"),
    ("for", r"sek(?:under)?|min(?:utt?(?:er)?)?|timer?|dag(?:er?)?", "siden"),
    ("", r"s|sekuntia|min|minuuttia?|t|tuntia?|päivää?", "sitten"),
    ("", r"sek\.?|sekund\w?|min\.?|minut\w?|godz\.?|godzin\w?|dni|dzień", "temu"),
    ("před", r"s|sekundami|min\.?|minut(?:ou|ami)|h|hodin(?:ou|ami)|dn(?:em|y)", ""),
    ("acum", r"sec\.?|secunde|min\.?|minute?|or[ăae]|zile?", ""),
    ("", r"perce|órája|napja", ""),
    ("", r"perccel|órával|nappal", "ezelőtt"),
    ("", r"sn|saniye|dk|dakika|sa|saat|gün", "önce"),
    ("πριν(?: από)?", r"δευτ\.?|δευτερόλεπτα|λεπτ[άό]|ώρ(?:α|ες)|ημέρες", ""),
    ("", r"сек\.?|секунд\w?|мин\.?|минут\w?|ч\.?|час(?:а|ов)?|дн(?:я|ей)|день", "назад"),
    ("", r"сек\.?|секунд\w?|хв\.?|хвилин\w?|год\.?|годин\w?|дн(?:і|ів)|день", "тому"),
    ("(?:قبل|منذ)", r"ثوان|ثانية|دقائق|دقيقة|ساعات|ساعة|أيام|يوم", ""),
    ("לפני", r"שניות|דקות|דקה|שעות|שעה|ימים", ""),
    ("", r"सेकंड|मिनट|घंटे|घंटा|दिन", "पहले"),
    ("", r"giây|phút|giờ|ngày", "trước"),
    ("", r"detik|menit|jam|hari", "(?:yang )?lalu"),
)
# Written without spaces between words.
_UNSPACED = r"\d+\s*(?:秒|分钟|分鐘|分|小时|小時|時間|天|日)(?:之)?前|\d+\s*(?:초|분|시간|일)\s*전"
_JUST_NOW = r"just now|gerade eben|à l['\u2019]instant|ahora mismo|proprio ora|agora mesmo|zojuist|только что|刚刚|たった今|방금"


def without(text: str) -> str:
    """Gives a text in small letters without the times in it that are told from now."""
    # Most texts hold none, and to look for the words that each has costs a tenth.
    return _told().sub(" ", text) if _hints().search(text) else text


@cache
def _hints() -> re.Pattern[str]:
    """Gives what finds a word in every text that tells a time from now, and in few others."""
    words = "|".join(before or after for before, _, after in _LANGUAGES if before or after)
    units = "|".join(units for before, units, after in _LANGUAGES if not (before or after))
    return re.compile(rf"\b(?:{words}|{_JUST_NOW})(?!\w)|{units}|[前전]")


@cache
def _told() -> re.Pattern[str]:
    spoken = [
        rf"\b{before + ' ' if before else ''}{_NUMBER}\s*(?:{units}){' ' + after if after else ''}(?!\w)"
        for before, units, after in _LANGUAGES
    ]
    return re.compile("|".join([*spoken, _UNSPACED, rf"\b(?:{_JUST_NOW})(?!\w)"]))
