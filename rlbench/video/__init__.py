"""Films of agents: episodes drawn step by step, with what actions were chosen by beside them.

It imports `learning` and draws by Pillow; `commands` film trained agents, `execution` those in
training. Start with `film.py:film`.
"""
