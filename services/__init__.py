"""The system under test: a producer and a consumer of messages. It knows nothing of the lab."""
