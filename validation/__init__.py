"""Evidence: signals, noise and recorded history through the recipe that serves; the errors of the decisions."""
