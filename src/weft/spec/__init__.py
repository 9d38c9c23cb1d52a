"""What the work is: frozen values, standard library only."""
