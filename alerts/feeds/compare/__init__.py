"""From a window to what is new in it: identity, matching and the decision. Pure."""
