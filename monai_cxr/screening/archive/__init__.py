"""Archive: every film of a folder or a PACS, one result each, one report."""
