"""Our words for readers, in all languages: run as a script, it takes them from the sources into the catalogs."""

import sys
from collections.abc import Sequence
from io import BytesIO
from pathlib import Path

from babel.messages.catalog import Catalog, Message
from babel.messages.extract import extract_from_dir
from babel.messages.frontend import parse_mapping_cfg
from babel.messages.pofile import read_po, write_po

ROOT = Path(__file__).parents[1]
LOCALE = ROOT / "alerts" / "locale"
TEMPLATE = LOCALE / "alerts.pot"


def catalogs() -> list[Path]:
    """Gives the translations that come with the program."""
    return sorted(LOCALE.glob("*/LC_MESSAGES/alerts.po"))


def catalog(path: Path) -> Catalog:
    with path.open("rb") as source:
        return read_po(source)


def extracted() -> Catalog:
    """Gives every message in the sources and templates, as `babel.cfg` says where they stand."""
    with (LOCALE / "babel.cfg").open(encoding="utf-8") as source:
        methods, options = parse_mapping_cfg(source)  # type: ignore[no-untyped-call]
    found = Catalog()
    for folder in ("alerts", "templates"):
        for _, _, message, comments, context in extract_from_dir(
            ROOT / folder, method_map=methods, options_map=options
        ):
            found.add(message, auto_comments=comments, context=context)
    return found


def messages(of: Catalog) -> list[Message]:
    return [message for message in of if message.id]


def forms(said: str | Sequence[str] | None) -> list[str]:
    """Gives the forms of a message or of its translation: two or more of a plural."""
    return [said] if isinstance(said, str) else [*(said or [""])]


def untranslated(of: Catalog) -> list[str]:
    """Gives the messages that have no translation, or not in all forms."""
    return [forms(message.id)[0] for message in messages(of) if not all(forms(message.string))]


def updated(path: Path) -> str:
    """Gives a catalog with the messages of today: what was translated stays so, what is new is empty."""
    head = path.read_text(encoding="utf-8").partition("\n\n")[0]
    kept = catalog(path)
    kept.update(extracted(), no_fuzzy_matching=True)
    kept.obsolete.clear()
    written = BytesIO()
    write_po(
        written, kept, width=0, no_location=True, omit_header=True, sort_output=True, ignore_obsolete=True
    )
    return f"{head}\n\n{written.getvalue().decode().strip()}\n"


def main() -> None:
    for path in (TEMPLATE, *catalogs()):
        path.write_text(updated(path), encoding="utf-8")
    for path in catalogs():
        sys.stdout.writelines(f"{path.parts[-3]} lacks: {each}\n" for each in untranslated(catalog(path)))


if __name__ == "__main__":
    main()
