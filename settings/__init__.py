"""What a run is asked to do: the typed options, the flags that fill them, and the errors a user can mend."""
