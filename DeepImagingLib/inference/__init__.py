"""How a network is run: checks of its input, device, memory plan, sweep, steps down, progress, cancel.

What the output means is the business of `tasks/`, and which transforms and weights there are that of `bundles/`.
"""
