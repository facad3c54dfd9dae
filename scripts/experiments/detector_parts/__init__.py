"""What each part of the detector adds."""
