"""Processes messages at least once: acks after processing, retries with backoff, dead-letters."""
