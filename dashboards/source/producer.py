"""The producer: rate, errors and duration by route and status, and how publishing goes."""

from dashboards.parts import Query, Value, above, below, dashboard, graph, neutral, states, stats

QUANTILE = 'histogram_quantile({}, sum by (le{}) (rate({}_bucket{{{}}}[$__rate_interval])))'
PRODUCE = 'route=~".*produce"'
ERRORS = 'sum(rate(http_request_duration_seconds_count{status=~"5.."}[$__rate_interval])) or vector(0)'


def build():
    return dashboard(
        "producer", "Producer",
        "What clients get from the producer (RED: rate, errors, duration), and how publishing to the broker goes. A 503 says "
        "that a message is not stored, a 504 that nobody knows.",
        [
            ("At a glance", [
                stats("Up", "Whether the producer answers its scrapes.", Value("up", 'sum(up{job="producer"})', "none", below(1))),
                stats("Requests", "Requests to /produce and /batch-produce a second.",
                      Value("requests", f"sum(rate(http_request_duration_seconds_count{{{PRODUCE}}}[$__rate_interval]))", "reqps", below(0.1))),
                stats("Server errors", "Share of the requests that were answered 5xx.",
                      Value("errors", f"({ERRORS}) / sum(rate(http_request_duration_seconds_count[$__rate_interval]))",
                            "percentunit", above(0.001, 0.01), 1)),
                stats("Time to answer, p99", "Of /produce and /batch-produce; it includes the broker's confirm.",
                      Value("p99", QUANTILE.format(0.99, "", "http_request_duration_seconds", PRODUCE), "s", above(0.25, 1))),
                stats("Connections", "To the broker, ready for work: one for each worker process.",
                      Value("connections", 'sum(amqp_connections_open{job="producer"}) or vector(0)', "none", below(2, 1))),
                stats("Blocked by the broker", "1 while the broker's memory or disk alarm holds publishers back.",
                      Value("blocked", 'max(amqp_connection_blocked{job="producer"})', "none", above(1))),
            ]),
            ("Requests", [
                graph("Rate by route and status", "201 confirmed, 207 partly, 4xx the client's mistake, 503 not stored, 504 unknown.", "reqps",
                      Query("sum by (route, status) (rate(http_request_duration_seconds_count[$__rate_interval]))", "{{route}} {{status}}"),
                      stacked=True, to="load"),
                graph("Errors by status", "Share of each class of errors among all requests. 5xx cost the availability objective.", "percentunit",
                      Query(f"({ERRORS}) / sum(rate(http_request_duration_seconds_count[$__rate_interval]))", "5xx"),
                      Query('(sum(rate(http_request_duration_seconds_count{status=~"4.."}[$__rate_interval])) or vector(0))'
                            " / sum(rate(http_request_duration_seconds_count[$__rate_interval]))", "4xx"), limits=above(0.01)),
                graph("Time to answer", "Median and p99 of each route that publishes; it includes the broker's confirm.", "s",
                      Query(QUANTILE.format(0.5, ", route", "http_request_duration_seconds", PRODUCE), "{{route}} p50"),
                      Query(QUANTILE.format(0.99, ", route", "http_request_duration_seconds", PRODUCE), "{{route}} p99")),
            ]),
            ("Publishing", [
                graph("Confirmed messages", "Messages that the broker has on disk, and that a client was promised.", "mps",
                      Query("sum(rate(messages_produced_total[$__rate_interval]))", "confirmed")),
                graph("Messages not published, by reason", "unavailable: no connection; blocked: the broker's alarm; unroutable: no queue is "
                      "bound; nacked: the broker refused; overloaded: too much waits; unknown: no confirm in time.", "mps",
                      Query("sum by (reason) (rate(messages_publish_failures_total[$__rate_interval]))", "{{reason}}"), stacked=True),
                graph("Time to the broker's confirm", "From publish to confirm. It grows with the broker's disk, with its load, and with the link.", "s",
                      Query(QUANTILE.format(0.5, "", "publish_confirm_duration_seconds", ""), "p50"),
                      Query(QUANTILE.format(0.9, "", "publish_confirm_duration_seconds", ""), "p90"),
                      Query(QUANTILE.format(0.99, "", "publish_confirm_duration_seconds", ""), "p99")),
                graph("In flight", "Messages published and not yet confirmed. It stands where the broker does not answer.", "none",
                      Query('sum(messages_in_flight{job="producer"})', "in flight"), limits=above(800)),
                graph("Held back by the broker", "Share of the time for which the broker blocked the producer's connections.", "percentunit",
                      Query('sum(rate(amqp_connection_blocked_seconds_total{job="producer"}[$__rate_interval]))'
                            ' / scalar(count(up{job="producer"}))', "blocked"), limits=above(0.01)),
                graph("Lost connections and failed attempts, by cause", "Each one is followed by another attempt, after a growing pause.", "none",
                      Query('sum by (cause) (increase(amqp_connection_losses_total{job="producer"}[$__rate_interval]))', "{{cause}}"),
                      bars=True, to="network"),
            ]),
            ("Process", [
                states("Answers its scrapes", "Gaps and red are times at which the producer was down, or hung.",
                       Query('up{job="producer"}', "{{instance}}"), names={0: ("down", "red"), 1: ("up", "green")}, width=16, height=5),
                stats("AMQP round trip", "Time of an AMQP request that changes nothing and its reply, over the producer's link.",
                      Value("round trip", 'max(amqp_round_trip_seconds{job="producer"})', "s", above(0.05, 0.1)), to="network", height=5),
                stats("Bodies in flight", "Messages in flight now.", Value("in flight", 'sum(messages_in_flight{job="producer"})', "none", neutral()), height=5),
            ]),
        ])
