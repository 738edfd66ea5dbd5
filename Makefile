# Every target is one line: it sees to the set-up, then calls the `lab` command.

SHELL = /bin/sh
LAB = scripts/setup && .venv/bin/lab

N = 3
SERVICE =
FOLLOW =
GREP =
SEED =
FIGURES =
RUNS = 200
SCENARIO =
ONLY =
PASSES =
FRESH =
ROUNDS = 30
COMPONENT =
CAUSE =
NOTES =
CANDIDATE =
COMPARE =
MINUTES =
TIER =
KEY =
WORKERS =

# $(call quoted,NAME): the value of NAME as one word for the shell, whatever is in it.
quoted = '$(subst ','\'',$(value $(1)))'
# $(call option,flag,NAME): --flag and the value of NAME, where there is one.
option = $(if $(value $(2)),--$(1) $(call quoted,$(2)))

.DEFAULT_GOAL = help
# The browser tests take them as they go.
PICTURES = lab/console/pictures

.PHONY: help setup up down ps status logs restart-consumer restart-producer scale-consumer monitor \
	load scenarios detect submit hint grade reset reports exam check scenarios-proof campaign test racing benchmark smoke clean \
	generate pictures requirements

help: ## show this list
	@awk -F ':.*## ' '/^[a-z%-]+:.*## / {sub("%", "N", $$1); printf "  %-18s%s\n", $$1, $$2}' Makefile

setup: ## install what is missing; tries again for Toxiproxy where that failed
	@rm -f .lab/tools/toxiproxy-standin && scripts/setup && echo "everything is set up"

up: ## start everything; ends when the system is healthy
	@$(LAB) up

down: ## stop everything; queues and metrics are kept
	@$(LAB) down

clean: ## remove every process and file of a running lab; keeps what set-up installed
	@scripts/clean

ps: ## show the state of every service
	@$(LAB) ps

status: ## show the SLOs, the alerts and the run that is on
	@$(LAB) status

# 141: the reader closed the pipe, as in `make logs | head`.
logs: ## show the logs: SERVICE=consumer for one, FOLLOW=1 to go on, GREP=text to filter
	@$(LAB) logs $(if $(FOLLOW),--follow) $(call option,grep,GREP) $(if $(SERVICE),$(call quoted,SERVICE)) || [ $$? -eq 141 ]

restart-consumer: ## restart the consumers; they read .env again
	@$(LAB) restart consumer

restart-producer: ## restart the producer; it reads .env again
	@$(LAB) restart producer

scale-consumer: ## run 3 consumers, or N=5
	@$(LAB) scale consumer $(call quoted,N)

monitor: ## watch the system in the terminal
	@$(LAB) monitor

load: ## serve Locust's web page, to drive the system by hand; WORKERS=4 processes send
	@$(LAB) load $(call option,workers,WORKERS)

scenarios: ## list the scenarios
	@$(LAB) scenarios

scenario-%: ## run a scenario; SEED=number draws its parameters anew, CANDIDATE='Ada Lovelace' names who does it
	@$(LAB) scenario '$*' $(call option,seed,SEED) $(call option,candidate,CANDIDATE)

submit: ## answer: COMPONENT=... CAUSE=... NOTES='...'; asks for what is not given
	@$(LAB) submit $(call option,component,COMPONENT) $(call option,cause,CAUSE) $(call option,notes,NOTES)

detect: ## declare the incident: you have noticed it
	@$(LAB) detect

hint: ## take a hint; it costs points
	@$(LAB) hint

grade: ## end the run and read the grade
	@$(LAB) grade

reset: ## bring the lab back to its baseline; ends a run without a grade
	@$(LAB) reset

reports: ## list the reports: SCENARIO=2, SEED=7, CANDIDATE=Ada; COMPARE=1 puts candidates side by side
	@$(LAB) reports $(call option,scenario,SCENARIO) $(call option,seed,SEED) $(call option,candidate,CANDIDATE) \
		$(if $(COMPARE),--compare)

check: ## for authors: play SCENARIO=4 (a number, or a folder), and say what is unfair
	@$(LAB) check $(call option,seed,SEED) $(call quoted,SCENARIO)

scenarios-proof: ## prove every scenario fair, or ONLY="4 7"; PASSES=2, SEED=3, FRESH=1; goes on where it stopped
	@$(LAB) prove $(call option,passes,PASSES) $(call option,seed,SEED) $(if $(FRESH),--fresh) $(ONLY)

exam: ## examine CANDIDATE='Ada Lovelace', blind: MINUTES=45, SEED, TIER=1 to 3, KEY=file; see README.md
	@$(LAB) exam start $(call option,candidate,CANDIDATE) $(call option,minutes,MINUTES) $(call option,seed,SEED) \
		$(call option,tier,TIER) $(call option,key,KEY)

campaign: ## break the system at random, RUNS times from SEED on; HOSTILE=1 sends hostile messages only
	@$(LAB) campaign $(call option,runs,RUNS) $(call option,seed,SEED) $(if $(HOSTILE),--only-hostile)

test: ## run all tests; they need the programs of the native stack
	@LAB_STACK=native scripts/setup && .venv/bin/python -m pytest tests/ -v --tb=short --numprocesses 3

racing: ## run the tests that once raced, ROUNDS=30 times; stops at the first failure
	@LAB_STACK=native scripts/setup && for round in $$(seq $(call quoted,ROUNDS)); do echo "round $$round"; \
		.venv/bin/python -m pytest tests/ -m racing --quiet --numprocesses 3 || exit; done

benchmark: ## measure the services against their peers, or only FIGURES="produce drain"
	@LAB_STACK=native scripts/setup && .venv/bin/python -m benchmarks $(FIGURES)

smoke: ## check the running system, under load too
	@scripts/setup && .venv/bin/python scripts/test_system.py

pictures: ## take the README's pictures of the console anew (plays two scenarios in Chromium)
	@scripts/setup && mkdir -p $(PICTURES) && SCREENSHOTS=$(PICTURES) .venv/bin/python -m pytest tests/browser

generate: ## write the rules of prometheus/slo.yml and the dashboards anew
	@scripts/setup && .venv/bin/python -m prometheus.generate && .venv/bin/python -m dashboards.generate

requirements: ## pin requirements.txt anew from pyproject.toml
	@scripts/setup && scripts/requirements
