"""DICOM: radiographs in, results out; above this package nobody sees a data set."""
