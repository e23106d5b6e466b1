"""What people see of the stages: tables, progress and pictures. Nothing here decides anything."""
