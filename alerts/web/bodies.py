"""What stands in a request's body, as fields of a form."""

from python_multipart.multipart import parse_options_header
from starlette.exceptions import HTTPException
from starlette.requests import Request

from alerts.web.forms import Fields, read_bare

_FORMS = (b"application/x-www-form-urlencoded", b"multipart/form-data")
# Any other of Python's codecs is a surprise: some raise, some make lone surrogates, some take seconds.
_CHARSETS = (b"utf-8", b"utf8", b"us-ascii", b"iso-8859-1")
_FIELD_LIMIT = 1000  # the forms of topics have a field for each


async def read_fields(request: Request) -> Fields:
    """Gives the fields that a form sent, files left out; raises HTTPException for what cannot be read."""
    kind, options = parse_options_header(request.headers.get("Content-Type"))
    if kind not in _FORMS:
        return read_bare(await request.body())
    if options.get(b"charset", _CHARSETS[0]).lower() not in _CHARSETS:
        raise HTTPException(400, "The form is in an encoding that no browser uses.")
    async with request.form(max_files=0, max_fields=_FIELD_LIMIT) as form:
        return tuple((name, value) for name, value in form.multi_items() if isinstance(value, str))
