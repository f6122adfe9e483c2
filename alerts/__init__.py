"""Breaking-news email alerts: from a live blog's new entry to each follower's inbox, once."""

__version__ = "0.1.0"
