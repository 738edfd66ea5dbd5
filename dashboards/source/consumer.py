"""The consumers: what they process, how long it takes, and what fails."""

from dashboards.parts import Query, Value, above, below, dashboard, graph, stats, variable

OF = 'instance_name=~"$instance"'
QUANTILE = f'histogram_quantile({{}}, sum by (le{{}}) (rate({{}}_bucket{{{{{OF}}}}}[$__rate_interval])))'


def rate(counter: str, by: str = "") -> str:
    return f"sum{f' by ({by})' if by else ''} (rate({counter}{{{OF}}}[$__rate_interval]))"


def build():
    return dashboard(
        "consumer", "Consumer",
        "What the consumers process, how long it takes, what fails and what becomes of it; all of them, or those that are chosen.",
        [
            ("At a glance", [
                stats("Consumers up", "Consumers that answer their scrapes.", Value("up", f'sum(up{{job="consumer", {OF}}})', "none", below(1))),
                stats("Processed", "Messages processed with success a second.", Value("processed", rate("messages_consumed_total"), "mps", below(0.1))),
                stats("Processed with success", "Of the messages that were finished in the last 30 s; the rest is dead-lettered.",
                      Value("success", "consumer:messages:success_ratio_rate30s", "percentunit", below(0.999, 0.99), 1)),
                stats("Processing lag", "How far processing is behind publishing while messages wait.",
                      Value("lag", "queue:processing_lag_seconds:max", "s", above(5, 10), 1)),
                stats("Unacked of prefetch", "What the broker has sent and got no ack for, of what the prefetch allows. Near 100 % while the "
                      "consumers idle: the prefetch is too small for the link.",
                      Value("unacked", f'sum(rabbitmq_detailed_queue_messages_unacked{{queue="messages"}}) / sum(consumer_prefetch{{{OF}}})',
                            "percentunit", above(0.8, 0.95), 0)),
                stats("Since the last success", "Time since any of them processed a message with success.",
                      Value("age", f"clamp_min(time() - max(last_success_timestamp_seconds{{{OF}}} > 0 < time() + 2), 0)", "s", above(5, 30), 0)),
            ]),
            ("Work", [
                graph("Processed, by consumer", "One that does less than the others is slow, or gets too little.", "mps",
                      Query(rate("messages_consumed_total", "instance_name"), "{{instance_name}}"), stacked=True),
                graph("Time of one attempt", "How long the consumer works on a message, whatever the link does.", "s",
                      Query(QUANTILE.format(0.5, "", "message_processing_duration_seconds"), "p50"),
                      Query(QUANTILE.format(0.9, "", "message_processing_duration_seconds"), "p90"),
                      Query(QUANTILE.format(0.99, "", "message_processing_duration_seconds"), "p99")),
                graph("From publish to processed", "The age of a message when it is done: waiting, travelling, working. Compare with the "
                      "time of one attempt.", "s",
                      Query(QUANTILE.format(0.5, "", "message_end_to_end_seconds"), "p50"),
                      Query(QUANTILE.format(0.9, "", "message_end_to_end_seconds"), "p90"),
                      Query(QUANTILE.format(0.99, "", "message_end_to_end_seconds"), "p99"), limits=above(10)),
            ]),
            ("What fails", [
                graph("Failed attempts, by reason", "undecodable and invalid are poison, and go to the dead-letter queue at once; handler is a "
                      "failure of the work itself, and is tried again.", "mps",
                      Query(rate("message_processing_errors_total", "reason"), "{{reason}}"), stacked=True),
                graph("Retries, by the attempt that failed", "Each goes to a delay queue and comes back later, up to the last attempt.", "mps",
                      Query(rate("messages_retried_total", "attempt"), "attempt {{attempt}}"), stacked=True),
                graph("Dead letters, by reason", "Dead-lettered by these consumers. The broker dead-letters messages, too: see the RabbitMQ dashboard.", "mps",
                      Query(rate("messages_dead_lettered_total", "reason"), "{{reason}}"),
                      stacked=True, to="rabbitmq"),
            ]),
            ("Deliveries", [
                graph("In flight and unacked", "At each consumer, and by the broker's count: what the broker has sent and a consumer has not got "
                      "is on its way. The broker sends no more than the prefetch allows.", "none",
                      Query(f'messages_in_flight{{job="consumer", {OF}}}', "{{instance_name}}"),
                      Query('sum(rabbitmq_detailed_queue_messages_unacked{queue="messages"})', "unacked"),
                      Query(f"sum(consumer_prefetch{{{OF}}})", "prefetch of all")),
                graph("Redeliveries", "Deliveries that the broker had made before: a consumer died, or its link broke, before the ack.", "mps",
                      Query(rate("messages_redelivered_total", "instance_name"), "{{instance_name}}")),
                graph("AMQP round trip", "Time of an AMQP request that changes nothing and its reply, over the consumers' link.", "s",
                      Query(f'amqp_round_trip_seconds{{job="consumer", {OF}}}', "{{instance_name}}"), limits=above(0.1), to="network"),
            ]),
            ("Process", [
                graph("Lost connections and failed attempts, by cause", "Each one is followed by another attempt, after a growing pause.", "none",
                      Query(f'sum by (cause) (increase(amqp_connection_losses_total{{job="consumer", {OF}}}[$__rate_interval]))', "{{cause}}"),
                      bars=True, to="network"),
                graph("Consumers, by release", "More than one release: a deployment is under way, or one was forgotten.", "none",
                      Query(f"count by (release) (consumer_build_info{{{OF}}})", "{{release}}"), stacked=True),
                graph("CPU", "Of one core. A consumer that is slow and idle waits for something.", "percentunit",
                      Query(f'rate(process_cpu_seconds_total{{job="consumer", {OF}}}[$__rate_interval])', "{{instance_name}}")),
                graph("Memory", "Resident. It does not grow with the queue: the prefetch bounds what a consumer holds.", "bytes",
                      Query(f'process_resident_memory_bytes{{job="consumer", {OF}}}', "{{instance_name}}")),
            ]),
        ],
        variables=[variable("instance", "Consumer", "consumer_prefetch", "instance_name")])
