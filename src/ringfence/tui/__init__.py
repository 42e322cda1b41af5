"""The dashboard, `ringfence top`: what an agent decides, live, on a terminal, with rules flipped by a key.

Feeds read the agent's API on threads of their own and tell what came as `news`; a `Picture` takes it in; widgets draw
the picture. Only `app`, `panels`, `rows`, `details` and `dialogs` know of textual.
"""
