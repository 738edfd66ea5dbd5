"""Is the system well, and if not, where does it hurt?"""

from dashboards.parts import Query, Value, above, below, dashboard, graph, neutral, states, stats, variable

AVAILABILITY = Value("answered", "client:requests:availability_ratio_rate30s", "percentunit", below(0.999, 0.99), 1)
FRESHNESS = Value("lag", "queue:processing_lag_seconds:max", "s", above(5, 10), 1)
SUCCESS = Value("processed", "consumer:messages:success_ratio_rate30s", "percentunit", below(0.999, 0.99), 1)
QUANTILE = 'histogram_quantile({}, sum by (le) (rate({}_bucket{}[$__rate_interval])))'


def round_trip(job: str) -> Value:
    return Value("round trip", f'max(amqp_round_trip_seconds{{job="{job}"}})', "s", above(0.05, 0.1))


def connections(job: str) -> Value:
    return Value("connections", f'sum(amqp_connections_open{{job="{job}"}})', "none", below(1))


def build():
    return dashboard(
        "overview", "Overview",
        "Is the system well, and if not, where does it hurt? Objectives first, then the way of a message from the "
        "clients to the end; each panel leads to the dashboard that says more.",
        [
            ("Objectives", [
                stats("Requests answered", "Share of the clients' requests of the last 30 s that were answered with success. "
                      "Below 99 % clients get errors now: follow the message from the left.", AVAILABILITY, to="producer"),
                stats("Processing lag", "How far processing is behind publishing while messages wait. Beyond 10 s promises "
                      "are kept late: consumers are slow, away, or starved by their link.", FRESHNESS, to="consumer"),
                stats("Processed with success", "Share of the messages finished in the last 30 s that were processed, the "
                      "rest being dead-lettered. Below 99 %: read the dead-letter queue.", SUCCESS, to="consumer"),
                stats("Error budget left", "Of the budget of 30 minutes (1 % of requests, time, messages). Below zero, the "
                      "objective is broken over the half hour.",
                      *(Value(slo, f'slo:error_budget_remaining:ratio{{slo="{slo}"}}', "percentunit", below(0.5, 0), 0)
                        for slo in ("availability", "freshness", "success")), to="lab-run", width=6),
                stats("Alerts that fire", "Pages are about users, tickets about causes; the runbook has a section for each.",
                      Value("pages", 'count(ALERTS{alertstate="firing",severity="page"}) or vector(0)', "none", above(1)),
                      Value("tickets", 'count(ALERTS{alertstate="firing",severity="ticket"}) or vector(0)', "none", above(1, 100)),
                      Value("parts down", "count(up == 0) or vector(0)", "none", above(1)), to="lab-run", width=6),
            ]),
            ("The way of a message: clients ▶ producer ▶ link ▶ queue ▶ link ▶ consumers. The first part that is not green is next to the fault", [
                stats("Clients ▶", "What the clients send, how much of it fails, and how long an answer takes.",
                      Value("requests", "client:requests:rate30s", "reqps", below(0.1)),
                      Value("failed", "1 - client:requests:availability_ratio_rate30s", "percentunit", above(0.001, 0.01)),
                      Value("p99", QUANTILE.format(0.99, "load_request_duration_seconds", ""), "s", above(0.25, 1)),
                      to="load", height=5),
                stats("Producer ▶", "What the broker has confirmed, what could not be published, and how long a confirm takes.",
                      Value("confirmed", "sum(rate(messages_produced_total[$__rate_interval]))", "mps", below(0.1)),
                      Value("not published", "sum(rate(messages_publish_failures_total[$__rate_interval])) or vector(0)", "mps", above(0.01, 0.5)),
                      Value("confirm p99", QUANTILE.format(0.99, "publish_confirm_duration_seconds", ""), "s", above(0.25, 1)),
                      to="producer", height=5),
                stats("Producer's link ▶", "AMQP over Toxiproxy, as the producer sees it: connections (one for each worker) and a round trip.",
                      connections("producer"), round_trip("producer"),
                      Value("lost in 1 min", 'sum(increase(amqp_connection_losses_total{job="producer"}[1m]))', "none", above(1, 3), 0),
                      to="network", height=5),
                stats("Queue ▶", "Messages that wait, messages that are being worked on, and messages nobody could process.",
                      Value("ready", 'rabbitmq_detailed_queue_messages_ready{queue="messages"}', "none", above(50, 200)),
                      Value("unacked", 'rabbitmq_detailed_queue_messages_unacked{queue="messages"}', "none", neutral()),
                      Value("dead letters", 'rabbitmq_detailed_queue_messages{queue="messages.dlq"}', "none", above(1, 1000)),
                      Value("dead-lettered in 1 min", "sum(queue:dead_letters:increase1m)", "none", above(1), 0),
                      to="rabbitmq", height=5),
                stats("Consumer's link ▶", "AMQP over Toxiproxy, as the consumers see it: connections (one for each consumer) and a round trip.",
                      connections("consumer"), round_trip("consumer"),
                      Value("lost in 1 min", 'sum(increase(amqp_connection_losses_total{job="consumer"}[1m]))', "none", above(1, 3), 0),
                      to="network", height=5),
                stats("Consumers", "What is processed, how long one message takes, and how much is tried again.",
                      Value("processed", "sum(rate(messages_consumed_total[$__rate_interval]))", "mps", below(0.1)),
                      Value("processing p99", QUANTILE.format(0.99, "message_processing_duration_seconds", ""), "s", above(1, 5)),
                      Value("retried", "sum(rate(messages_retried_total[$__rate_interval]))", "mps", above(0.1, 1)),
                      to="consumer", height=5),
            ]),
            ("Golden signals", [
                graph("Traffic", "In and out. Where the lines part, messages gather in between, or end as dead letters.", "mps",
                      Query("sum(rate(messages_produced_total[$__rate_interval]))", "confirmed"),
                      Query("sum(rate(messages_consumed_total[$__rate_interval]))", "processed"),
                      Query("sum(queue:dead_letters:increase1m) / 60", "dead-lettered"), to="rabbitmq", width=6),
                graph("Errors", "Requests that failed, as the clients see them: rejected (503: not stored), unknown (504, or no "
                      "answer), error (anything else).", "reqps",
                      Query('sum by (outcome) (rate(load_requests_total{outcome!="ok"}[$__rate_interval]))', "{{outcome}}"),
                      to="load", stacked=True, width=6),
                graph("Latency", "An answer to a client, and the way from publish to processed.", "s",
                      Query(QUANTILE.format(0.5, "load_request_duration_seconds", ""), "answer p50"),
                      Query(QUANTILE.format(0.99, "load_request_duration_seconds", ""), "answer p99"),
                      Query(QUANTILE.format(0.99, "message_end_to_end_seconds", ""), "end to end p99"), to="consumer", width=6),
                graph("Saturation", "What waits in the queues.", "none",
                      Query('sum by (queue) (rabbitmq_detailed_queue_messages{queue=~"$queue"})', "{{queue}}"), to="rabbitmq", width=6),
            ]),
            ("Alerts", [
                states("Alerts over time", "Which alert fired, and when. Pages are about users, tickets about causes.",
                       Query('max by (alertname) (ALERTS{alertstate="firing"}) or label_replace(vector(0), "alertname", "any", "", "")',
                             "{{alertname}}"), names={0: ("quiet", "transparent"), 1: ("fires", "red")}),
            ]),
        ],
        variables=[variable("queue", "Queue", "rabbitmq_detailed_queue_messages", "queue")])
