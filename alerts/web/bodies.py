"""What stands in a request's body, as fields of a form."""

from starlette.requests import Request

from alerts.web.forms import Fields, read_bare

_FORMS = ("application/x-www-form-urlencoded", "multipart/form-data")
_FIELD_LIMIT = 1000  # the forms of topics have a field for each


async def read_fields(request: Request) -> Fields:
    """Gives the fields that a form sent, files left out; raises HTTPException for what cannot be read."""
    kind = request.headers.get("Content-Type", "").partition(";")[0].strip().lower()
    if kind not in _FORMS:
        return read_bare(await request.body())
    async with request.form(max_files=0, max_fields=_FIELD_LIMIT) as form:
        return tuple((name, value) for name, value in form.multi_items() if isinstance(value, str))
