"""What fuzzing starts from: a small document of every format and input, of our own writing, and their words."""

import gzip
import json
import zlib
from typing import Any

from fakes.blog import Post, page

_WHEN = "2026-11-22T07:00:00Z"
_LATER = "2026-11-22T08:30:00+01:00"
# No mail may carry any of this.
_HARM = '<p onclick="x()">a</p><img src=x onerror=x()><a href="javascript:x()">b</a><iframe src="x"></iframe>'
_POSTS = (
    Post("b", "The ferry is in", f"It came at <b>seven</b> &amp; left again.{_HARM}", 2),
    Post("a", "The tug is out", "More soon.", 1),
)


def _json(value: Any) -> bytes:
    return json.dumps(value).encode()


_MICRODATA = f"""<!doctype html><html><head><title>Harbour</title></head><body>
<div itemscope itemtype="https://schema.org/LiveBlogPosting"><h1 itemprop="headline">Harbour live</h1>
<time itemprop="coverageStartTime" datetime="{_WHEN}"></time>
<div itemprop="liveBlogUpdate" itemscope itemtype="https://schema.org/BlogPosting" id="80" itemref="x">
<h2 itemprop="headline">The ferry is in</h2><time itemprop="datePublished" datetime="{_WHEN}">7:00</time>
<a itemprop="url" href="#80">link</a><div itemprop="articleBody"><p>It came at seven.</p>{_HARM}</div></div>
<div itemprop="liveBlogUpdate" itemscope itemtype="https://schema.org/BlogPosting" id="79">
<div itemprop="articleBody"><p>More soon.</p></div></div></div><p id="x" itemprop="author">Ana</p></body></html>"""

_RSS = f"""<?xml version="1.0" encoding="utf-8"?><rss version="2.0" xmlns:dc="http://purl.org/dc/elements/1.1/"
xmlns:content="http://purl.org/rss/1.0/modules/content/" xmlns:atom="http://www.w3.org/2005/Atom"><channel>
<title>Harbour &amp; sea</title><link>https://news.example/</link><ttl>5</ttl>
<atom:link rel="hub" href="https://hub.example/"/><cloud domain="rpc.example" port="80" path="/" protocol="xml-rpc"/>
<item><guid isPermaLink="false">17</guid><title>The ferry &lt;b&gt;is&lt;/b&gt; in</title>
<link>https://news.example/17?a=1#b</link><description><![CDATA[<p>It came at <a href="/x">seven</a>.</p>{_HARM}]]></description>
<content:encoded>&lt;p&gt;All of it&lt;/p&gt;</content:encoded><pubDate>Sun, 22 Nov 2026 07:00:00 GMT</pubDate>
<dc:creator>Ana</dc:creator><category>key event</category></item>
<item><guid>16</guid><title>The tug</title><dc:date>{_WHEN}</dc:date></item></channel></rss>"""

_RDF = f"""<rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#" xmlns="http://purl.org/rss/1.0/"
xmlns:dc="http://purl.org/dc/elements/1.1/"><channel rdf:about="https://news.example/"><title>Harbour</title></channel>
<item rdf:about="https://news.example/1"><title>The ferry</title><link>https://news.example/1</link>
<dc:date>{_WHEN}</dc:date></item></rdf:RDF>"""

_ATOM = f"""<feed xmlns="http://www.w3.org/2005/Atom" xmlns:at="http://purl.org/atompub/tombstones/1.0"
xml:base="https://news.example/a/"><title type="html">Harbour &amp;amp; sea</title><id>urn:x:1</id>
<link rel="self" href="feed"/><link rel="hub" href="https://hub.example/"/><updated>{_WHEN}</updated>
<at:deleted-entry ref="urn:x:9" when="{_WHEN}"/><entry><id>urn:x:2</id><title>The ferry</title>
<link href="2"/><published>{_WHEN}</published><updated>{_LATER}</updated><author><name>Ana</name></author>
<content type="xhtml"><div xmlns="http://www.w3.org/1999/xhtml"><p>It <b>came</b>.</p><script>alert(1)</script></div></content></entry>
<entry><id>urn:x:3</id><title type="text">1 &lt; 2</title><summary type="html">&lt;p&gt;More&lt;/p&gt;</summary></entry></feed>"""

_ATOM_03 = """<feed version="0.3" xmlns="http://purl.org/atom/ns#"><title mode="escaped">Harbour</title>
<entry><id>tag:1</id><title>Old</title><issued>2026-11-22T07:00Z</issued><modified>2026-11-22T07:00Z</modified>
<content type="text/html" mode="escaped">&lt;p&gt;It came.&lt;/p&gt;</content></entry></feed>"""

