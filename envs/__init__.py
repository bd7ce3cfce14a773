"""Gymnasium environments of the workbench; they import nothing from it."""
