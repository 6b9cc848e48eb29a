"""What a network's output means: one small file a task, and the names, codes and colours of what it finds.

No network runs here, and nothing here knows a file format or a scene.
"""
