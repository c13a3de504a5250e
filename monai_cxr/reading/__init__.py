"""Reading: files to radiographs, many at once; a film that breaks its reader costs that film."""
