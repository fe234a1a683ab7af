"""From a request to finished files: plan, run, merge, publish."""
