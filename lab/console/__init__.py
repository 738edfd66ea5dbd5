"""The web page of the lab: scenarios, the run that is on, dashboards, runbook and reports, on loopback only."""
