"""The closed lists of the answer form: the same for every scenario, so that they give nothing away."""

COMPONENTS = {
    "producer": "the HTTP service that takes messages",
    "consumer": "one or all of the processes that work on messages",
    "broker": "RabbitMQ: the server, its queues, its policies",
    "producer-link": "the network between producer and broker",
    "consumer-link": "the network between consumer and broker",
    "clients": "who sends: their messages or their traffic",
    "monitoring": "Prometheus, exporters, alerts",
    "none": "nothing is wrong",
}

CAUSES = {
    # network
    "latency": "every packet is late",
    "jitter": "packets are late by varying times",
    "bandwidth": "the link carries too little",
    "black-hole": "the connection stays open, nothing arrives",
    "connection-resets": "connections are reset again and again",
    "slicing": "data arrives in many small pieces",
    "flapping": "the link goes down and comes back, again and again",
    "link-down": "the link refuses connections",
    # processes
    "process-down": "the process does not run",
    "process-frozen": "the process runs but does nothing",
    "crash-loop": "the process dies soon after each start",
    # broker
    "memory-alarm": "publishers are blocked: too little memory",
    "disk-alarm": "publishers are blocked: too little disk",
    "queue-length-limit": "a queue is full and drops or refuses messages",
    "message-ttl": "messages expire before they are processed",
    "dead-letter-routing": "the dead-letter exchange is wrong or missing",
    "unroutable": "an exchange is not bound to its queue",
    "permission-revoked": "a user may no longer do what it needs",
    "wrong-credentials": "a password or user does not fit any more",
    "connection-limit": "the broker refuses further connections",
    "consumer-timeout": "the broker closes consumers that do not ack in time",
    # consumer
    "slow-processing": "each message takes too long to process",
    "processing-errors": "processing fails for well-formed messages",
    "crash-on-message": "a certain message kills its consumer",
    "prefetch-too-high": "one consumer hoards messages",
    "prefetch-too-low": "a consumer waits for each ack",
    "lost-acks": "what is processed is not acknowledged, and comes again",
    # messages and traffic
    "poison-messages": "messages that cannot be read",
    "oversized-messages": "messages that are far too large",
    "retry-storm": "clients repeat what failed without waiting",
    "traffic-burst": "more traffic than the system is made for",
    "connection-churn": "clients open and close connections all the time",
    # observation
    "false-alarm": "the system is well, what watches it is not",
    "no-fault": "nothing is wrong",
}


def submit_words(findings: list[dict[str, str]]) -> list[str]:
    """The words of `lab` that submit these findings."""
    return ["submit", *(word for finding in findings
                        for word in ("--component", finding["component"], "--cause", finding["cause"]))]
