"""The output of the stages for people: tables, progress, pictures and the report."""
