"""Retry policy: exponential backoff, a limited number of attempts."""

from dataclasses import dataclass

# A day: nobody waits longer for a retry, and the broker takes no TTL above 2**32 - 1 ms.
LONGEST_DELAY_MS = 86_400_000


@dataclass(frozen=True)
class RetryPolicy:
    """`base_delay` is in seconds; attempt numbers start at 1."""

    max_attempts: int
    base_delay: float

    def delay_ms(self, failed_attempt: int) -> int | None:
        """Milliseconds to wait after that failed attempt; None when it was the last one."""
        if failed_attempt >= self.max_attempts:
            return None
        return min(LONGEST_DELAY_MS, round(self.base_delay * 1000 * 2 ** (failed_attempt - 1)))

    def delays_ms(self) -> list[int]:
        """Every delay that can occur, in rising order: one delay queue each."""
        return sorted({self.delay_ms(attempt) for attempt in range(1, self.max_attempts)})
