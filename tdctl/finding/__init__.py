"""What follows from the data where the user sets nothing, and how long a training will take."""
