"""The schema, version by version."""

NEWEST = "0006"  # the last of `versions`, known without reading them; a test holds the two together
