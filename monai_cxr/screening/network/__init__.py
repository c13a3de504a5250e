"""Network: DICOM associations and DICOMweb, as a client."""
