"""From what a run has found to what is done about it: plans, who carries them out, and what lies in a quarantine."""
