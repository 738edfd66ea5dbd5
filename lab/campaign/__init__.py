"""Proves by many random faults that nothing acknowledged is lost: `lab campaign`."""
