"""Evidence about the science: planted signals, noise, and recorded history, run through the recipe that serves."""
