"""The links between the services and the broker, through Toxiproxy."""

from dashboards.parts import Query, Value, above, below, dashboard, graph, states, stats, variable

LINK = 'proxy=~"$link"'


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
                      Value("connections", 'sum(amqp_connections_open{job="producer"})', "none", below(1)), to="producer", width=5),
                stats("Producer's round trip", "An AMQP request that changes nothing, and its reply.",
                      Value("round trip", 'max(amqp_round_trip_seconds{job="producer"})', "s", above(0.05, 0.1)), width=5),
                stats("Consumers' connections", "Ready for work: one for each consumer.",
                      Value("connections", 'sum(amqp_connections_open{job="consumer"})', "none", below(1)), to="consumer", width=5),
                stats("Consumers' round trip", "An AMQP request that changes nothing, and its reply.",
                      Value("round trip", 'max(amqp_round_trip_seconds{job="consumer"})', "s", above(0.05, 0.1)), width=5),
            ]),
            ("Bytes", [
                graph("To the broker, by link", "What the services send. A link that is down, or a service that is silent, shows nothing.", "Bps",
                      Query(f'sum by (proxy) (rate(toxiproxy_proxy_sent_bytes_total{{direction="upstream", {LINK}}}[$__rate_interval]))', "{{proxy}}"), width=12),
                graph("From the broker, by link", "What the services get: deliveries to the consumers, confirms to the producer.", "Bps",
                      Query(f'sum by (proxy) (rate(toxiproxy_proxy_sent_bytes_total{{direction="downstream", {LINK}}}[$__rate_interval]))', "{{proxy}}"), width=12),
                graph("Held back on the way, by link", "Bytes that entered Toxiproxy and have not left it: what a slow or stuck link holds. Over a minute.", "bytes",
                      Query(f"sum by (proxy, direction) (increase(toxiproxy_proxy_received_bytes_total{{{LINK}}}[1m])"
                            f" - increase(toxiproxy_proxy_sent_bytes_total{{{LINK}}}[1m]))", "{{proxy}} {{direction}}"), width=12, minimum=None),
                graph("AMQP round trip", "Both services talk to the same broker. If one of them waits longer, it is its link.", "s",
                      Query("max by (job, instance_name) (amqp_round_trip_seconds)", "{{job}} {{instance_name}}"), limits=above(0.1), width=12),
            ]),
            ("Connections", [
                graph("Connections that are ready", "Of the services. Which link each of them uses is a setting (PRODUCER_LINK, CONSUMER_LINK).", "none",
                      Query("sum by (job) (amqp_connections_open)", "{{job}}")),
                graph("Lost connections and failed attempts", "stream_lost: it broke. connect_failed: nobody answered. heartbeat_timeout: it went silent.", "none",
                      Query("sum by (job, cause) (increase(amqp_connection_losses_total[$__rate_interval]))", "{{job}} {{cause}}"), bars=True),
                graph("The broker's connections", "All clients', whether they come through Toxiproxy or not.", "none",
                      Query("sum(rabbitmq_connections)", "connections"), to="rabbitmq"),
            ]),
            ("Parts", [
                states("Answers scrapes", "Toxiproxy and what is at the ends of its links.",
                       Query('up{job=~"toxiproxy|rabbitmq|producer|consumer"}', "{{job}} {{instance_name}}"),
                       names={0: ("down", "red"), 1: ("up", "green")}, height=6),
            ]),
        ],
        variables=[variable("link", "Link", "toxiproxy_proxy_sent_bytes_total", "proxy")])
