"""Pure tensor functions: no state, no files, torch only."""