_JSON_FEED = {
    "version": "https://jsonfeed.org/version/1.1",
    "title": "Harbour",
    "home_page_url": "https://news.example/",
    "feed_url": "https://news.example/feed.json",
    "hubs": [{"type": "WebSub", "url": "https://hub.example/"}],
    "items": [
        {
            "id": "1",
            "url": "https://news.example/1",
            "title": "The ferry",
            "content_html": f"<p>It came.</p>{_HARM}",
            "date_published": _WHEN,
            "date_modified": _LATER,
            "authors": [{"name": "Ana"}],
            "tags": ["key event"],
        },
        {"id": 2, "content_text": "More\n\nsoon", "author": {"name": "Bo"}},
    ],
}

_WORDPRESS = {
    "entries": [
        {
            "id": 5,
            "type": "new",
            "render": f"{_HARM}<p>The ferry <span class='liveblog-command type-key'>key</span></p>",
            "content": "The ferry /key",
            "timestamp": 1795330800,
            "entry_time": 1795330800,
            "authors": [{"name": "Ana"}],
            "share_link": "https://news.example/live#5",
        },
        {"id": "4", "type": "update", "content": "More", "timestamp": "1795330900", "entry_time": 1795330000},
        {"id": 3, "type": "delete", "content": "", "timestamp": 1795331000},
    ],
    "latest_timestamp": 1795331000,
    "refresh_interval": 10,
}

_SUPERDESK = {
    "blog_status": "open",
    "title": "Harbour live",
    "posts": {
        "_items": [
            {
                "_id": "urn:newsml:x:1",
                "post_status": "open",
                "particular_type": "post",
                "deleted": False,
                "lb_highlight": True,
                "published_date": _WHEN,
                "content_updated_date": _LATER,
                "publisher": {"display_name": "Ana"},
                "groups": [
                    {
                        "id": "main",
                        "refs": [{"item": {"item_type": "text", "text": f"<p>The ferry</p>{_HARM}"}}],
                    },
                ],
            },
            {
                "_id": "urn:newsml:x:2",
                "post_status": "draft",
                "groups": '[{"refs": [{"item": "{\\"text\\": \\"Not yet\\"}"}]}]',
            },
            {"_id": "urn:newsml:x:3", "post_status": "open", "unpublished_date": _LATER, "items": []},
        ]
    },
}

_GUARDIAN = {
    "response": {
        "content": {
            "type": "liveblog",
            "webTitle": "Harbour live",
            "webUrl": "https://news.example/live",
            "fields": {"liveBloggingNow": "true"},
            "blocks": {
                "totalBodyBlocks": 2,
                "body": [
                    {
                        "id": "0123456789abcdef01234567",
                        "bodyHtml": f"<p>The ferry</p>{_HARM}",
                        "bodyTextSummary": "The ferry",
                        "title": "In",
                        "attributes": {"keyEvent": True, "pinned": False},
                        "published": True,
                        "createdDate": _WHEN,
                        "firstPublishedDate": _WHEN,
                        "publishedDate": _WHEN,
                        "lastModifiedDate": _LATER,
                        "createdBy": {"firstName": "Ana"},
                    },
                    {"id": "fedcba9876543210fedcba98", "bodyHtml": "", "published": False},
                ],
                "requestedBodyBlocks": {"body:key-events": [{"id": "0123456789abcdef01234567"}]},
            },
        }
    }
}

_PAGE_MODEL = {
    "html": '<div id="block-0123456789abcdef01234567" class="block is-key-event"><h2>In</h2>'
    f'<time datetime="{_WHEN}">7:00</time><div class="block-elements"><p>The ferry</p>{_HARM}</div></div>',
    "numNewBlocks": 1,
    "mostRecentBlockId": "block-0123456789abcdef01234567",
}

_AMP = f"""<!doctype html><html amp><head><link rel="canonical" href="https://news.example/live"></head><body>
<h1>Harbour</h1><amp-live-list id="l" data-poll-interval="15000" data-max-items-per-page="20"><div items>
<div id="post2" data-sort-time="1795330800" data-update-time="1795330900"><h2>The ferry</h2><p>It came.</p>{_HARM}</div>
<div id="post1" data-sort-time="{_WHEN}" data-tombstone></div></div></amp-live-list></body></html>"""

DOCUMENTS = {
    "json-ld": page(_POSTS, key_points=("a",)).encode(),
    "graph": _json(
        {
            "@context": "https://schema.org",
            "@graph": [
                {
                    "@type": ["LiveBlogPosting"],
                    "@id": "#blog",
                    "headline": "Harbour",
                    "liveBlogUpdate": [
                        {"@id": "#1"},
                        {"@type": "BlogPosting", "articleBody": f"x &amp;amp; y {_HARM}"},
                    ],
                },
                {"@id": "#1", "@type": "BlogPosting", "headline": "In", "datePublished": _WHEN},
            ],
        }
    ),
    "microdata": _MICRODATA.encode(),
    "rss": _RSS.encode(),
    "rdf": _RDF.encode(),
    "atom": _ATOM.encode(),
    "atom-0.3": _ATOM_03.encode(),
    "utf-16": _RSS.replace('encoding="utf-8"', 'encoding="utf-16"').encode("utf-16"),
    "json-feed": _json(_JSON_FEED),
    "wordpress": _json(_WORDPRESS),
    "superdesk": _json(_SUPERDESK),
    "guardian": _json(_GUARDIAN),
    "page-model": _json(_PAGE_MODEL),
    "amp": _AMP.encode(),
}

