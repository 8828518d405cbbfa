"""What people see: a live table, plain lines, plans and summaries in words."""
