"""What `cairn status` tells: gathered (collect.py), judged (findings.py, advice.py), and printed (render.py)."""
