"""What is counted as films finish: tallies, sums of charts, alarms."""
