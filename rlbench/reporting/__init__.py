"""From the files of a run to tables, figures and reports: pandas, never torch."""
