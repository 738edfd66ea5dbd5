"""The links between the services and the broker, through Toxiproxy."""

from dashboards.parts import Query, Value, above, below, dashboard, graph, states, stats


def build():
    return dashboard(
        "network", "Network",
        "The links through Toxiproxy: what crosses them, how long a round trip takes, and who loses connections. Upstream is "
        "towards the broker.",
        [
            ("At a glance", [
                stats("Toxiproxy", "Whether Toxiproxy answers its scrapes; all AMQP traffic crosses it.",
                      Value("up", 'sum(up{job="toxiproxy"})', "none", below(1)), width=4),
                stats("Producer's connections", "Ready for work: one for each worker process.",
                      Value("connections", 'sum(amqp_connections_open{job="producer"}) or vector(0)', "none", below(1)), to="producer", width=5),
                stats("Producer's round trip", "An AMQP request that changes nothing, and its reply.",
                      Value("round trip", 'max(amqp_round_trip_seconds{job="producer"})', "s", above(0.05, 0.1)), width=5),
                stats("Consumers' connections", "Ready for work: one for each consumer.",
                      Value("connections", 'sum(amqp_connections_open{job="consumer"}) or vector(0)', "none", below(1)), to="consumer", width=5),
                stats("Consumers' round trip", "An AMQP request that changes nothing, and its reply.",
                      Value("round trip", 'max(amqp_round_trip_seconds{job="consumer"})', "s", above(0.05, 0.1)), width=5),
            ]),
            ("Traffic", [
                graph("To the broker, by service", "What crosses each service's link upstream, as the service counts it (Toxiproxy itself counts "
                      "a connection only when it has ended). Nothing crosses a link that is down, or stuck.", "Bps",
                      Query("sum by (job) (rate(amqp_sent_bytes_total[$__rate_interval]))", "{{job}}")),
                graph("From the broker, by service", "What crosses each service's link downstream: deliveries to the consumers, confirms to the producer.", "Bps",
                      Query("sum by (job) (rate(amqp_received_bytes_total[$__rate_interval]))", "{{job}}")),
                graph("AMQP round trip", "Both services talk to the same broker. If one of them waits longer, it is its link.", "s",
                      Query("max by (job, instance_name) (amqp_round_trip_seconds)", "{{job}} {{instance_name}}"), limits=above(0.1)),
            ]),
            ("Connections", [
                graph("Connections that are ready", "Of the services. Which link each of them uses is a setting (PRODUCER_LINK, CONSUMER_LINK).", "none",
                      Query("sum by (job) (amqp_connections_open)", "{{job}}")),
                graph("Lost connections and failed attempts", "stream_lost: it broke. connect_failed: nobody answered. heartbeat_timeout: it went silent.", "none",
                      Query("sum by (job, cause) (increase(amqp_connection_losses_total[$__rate_interval]))", "{{job}} {{cause}}"), bars=True),
                graph("Sockets", "Toxiproxy holds two for each connection that crosses it, beside those on which it listens; the broker's "
                      "connections are all clients', also of those who go past Toxiproxy.", "none",
                      Query('sum(process_open_fds{job="toxiproxy"})', "Toxiproxy's open files"),
                      Query("sum(rabbitmq_connections)", "broker's connections"), to="rabbitmq"),
            ]),
            ("Parts", [
                states("Answers scrapes", "Toxiproxy and what is at the ends of its links.",
                       Query('up{job=~"toxiproxy|rabbitmq|producer|consumer"}', "{{job}} {{instance_name}}"),
                       names={0: ("down", "red"), 1: ("up", "green")}, height=6),
            ]),
        ])
