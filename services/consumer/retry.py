"""Retry policy: exponential backoff, a limited number of attempts."""

from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """`base_delay` is in seconds; attempt numbers start at 1."""

    max_attempts: int
    base_delay: float

    def delay_ms(self, failed_attempt: int) -> int | None:
        """Milliseconds to wait after that failed attempt; None when it was the last one."""
        if failed_attempt >= self.max_attempts:
            return None
        return round(self.base_delay * 1000 * 2 ** (failed_attempt - 1))

    def delays_ms(self) -> list[int]:
        """Every delay that can occur: one delay queue each."""
        return [self.delay_ms(attempt) for attempt in range(1, self.max_attempts)]
