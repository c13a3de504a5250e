"""Labels: from report text, checked, audited and corrected; tables in, tables out; never torch."""
