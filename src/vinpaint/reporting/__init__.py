"""A sweep's results as tables for a paper and as one page for a browser."""
