"""Networks: importable without Lightning or Hydra."""
