"""Knows what models-as-a-service cost and how near their quota they are."""

__version__ = "0.1.0"
