"""Whether what a grade rests on was changed: ledgers, judge, record, sources and clock, watched by the engine.

Each finding is a tampering signal. One that proves a change by which the grade could have been bought voids the run;
the others leave the judgement to people.
"""
