"""A comparative report in one HTML file, with Markdown and tables beside it: from results only."""
