"""From a slot's instant to a mail that gathers what was released since the reader's last: docs/explanation/digests.md."""
