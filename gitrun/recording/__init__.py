"""Recording a run: the live directory, the keeper that owns the command, sealing and recovering."""
