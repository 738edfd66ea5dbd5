"""Blind exams: drawn and sealed with the interviewer's key, held in the engine's memory, graded with a signature."""
