"""News by push: the WebSub subscriber (W3C Recommendation of 23 January 2018)."""
