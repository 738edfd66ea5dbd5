"""Whether what a grade rests on was touched: ledgers, metrics, record, sources and clock, watched by the engine.

What is found changes no points; the report tells it, and people judge.
"""
