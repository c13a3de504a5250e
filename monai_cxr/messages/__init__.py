"""Messages: predictions in the words of HL7: FHIR R4 and version 2."""
