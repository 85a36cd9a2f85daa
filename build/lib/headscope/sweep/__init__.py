"""Many runs: a process for each, and a report on them all."""
