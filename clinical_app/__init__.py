"""clinical_app: the viewer; pages that read, call and draw, and the HTTP routes of its films."""
