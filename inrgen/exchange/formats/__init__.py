"""Foreign file formats, one a file: each module holds a FORMAT that load_format finds by name."""
