"""Tells a wall that is shown to robots from the page that stands behind it; pure.

A wall is short, and says what it is in its markup. A live blog may well be about captchas: its words count
for nothing.
"""

import re
from collections.abc import Mapping

_HEADERS = {
    "cf-mitigated": "Cloudflare",
    "x-amzn-waf-action": "AWS WAF",
    "x-vercel-mitigated": "Vercel",
}
# What only the wall's own script or form holds; the scripts that its makers put on honest pages are not here.
_MARKS = {
    "Cloudflare": rb"_cf_chl_opt|id=\"?cf-(?:challenge|please-wait|error-details)|cf_captcha_kind",
    "DataDome": rb"(?:geo|ct)\.captcha-delivery\.com|\bdd=\{['\"]rt['\"]",
    "HUMAN": rb"id=['\"]?px-captcha|_pxcaptcha|/captcha/captcha\.js\?a=c&",
    "Akamai": rb"/_sec/(?:cp_challenge|verify)|sec-(?:if-)?cpt-(?:if|container)|[?&]bm-verify=|errors\.edgesuite\.net",
    "Imperva": rb"incapsula incident id|id=['\"]?main-iframe['\"]? src=['\"]?/_incapsula_resource",
    "Kasada": rb"window\.kpsdk\s*=",
    "AWS WAF": rb"awswafintegration\.|\.token\.awswaf\.com|\.captcha\.awswaf\.com",
    "Sucuri": rb"sucuri_cloudproxy_js|sucuri website firewall - access denied",
    "DDoS-Guard": rb"/\.well-known/ddos-guard/",
    "Anubis": rb"id=['\"]?anubis_(?:challenge|version)",
    "Fastly": rb"/_fs-ch-",
    "F5": rb"the requested url was rejected\. please consult with your administrator",
}
_TITLE = re.compile(
    rb"<title[^<>]*>\s*(?:just a moment|one moment, please|attention required! \| cloudflare|access denied"
    rb"|access to this page has been denied|pardon our interruption|security check(?:point)?"
    rb"|vercel security checkpoint|(?:human|bot|browser) verification|client challenge|ddos-guard"
    rb"|are you (?:a )?(?:human|robot)|robot or human|checking your browser[^<>]*"
    rb"|(?:please )?(?:verify|verifying|confirm) (?:that )?you are (?:a )?human|captcha(?: challenge)?"
    rb"|making sure you(?:'|&#39;|\xe2\x80\x99)re not a bot!?|(?:sorry, )?you have been blocked)"
    rb"[.!?\xe2\x80\xa6\s]*</title"
)
_LOOSE = re.compile(rb"captcha|challenge|are you (?:a robot|human)|enable javascript|unusual traffic")
_NEWS = re.compile(rb"liveblogposting|liveblogupdate|<article\b|<rss\b|<feed\b|<rdf:rdf\b")

_LARGEST = 256 * 1024  # bytes: walls are far smaller
_MOST_WORDS = 300
_START = 4096


def is_page(content_type: str, body: bytes) -> bool:
    """Whether a document is an HTML page, whatever its type says: many feeds are served as text/html."""
    start = body[:_START].lstrip(b"\xef\xbb\xbf\x00 \t\r\n").lower()
    if re.search(rb"<(?:rss|feed|rdf:rdf)\b", start) or start[:1] in (b"{", b"["):
        return False
    if re.search(rb"<(?:!doctype\s+html|html|head|title|body)\b", start):
        return True
    return "html" in content_type.lower()


def who_blocks(headers: Mapping[str, str], body: bytes, *, is_refusal: bool = False) -> str:
    """Names whose wall an answer is, or nothing when it is a page; `is_refusal` when its status says no."""
    for name, maker in _HEADERS.items():
        if headers.get(name, "").lower() in ("challenge", "captcha", "deny"):
            return maker
    if len(body) > _LARGEST or not is_page(headers.get("Content-Type", ""), body):
        return ""
    page = body.lower()
    if _NEWS.search(page):
        return ""
    for maker, mark in _MARKS.items():
        if re.search(mark, page) and _is_short(page):
            return maker
    if _TITLE.search(page) and _is_short(page):
        return "a check for robots"
    return "a check for robots" if is_refusal and _LOOSE.search(page) else ""


def _is_short(page: bytes) -> bool:
    """Whether a page, in lower case, has few words outside of its scripts and styles."""
    for element in (b"script", b"style"):
        first, *rest = page.split(b"<" + element)
        page = first + b" ".join(each.partition(b"</" + element)[2] for each in rest)
    return len(re.sub(rb"<[^<>]*>", b" ", page).split()) <= _MOST_WORDS
