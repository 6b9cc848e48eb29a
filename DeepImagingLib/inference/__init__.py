"""How a network is run: device, checks of its input, windows, progress, cancel; later the memory plan and the sweep.

What the output means is the business of `tasks/`, and which transforms and weights there are that of `bundles/`.
"""
