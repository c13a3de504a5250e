"""Results: structured reports and secondary captures that go back to the archive."""