ROBOTS = b"""\xef\xbb\xbfUser-agent: *\r\nDisallow: /private*$\nAllow: /\n\nUser-agent: alerts\nUser-agent: other
Disallow: /a/*/b?%41=*\nCrawl-delay: 10\nSitemap: https://news.example/s.xml\n"""

REPLIES = (
    b"550 5.1.1 <jo@reader.example>: Recipient address rejected: User unknown",
    b"421 4.7.0 Too many connections from your IP, try again later",
    b"554-5.7.1 Message rejected\n554 5.7.1 as spam (see https://relay.example/why)",
    b"250 2.0.0 Ok: queued as 4ABC",
    b"452 4.2.2 Mailbox full",
)

LINKS = (
    b"https://www.News.example:443/a%20b/?utm_source=x&post=asset%3A1#h_0123",
    b'<https://hub.example/>; rel="hub", <https://news.example/feed>; rel=self; title="a, b"',
    b"http://[::ffff:127.0.0.1]:80/x",
    b"//user:word@news.example/../..//a",
    b"Sun, 22 Nov 2026 07:00:00 GMT",
    b"2026-11-22T07:00:00.123+05:30",
    b"http://0x7f.1/",
    "https://bücher.example/straße?ä=ö#ü".encode(),
)

_NEWS = b"<!doctype html><p>The harbour bridge is closed.</p>"
_DEFLATED = zlib.compress(_NEWS)
PACKED = (
    gzip.compress(_NEWS, mtime=0),
    _DEFLATED,
    _DEFLATED[2:-4],
    _NEWS,
    b"\x28\xb5\x2f\xfd\x20\x05\x29\x00\x00hello",
)

ANSWERS = (
    b'HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 5\r\nETag: "a"\r\n\r\n<p>hi',
    b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n<p>hi\r\n0\r\n\r\n",
    b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nConnection: close\r\n\r\n" + gzip.compress(_NEWS, mtime=0),
    b"HTTP/1.1 301 Moved\r\nLocation: /b\r\nContent-Length: 0\r\n\r\n",
    b"HTTP/1.1 304 Not Modified\r\nLast-Modified: Sun, 22 Nov 2026 07:00:00 GMT\r\n\r\n",
    b"HTTP/1.1 429 Slow down\r\nRetry-After: 120\r\nContent-Length: 2\r\n\r\nno",
    b"HTTP/1.1 403 No\r\nContent-Type: text/html\r\nServer: cloudflare\r\n\r\n<title>Just a moment...</title>",
    b"HTTP/1.1 103 Early Hints\r\nLink: </x>; rel=preload\r\n\r\nHTTP/1.1 410 Gone\r\nContent-Length: 0\r\n\r\n",
    b'HTTP/1.0 200 OK\r\nLink: <https://hub.example/>; rel="hub"\r\n\r\n<p>hi',
)

# Words that a parser looks for: a fuzzer would take long to find them letter by letter.
WORDS = (
    "LiveBlogPosting", "liveBlogUpdate", "@graph", "@type", "@id", "headline", "articleBody", "datePublished",
    "dateModified", "coverageEndTime", '<script type=\\"application/ld+json\\">', "</script>", "<!--", "-->",
    "<![CDATA[", "]]>", "<rss", "<channel>", "<item>", "</item>", "<guid>", "<pubDate>", "<feed", "<entry>",
    '<content type=\\"xhtml\\">', "<updated>", "<rdf:RDF", "xml:base=", "xmlns=", "<!DOCTYPE", "<!ENTITY", "&amp;",
    "&lt;", "&#x", "&#0;", "&nbsp;", "itemscope", "itemprop=", "itemref=", "typeof=", "amp-live-list", "items",
    "data-sort-time=", "data-tombstone", '\\"entries\\":', '\\"_items\\":', '\\"groups\\":', '\\"blocks\\":',
    '\\"render\\":', '\\"timestamp\\":', '\\"version\\": \\"https://jsonfeed.org/version/1\\"', "encoding=",
    "charset=", "utf-16", "utf-7", "2026-11-22T07:00:00Z", "24:00:00", "1e999", "-0", "null", "true", "\\x00",
    "\\xef\\xbb\\xbf", "\\xff\\xfe", "Content-Encoding: gzip", "Transfer-Encoding: chunked", "Location: ", "\\x0d\\x0a",
    "User-agent:", "Disallow:", "5.1.1", "rel=hub",
)  # fmt: skip
