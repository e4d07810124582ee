"""Records and arithmetic. Knows no SQL, no HTTP, no clock and no files."""
