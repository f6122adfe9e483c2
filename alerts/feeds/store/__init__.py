"""What polls find, out of the tables and into them; each function is part of one transaction."""
