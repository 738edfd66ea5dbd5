"""The broker: its queues, rates, clients and resources."""

from dashboards.parts import Query, Value, above, below, dashboard, graph, neutral, stats, variable

QUEUE = 'queue=~"$queue"'


def rate(counter: str) -> str:
    return f"sum(rate({counter}[$__rate_interval]))"


def build():
    return dashboard(
        "rabbitmq", "RabbitMQ",
        "The broker: what waits in which queue, what comes in and goes out, who is connected, and whether it has the "
        "memory and disk that it needs.",
        [
            ("At a glance", [
                stats("Up", "Whether the broker answers its scrapes.", Value("up", 'sum(up{job="rabbitmq"})', "none", below(1))),
                stats("Connections", "Of all clients, each worker process and each consumer having one.",
                      Value("connections", "sum(rabbitmq_connections) or vector(0)", "none", below(1))),
                stats("Consumers of the queue", "Consumers on queue messages.",
                      Value("consumers", 'sum(rabbitmq_detailed_queue_consumers{queue="messages"}) or vector(0)', "none", below(1))),
                stats("Messages that wait", "Ready in queue messages: nobody has taken them yet.",
                      Value("ready", 'sum(rabbitmq_detailed_queue_messages_ready{queue="messages"})', "none", above(50, 200))),
                stats("Dead letters", "In messages.dlq, with the reason in their headers.",
                      Value("dead letters", 'sum(rabbitmq_detailed_queue_messages{queue="messages.dlq"})', "none", above(1, 1000)),
                      Value("in 1 min", "sum(queue:dead_letters:increase1m)", "none", above(1), 0)),
                stats("Alarms", "While one is on, the broker takes no messages.",
                      Value("memory", "max(rabbitmq_alarms_memory_used_watermark)", "none", above(1)),
                      Value("disk", "max(rabbitmq_alarms_free_disk_space_watermark)", "none", above(1))),
            ]),
            ("Queues", [
                graph("Ready, by queue", "Nobody has taken them yet. A quorum queue tells its length every 5 s.", "none",
                      Query(f"sum by (queue) (rabbitmq_detailed_queue_messages_ready{{{QUEUE}}})", "{{queue}}")),
                graph("Unacked, by queue", "Delivered, and not yet acknowledged: being worked on, or on their way. At prefetch × consumers, "
                      "the consumers get no more.", "none",
                      Query(f"sum by (queue) (rabbitmq_detailed_queue_messages_unacked{{{QUEUE}}})", "{{queue}}")),
                graph("Consumers, by queue", "Delay queues and the dead-letter queue have none, as it should be.", "none",
                      Query(f"sum by (queue) (rabbitmq_detailed_queue_consumers{{{QUEUE}}})", "{{queue}}")),
            ]),
            ("Messages", [
                graph("In", "Received from publishers, and confirmed to them. More received than the producer sends: somebody else publishes.", "mps",
                      Query(rate("rabbitmq_global_messages_received_total"), "received"),
                      Query(rate("rabbitmq_global_messages_confirmed_total"), "confirmed"),
                      Query(rate("messages_produced_total"), "by the producer"), to="producer", width=6),
                graph("Out", "Delivered to consumers, acknowledged by them, and delivered again.", "mps",
                      Query(rate("rabbitmq_global_messages_delivered_total"), "delivered"),
                      Query(rate("rabbitmq_global_messages_acknowledged_total"), "acknowledged"),
                      Query(rate("rabbitmq_global_messages_redelivered_total"), "redelivered"), to="consumer", width=6),
                graph("Unroutable", "No queue was bound. Returned: the publisher was notified. Dropped: it was not.", "mps",
                      Query(rate("rabbitmq_global_messages_unroutable_returned_total"), "returned"),
                      Query(rate("rabbitmq_global_messages_unroutable_dropped_total"), "dropped"), width=6),
                graph("Dead letters in the last minute, by reason", "Every way into the dead-letter queue. The runbook explains each reason "
                      "(DeadLettersArriving); other: published straight into it.", "none",
                      Query("queue:dead_letters:increase1m", "{{reason}}"), stacked=True, to="consumer", width=6),
            ]),
            ("Clients", [
                graph("Connections and channels", "Steps are clients that come and go. Each service holds two channels for each connection.", "none",
                      Query("sum(rabbitmq_connections)", "connections"), Query("sum(rabbitmq_channels)", "channels")),
                graph("Connections opened and closed", "In a healthy lab nobody opens connections; many are a storm of reconnects.", "ops",
                      Query(rate("rabbitmq_connections_opened_total"), "opened"), Query(rate("rabbitmq_connections_closed_total"), "closed"),
                      limits=above(1), to="network"),
                graph("AMQP round trip, as the services see it", "If one service's is long and the other's is not, it is its link, not the broker.", "s",
                      Query("max by (job) (amqp_round_trip_seconds)", "{{job}}"), limits=above(0.1), to="network"),
            ]),
            ("Resources", [
                graph("Memory", "Resident, and the limit at which the alarm goes on and publishers are blocked.", "bytes",
                      Query("sum(rabbitmq_process_resident_memory_bytes)", "used"), Query("sum(rabbitmq_resident_memory_limit_bytes)", "limit")),
                graph("Disk", "Free, and the limit below which the alarm goes on and publishers are blocked.", "bytes",
                      Query("sum(rabbitmq_disk_space_available_bytes)", "free"), Query("sum(rabbitmq_disk_space_available_limit_bytes)", "limit")),
                graph("File descriptors", "Of the broker's process, and how many it may have.", "none",
                      Query("sum(rabbitmq_process_open_fds)", "open"), width=4),
                stats("Erlang processes", "Of the broker's machine; they follow queues and connections.",
                      Value("processes", "sum(rabbitmq_erlang_processes_used)", "none", neutral()), height=8),
            ]),
        ],
        variables=[variable("queue", "Queue", "rabbitmq_detailed_queue_messages", "queue")])
