"""What the applications do not see of the requests."""

from prometheus_client import Counter

REJECTED = Counter(
    "http_requests_rejected", "Requests that were answered before they reached the application, by status.", ["status"])
