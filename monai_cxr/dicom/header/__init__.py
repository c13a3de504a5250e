"""Header: elements of a DICOM file to facts, and whether they are in scope."""
