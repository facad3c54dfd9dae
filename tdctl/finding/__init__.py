"""What ``tdctl find`` chooses by the data, and how long a training will take."""
